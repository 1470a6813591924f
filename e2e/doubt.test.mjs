// A replica whose step fails goes on from its rows, and tells its readers nothing that is not in them.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { startSystem, wrapped } from './system.mjs';

test('S2: a replica that could neither write a frame nor read its rows hears the frame again', (t) =>
  refusesAfter(t, 'fault:unwritten'));

test('S2: a replica whose step died before it wrote hears the frame again', (t) => refusesAfter(t, 'fault:thrown'));

/** Changes an entry that a reader holds, in a frame that fails at the replica, and reads it. */
async function refusesAfter(t, fault) {
  const { broker, origin } = await startSystem(t, { config: wrapped(t, 'doubt.worker.mjs') });
  await origin.put('title:1', { n: 1 });
  const filled = await broker.publish({ key: 'title:1' });
  assert.ok(entryVersion(await broker.read('title:1', { after: filled })) >= filled.version);
  const receipt = await broker.publish({ changes: [{ key: 'title:1' }, { key: fault }] });
  const at = entryVersion(await broker.read('title:1', { after: receipt }));
  assert.ok(at >= receipt.version, `filled at ${at}, changed at ${receipt.version}`);
  const later = await broker.publish({ key: 'title:1' });
  assert.ok(entryVersion(await broker.read('title:1', { after: later })) >= later.version, 'and it goes on');
}

function entryVersion({ headers, text }) {
  assert.ok(headers.has('newsreel-entry-version'), text);
  return Number(headers.get('newsreel-entry-version').split(':')[1]);
}

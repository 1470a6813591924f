// A replica whose step fails goes on from its rows, and tells its readers nothing that is not in them.
// And what of its rows it forgets.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { startSystem, wrapped } from './system.mjs';

test('S2: a replica that could neither write a frame nor read its rows hears the frame again', (t) =>
  refusesAfter(t, 'fault:unwritten'));

test('S2: a replica whose step died before it wrote hears the frame again', (t) => refusesAfter(t, 'fault:thrown'));

test('S2: a replica forgets floors that are older than any entry, for one of everything', async (t) => {
  const { broker, worker, origin } = await startSystem(t, { config: wrapped(t, 'doubt.worker.mjs') });
  const replica = (await worker.getEnv()).REPLICA.getByName('tv@e2e');
  const ring = async () => assert.equal((await replica.fetch('https://replica/alarm')).status, 200);
  const sql = async (body) => (await replica.fetch('https://replica/sql', { method: 'POST', body })).json();
  const floors = () => sql('SELECT name, hard, removed FROM floors ORDER BY newest, name');

  await origin.put('title:1', { n: 1 });
  // The origin publishes on its own.
  while ((await broker.status()).version === 0);
  const old = await broker.publish({ changes: [{ key: 'title:2', op: 'remove' }, { tag: 'x' }] });
  await broker.read('title:1', { after: old });
  assert.deepEqual(await floors(), [['title:1', 1, 0], ['title:2', 2, 2], ['x', 2, 0]]);
  await ring();
  const young = await broker.publish({ changes: [{ key: 'title:3' }] });
  await broker.read('title:1', { after: young });
  await ring();
  assert.equal((await floors()).length, 4, 'nothing is old');
  // As if the mark had been made long ago.
  await sql("UPDATE meta SET value = json_set(value, '$[1]', 0) WHERE name = 'mark'");
  await ring();
  assert.deepEqual(await floors(), [['', 2, 2], ['title:3', 3, 0]], 'the floor of everything is in their place');
  await ring();
  await ring();
  assert.equal((await floors()).length, 2, 'what came after the mark is young');
  const [[mark]] = await sql("SELECT value FROM meta WHERE name = 'mark'");
  assert.ok(JSON.parse(mark)[0] === young.version && JSON.parse(mark)[1] > 0, `the next mark: ${mark}`);
});

test('S2: while a fold is half applied no reader is told of its floors', async (t) => {
  const { broker, worker } = await startSystem(t, { origin: false, config: wrapped(t, 'doubt.worker.mjs') });
  const replica = (await worker.getEnv()).REPLICA.getByName('tv@e2e');
  const sql = (body) => replica.fetch('https://replica/sql', { method: 'POST', body });
  const head = await broker.publish({ changes: [{ key: 'title:1' }, { key: 'title:2' }] });
  await broker.read('title:0', { after: head });
  const body = JSON.stringify({ epoch: null, since: 0, max_age_ms: 60_000, at_least: null });
  const sync = () => replica.fetch('https://replica/sync', { method: 'POST', body });
  // As a part of a fold leaves it: a floor has risen above the position, which follows with the last part.
  await sql("UPDATE floors SET hard = 9, newest = 9 WHERE name = 'title:1'");
  await sql("INSERT INTO meta VALUES ('folding', '1')");
  assert.equal((await sync()).status, 503);
  const next = await broker.publish({ key: 'title:3' });
  await broker.read('title:0', { after: next });
  assert.equal((await sync()).status, 200, 'the position has moved');
});

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

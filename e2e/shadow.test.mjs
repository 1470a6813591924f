// Shadow mode of the edge: the old address answers, and what Newsreel would have answered is counted.

import assert from 'node:assert/strict';
import test from 'node:test';

import { startEdgeOnWorkerd, until } from './edge.mjs';
import { startValues } from './origin.mjs';
import { TOKENS } from './system.mjs';

test('SHADOW serves the old path and counts where Newsreel differs', { timeout: 60_000 }, async (t) => {
  const old = await startValues(t);
  const edge = await startEdgeOnWorkerd(t, { vars: { SHADOW: old.url } });
  const { broker, origin } = edge;
  const counted = async (outcome) => {
    const { text } = await broker.call('GET', '/metrics', { token: TOKENS.admin });
    return Number(new RegExp(`newsreel_shadow_total\\{[^}]*outcome="${outcome}"[^}]*\\} (\\d+)`).exec(text)?.[1] ?? 0);
  };
  /** Reads a key, and waits until what Newsreel says beside it was counted so. */
  const readAs = async (outcome, key, options) => {
    const before = await counted(outcome);
    const read = await broker.read(key, options);
    await until(async () => (await counted(outcome)) === before + 1, outcome);
    return read;
  };

  old.set('title:1', 'one', { type: 'text/plain', headers: { 'x-old': 'yes' } });
  origin.set('title:1', 'one', { type: 'text/plain' });
  const first = await readAs('same', 'title:1');
  assert.deepEqual([first.text, first.headers.get('x-old')], ['one', 'yes']);
  assert.equal((await readAs('same', 'title:none')).status, 404);

  origin.set('title:1', 'two', { type: 'text/plain' });
  await broker.publish({ key: 'title:1' });
  // The replica hears of it in its own time: until then both sides agree.
  await until(async () => {
    assert.equal((await broker.read('title:1')).text, 'one', 'the old path has not heard of it');
    return (await counted('newer')) > 0;
  });

  old.set('title:1', 'three', { type: 'text/plain' });
  origin.set('title:1', 'three', { type: 'text/plain' });
  assert.equal((await readAs('older', 'title:1')).text, 'three', 'nobody published this one');

  origin.fail(500, 'title:broken');
  old.set('title:broken', 'still', { type: 'text/plain' });
  assert.equal((await readAs('failed', 'title:broken')).text, 'still');

  await old.down();
  assert.equal((await broker.read('title:1')).json.code, 'origin-failed');
});

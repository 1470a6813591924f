// A class that asks KV, R2 and the origin at once: an unpublished change is seen, and a tier that differs is named.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { entryVersion, freshness, startEdge, stored, tiers, until } from './edge.mjs';

const POLICY = { voted: { quorum: true, lag_bound_ms: 3_600_000 }, brief: { quorum: true, lag_bound_ms: 3_600_000, stale_for_ms: 1, ttl_ms: 1 } };

test('a quorum', async (t) => {
  const edge = await startEdge(t, { vars: { POLICY, ORIGIN_TIMEOUT_MS: '1000' } });
  const { broker, origin } = edge;
  t.beforeEach(async () => {
    origin.fail(undefined);
    await edge.faults();
  });
  /** Sets a value and reads it, so that all three have it. */
  const spread = async (key, value, more) => {
    origin.set(key, value, more);
    const read = await edge.read(key);
    await edge.inKv(key);
    await edge.inR2(key);
    return read;
  };

  await t.test('the origin wins, and copies that agree are left as they are', async () => {
    const first = await spread('voted:1', { n: 1 }, { tags: ['x'] });
    assert.deepEqual([first.json, freshness(first).word], [{ n: 1 }, 'fresh']);
    assert.match(tiers(first).kv, /fwd=uri-miss; stored/);
    const kv = await edge.inKv('voted:1');
    for (const isolate of [1, 2]) {
      const again = await edge.read('voted:1', { isolate });
      assert.deepEqual([again.json, freshness(again).word], [{ n: 1 }, 'fresh']);
      assert.doesNotMatch(again.headers.get('cache-status'), /stored|outvoted|newsreel-memory/);
    }
    assert.equal(origin.count('voted:1'), 3, 'it is asked every time');
    assert.deepEqual((await edge.inKv('voted:1')).envelope, kv.envelope);
  });

  await t.test('an origin that changed without a word is seen at once, by everyone; the copies are overwritten', async () => {
    await spread('voted:2', { n: 1 });
    origin.set('voted:2', { n: 2 });
    const read = await edge.read('voted:2', { isolate: 2 });
    assert.deepEqual([read.json, freshness(read).word], [{ n: 2 }, 'fresh']);
    for (const tier of ['kv', 'r2']) assert.match(tiers(read)[tier], /detail=outvoted; stored/);
    await until(async () => JSON.parse((await edge.inKv('voted:2')).value).n === 2, 'KV is overwritten');
    await until(async () => JSON.parse((await edge.inR2('voted:2')).value).n === 2, 'R2 is overwritten');
    assert.doesNotMatch((await edge.read('voted:2')).headers.get('cache-status'), /outvoted/);
    origin.delete('voted:2');
    const gone = await edge.read('voted:2');
    assert.equal(gone.status, 404);
    assert.match(tiers(gone).kv, /outvoted; stored/);
    await until(async () => !(await edge.inKv('voted:2')).envelope.found, 'and that it is gone');
  });

  await t.test('S2: a change is seen though both copies are old, and a removal asks nobody', async () => {
    await spread('voted:3', { n: 1 }, { tags: ['t3'] });
    origin.set('voted:3', { n: 2 }, { tags: ['t3'] });
    const at = await broker.publish({ tag: 't3' });
    const read = await edge.read('voted:3', { after: at });
    assert.deepEqual([read.json, freshness(read).word], [{ n: 2 }, 'fresh']);
    for (const tier of ['kv', 'r2']) assert.match(tiers(read)[tier], /below-floor-of-tag; stored/);
    await edge.inR2('voted:3', at.version);
    origin.fail(500);
    const removed = await broker.publish({ key: 'voted:3', op: 'remove' });
    const gone = await edge.read('voted:3', { after: removed });
    assert.deepEqual([gone.status, gone.headers.get('cache-status')], [404, null]);
  });

  await t.test('without the origin two copies are enough', async () => {
    await spread('voted:4', { n: 1 });
    for (const fault of [500, 'reset', 'hang']) {
      origin.fail(fault);
      const read = await edge.read('voted:4');
      assert.deepEqual([read.json, freshness(read).word], [{ n: 1 }, 'fresh'], String(fault));
    }
  });

  await t.test('without the origin the newer of two copies wins, and the other is overwritten', async () => {
    await spread('voted:5', { n: 1 });
    const { name, envelope, metadata } = await edge.inKv('voted:5');
    const newer = { ...envelope, fetched_at: envelope.fetched_at + 1, etag: '"newer"' };
    await edge.kv.put(name, stored(newer, '{"n":2}'), { metadata });
    origin.fail(500);
    const read = await edge.read('voted:5');
    assert.deepEqual([read.json, freshness(read).word], [{ n: 2 }, 'fresh']);
    assert.match(tiers(read).r2, /outvoted; stored/);
    await until(async () => JSON.parse((await edge.inR2('voted:5')).value).n === 2, 'R2 is overwritten');
  });

  for (const [what, lose] of [
    ['where R2 has nothing', async (key) => edge.r2.delete((await edge.inR2(key)).name)],
    ['where KV has nothing', async (key) => edge.kv.delete((await edge.inKv(key)).name)],
    ['where R2 does not answer', () => edge.faults({ throws: { 'r2.get': 9 } })],
    ['where KV does not answer', () => edge.faults({ throws: { 'kv.get': 9, 'kv.many': 9 } })],
  ]) {
    await t.test(`without the origin one copy is served marked: ${what}`, async () => {
      const key = `voted:${what.replaceAll(' ', '-')}`;
      await spread(key, { n: 1 });
      await lose(key);
      origin.fail(500);
      const read = await edge.read(key, { isolate: 2 });
      assert.deepEqual([read.status, read.json, freshness(read).word], [200, { n: 1 }, 'stale']);
      const { version, epoch } = await broker.status();
      assert.equal((await edge.read(key, { after: { epoch, version } })).status, 502, 'never to who needs a version');
    });
  }

  await t.test('without anybody it fails', async () => {
    origin.set('voted:none', 'x');
    origin.fail(500);
    const none = await edge.read('voted:none');
    assert.deepEqual([none.status, none.json.code], [502, 'origin-failed']);
    origin.fail(undefined);
    await edge.faults({ throws: { 'r2.get': 1, 'kv.get': 1, 'kv.many': 1 } });
    const alone = await edge.read('voted:none');
    assert.deepEqual([alone.status, alone.text, freshness(alone).word], [200, 'x', 'fresh'], 'the origin is enough');
  });

  await t.test('S2: a change that overtakes the vote is not lost', async () => {
    await spread('voted:6', { n: 1 });
    origin.hold('voted:6');
    const reading = edge.read('voted:6');
    const release = await origin.next('voted:6');
    origin.set('voted:6', { n: 2 });
    const at = await broker.publish({ key: 'voted:6' });
    await edge.read('voted:1', { after: at });
    release();
    origin.releaseAll('voted:6');
    const read = await reading;
    assert.deepEqual([read.json, freshness(read).word], [{ n: 2 }, 'fresh']);
    assert.ok(entryVersion(read) >= at.version);
  });

  await t.test('many at once: each its own vote', async () => {
    const keys = ['voted:a', 'voted:b', 'voted:c'];
    for (const key of keys) await spread(key, { n: 1 });
    origin.set('voted:b', { n: 2 });
    const { json } = await edge.many(keys, { isolate: 2 });
    assert.deepEqual(json.entries.map(({ value }) => value.n), [1, 2, 1]);
    assert.match(json.entries[1].cache_status, /outvoted/);
  });
});

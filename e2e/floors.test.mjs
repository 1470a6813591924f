// More floors than a reader is told, and than it remembers: what is older is asked for, and judged right.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { entryVersion, freshness, servedBy, startEdge, tiers, until } from './edge.mjs';

test('floors by the hundred thousand', async (t) => {
  // No edge has this name, so no replica deletes from KV: of these keys there is nothing to delete.
  const edge = await startEdge(t, { vars: { KV_TENDER: 'nobody' } });
  const { broker, origin } = edge;
  const old = ['title:changed', 'title:tagged', 'title:same', 'title:prefixed', 'title:removed', 'title:soft'];
  for (const key of old) origin.set(key, { n: 1 }, { tags: key === 'title:tagged' ? ['old'] : ['other'] });
  const first = await broker.publish({ changes: old.map((key) => ({ key })) });
  for (const key of old) await edge.read(key, { after: first });
  for (const key of old) {
    await edge.inKv(key);
    await edge.inR2(key);
    origin.set(key, { n: 2 }, { tags: ['other'] });
  }
  const changed = await broker.publish({
    changes: [
      { key: 'title:changed' }, { tag: 'old' }, { prefix: 'title:pref' }, { key: 'title:removed', op: 'remove' },
      { key: 'title:soft', soft: true },
    ],
  });
  const kept = await edge.read('title:other', { after: changed });
  assert.equal(kept.status, 404);
  /** Publishes a thousand keys, so many times. */
  const publish = async (from, to) => {
    const change = (n) => ({ changes: Array.from({ length: 1_000 }, (_, i) => ({ key: `availability:netflix:${n * 1_000 + i}` })) });
    for (let n = from; n < to; n += 10) {
      await Promise.all(Array.from({ length: 10 }, (_, more) => broker.publish(change(n + more))));
    }
    return broker.status();
  };
  /** Every old entry is judged by the floor that it has, remembered or not. */
  const right = async (isolate, after) => {
    for (const key of ['title:changed', 'title:tagged', 'title:prefixed']) {
      const read = await edge.read(key, { isolate, after });
      assert.deepEqual([read.json, freshness(read).word], [{ n: 2 }, 'fresh'], `${key} by ${isolate}`);
      assert.ok(entryVersion(read) >= changed.version);
    }
    const removed = await edge.read('title:removed', { isolate, after });
    assert.equal(removed.status, 404);
    assert.ok(Object.keys(tiers(removed)).every((tier) => tier === 'memory'), 'memory is asked before what is not remembered');
    await until(async () => (await edge.read('title:soft', { isolate })).json.n === 2, 'a soft floor is looked up too');
    const { json } = await edge.many(old, { isolate, after });
    assert.deepEqual(json.entries.map(({ status, value }) => [status, value?.n]), [
      [200, 2], [200, 2], [200, 1], [200, 2], [404, undefined], [200, 2],
    ]);
  };

  await t.test('S2: a snapshot of 100,000 floors is at most 1.5 MB, and what it leaves out is looked up', async () => {
    const at = await publish(0, 100);
    await edge.faults();
    const began = Date.now();
    const same = await edge.read('title:same', { isolate: 2, after: at });
    const { replicaBytes, calls } = await edge.told();
    t.diagnostic(`${replicaBytes} bytes for 100,000 floors, in ${calls['replica.sync']} answers and ${Date.now() - began} ms`);
    assert.ok(replicaBytes <= 1.5e6 && replicaBytes > 100_000, `${replicaBytes} bytes`);
    assert.deepEqual([same.json, servedBy(same), freshness(same).word], [{ n: 1 }, 'kv', 'fresh'], 'nothing was said of it');
    await right(2, at);
    await edge.faults();
    assert.equal(servedBy(await edge.read('title:same', { isolate: 2 })), 'memory');
    assert.equal((await edge.told()).calls['replica.sync'] ?? 0, 0, 'what was looked up once is remembered');
  });

  await t.test('S2: a reader that was told of more than 150,000 forgets the oldest, and asks for them', async () => {
    const at = await publish(100, 160);
    await right(1, at);
    await right(2, at);
  });
});

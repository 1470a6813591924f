// KV, R2 and the origin that fail or hang, in every operation: what answers, that it is marked as it should be, that
// nothing old is ever called fresh, and that all is as before once they are well.
//
// The origin alone is in origin.test.mjs; fills that land late or in the wrong order in races.test.mjs.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { entryVersion, freshness, servedBy, startEdge, tiers, until } from './edge.mjs';
import { randomFrom } from './random.mjs';

const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000);
/** How long the origin, KV and R2 may take. */
const PATIENCE = 700;
const HOUR = 3_600_000;
const POLICY = {
  title: { lag_bound_ms: HOUR },
  strict: { lag_bound_ms: HOUR, beyond_bound: 'fail' },
};

test('tiers that fail', { timeout: 180_000 }, async (t) => {
  const edge = await startEdge(t, { vars: { POLICY, ORIGIN_TIMEOUT_MS: String(PATIENCE) } });
  const { broker, origin } = edge;
  t.beforeEach(() => edge.faults());
  await broker.publish({ key: 'title:first' });
  const serves = (read, n, tier) => {
    assert.deepEqual([read.status, read.json, freshness(read).word], [200, { n }, 'fresh'], read.text);
    if (tier) assert.equal(servedBy(read), tier);
  };
  const fault = (how, ...operations) =>
    edge.faults(how === 'hangs' ? { holds: operations } : { throws: Object.fromEntries(operations.map((one) => [one, 1_000])) });
  /** An entry that both readers' KV and R2 have, and the first one's memory. */
  const kept = async (key, n) => {
    origin.set(key, { n }, { tags: ['kept'] });
    const at = await broker.publish({ key });
    serves(await edge.read(key, { after: at }), n);
    await edge.inKv(key, at.version);
    await edge.inR2(key, at.version);
    return at;
  };

  for (const how of ['throws', 'hangs']) {
    await t.test(`S2: a read that ${how} is passed by, and the next tier answers`, async () => {
      const key = `title:read-${how}`;
      await kept(key, 1);
      await fault(how, 'kv.get');
      serves(await edge.read(key, { isolate: 2 }), 1, 'r2');
      const other = `${key}-both`;
      await kept(other, 2);
      origin.set(other, { n: 3 }, { tags: ['kept'] });
      await fault(how, 'kv.get', 'r2.get');
      const began = Date.now();
      const read = await edge.read(other, { isolate: 2 });
      serves(read, 3, 'origin');
      for (const tier of ['kv', 'r2']) assert.match(tiers(read)[tier], /fwd=bypass; detail=failed/);
      t.diagnostic(`both ${how}: ${Date.now() - began} ms`);
      serves(await edge.read(key), 1, 'memory');
    });

    await t.test(`S2: many at once, from a KV that ${how}`, async () => {
      const keys = [1, 2, 3].map((n) => `title:many-${how}-${n}`);
      for (const [nth, key] of keys.entries()) await kept(key, nth);
      await fault(how, 'kv.many', 'kv.get');
      const { json } = await edge.many(keys, { isolate: 2 });
      assert.deepEqual(json.entries.map(({ status, value }) => [status, value]), [0, 1, 2].map((n) => [200, { n }]));
    });

    await t.test(`S2: a write that ${how} is only missed there, and never brings the old value back`, async () => {
      for (const operation of ['kv.put', 'r2.put', 'r2.head']) {
        const key = `title:${operation}-${how}`;
        await kept(key, 1);
        await fault(how, operation, operation === 'r2.head' ? 'r2.put' : operation);
        for (const n of [2, 3]) {
          origin.set(key, { n }, { tags: ['kept'] });
          const at = await broker.publish({ tag: 'kept' });
          for (const isolate of [1, 2]) {
            const read = await edge.read(key, { isolate, after: at });
            serves(read, n);
            assert.ok(entryVersion(read) >= at.version);
          }
        }
        await edge.faults();
        origin.set(key, { n: 4 }, { tags: ['kept'] });
        // Another key's generation: KV would have to wait for the turn of the write that hangs.
        const at = await broker.publish({ key });
        serves(await edge.read(key, { after: at }), 4);
        await edge.inKv(key, at.version);
        await edge.inR2(key, at.version);
      }
    });

    await t.test(`S2: a deletion that ${how} leaves nothing that is served`, async () => {
      const key = `title:delete-${how}`;
      const old = await kept(key, 1);
      const { name } = await edge.inKv(key, old.version);
      await fault(how, 'kv.delete');
      origin.set(key, { n: 2 });
      const at = await broker.publish({ key });
      for (const isolate of [2, 1]) serves(await edge.read(key, { isolate, after: at }), 2);
      await edge.untilTold(({ calls }) => calls['kv.delete'] > 0);
      assert.ok(await edge.kv.get(name), 'the old one is still there');
      await edge.faults();
      // A failed deletion is tried again a second later, at the next change or by the alarm.
      await until(async () => (await broker.publish({ key: 'title:first' })) && !(await edge.kv.get(name)), 'it is deleted in the end');
    });

    await t.test(`S1, S2: when everything ${how}, memory serves what may be served, and the rest says what it is`, async () => {
      const [held, changed, strict] = ['title', 'title:changed', 'strict:changed'].map((key, nth) => `${key}${nth ? '' : ':held'}-${how}`);
      for (const key of [held, changed, strict]) await kept(key, 1);
      const removed = `title:removed-${how}`;
      await kept(removed, 1);
      const at = await broker.publish({ changes: [{ key: changed }, { key: strict }, { key: removed, op: 'remove' }] });
      await edge.read('title:first', { after: at });
      await edge.read('title:first', { after: at, isolate: 2 });
      await fault(how, 'kv.get', 'kv.many', 'kv.put', 'kv.delete', 'r2.get', 'r2.head', 'r2.put');
      origin.fail(how === 'hangs' ? 'hang' : 500);
      const marked = async () => {
        const { status, json, text, headers } = await edge.read(changed);
        assert.deepEqual([status, json, freshness({ headers, text }).word], [200, { n: 1 }, 'stale'], text);
      };
      const refused = async (key, options) => {
        const { status, json, text } = await edge.read(key, options);
        assert.deepEqual([status, json?.code], [502, 'origin-failed'], text);
      };
      const gone = async () => assert.equal((await edge.read(removed)).json.code, 'not-found');
      await Promise.all([
        edge.read(held).then((read) => serves(read, 1, 'memory')),
        marked(),
        refused(strict),
        refused(`title:unknown-${how}`),
        gone(),
        // A caller that needs the change gets no stale value, and the other reader has nothing in memory.
        refused(changed, { after: at }),
        refused(changed, { isolate: 2 }),
      ]);
      await edge.faults();
      origin.fail(undefined);
      for (const key of [changed, strict]) {
        origin.set(key, { n: 2 });
        for (const isolate of [1, 2]) serves(await edge.read(key, { isolate }), 2);
      }
    });
  }

  await t.test('S1, S2: faults at random: nothing old is called fresh, and in the end all is well', async () => {
    t.diagnostic(`SEED=${SEED}`);
    const random = randomFrom(SEED);
    const pick = (list) => list[Math.floor(random() * list.length)];
    const operations = ['kv.get', 'kv.many', 'kv.put', 'kv.delete', 'r2.get', 'r2.head', 'r2.put'];
    const keys = Array.from({ length: 6 }, (_, n) => (n % 2 === 0 ? `live:${n}` : `title:random-${n}`));
    const set = new Map();
    const seen = {};
    const change = async (key) => {
      const n = (set.get(key)?.n ?? 0) + 1;
      origin.set(key, { n }, { tags: ['random'] });
      const receipt = await broker.publish(pick([{ key }, { changes: [{ key }, { tag: 'other' }] }]));
      set.set(key, { n, receipt });
    };
    for (const key of keys) await change(key);
    for (let step = 0; step < 120; step += 1) {
      if (random() < 0.2) {
        const some = operations.filter(() => random() < 0.4);
        await edge.faults({ throws: Object.fromEntries(some.map((one) => [one, 1 + Math.floor(random() * 4)])) });
        origin.fail(random() < 0.3 ? pick([500, 503, 'reset', 'cut']) : undefined);
      }
      if (random() < 0.25) await change(pick(keys));
      const key = pick(keys);
      const { n, receipt } = set.get(key);
      const after = random() < 0.5 ? receipt : undefined;
      const read = await edge.read(key, { isolate: pick([1, 2]), after });
      const word = read.status === 200 ? freshness(read).word : read.json.code;
      seen[word] = (seen[word] ?? 0) + 1;
      const must = after || key.startsWith('live:');
      if (read.status === 200) {
        if (must && word !== 'stale') assert.equal(read.json.n, n, `step ${step}: ${key} is ${word}`);
        assert.ok(!after || word !== 'stale', `step ${step}: marked for who needs a version`);
      } else {
        assert.equal(word, 'origin-failed', read.text);
      }
    }
    t.diagnostic(JSON.stringify(seen));
    assert.ok(seen.fresh > 20, JSON.stringify(seen));
    await edge.faults();
    origin.fail(undefined);
    for (const key of keys) {
      const { n, receipt } = set.get(key);
      for (const isolate of [1, 2]) serves(await edge.read(key, { isolate, after: receipt }), n);
    }
  });
});

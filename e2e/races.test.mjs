// The stale-refill race, order by order: no tier serves, after a change, a value fetched before the change.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { entryVersion, freshness, servedBy, startEdge, stored, tiers, until } from './edge.mjs';

// A bound of an hour: a reader learns of a change only when a test waits for it. `strict` never serves stale.
const POLICY = { slow: { lag_bound_ms: 3_600_000 }, strict: { lag_bound_ms: 3_600_000, beyond_bound: 'fail' } };

test('S2: the stale-refill race', async (t) => {
  const edge = await startEdge(t, { vars: { POLICY } });
  const { broker, origin } = edge;
  // Catalogs apart: a change of everything in one test does not concern another.
  const inCatalog = (catalog) => ({
    publish: (change) => broker.publish(change, { catalog }),
    read: (key, options) => edge.read(key, { catalog, ...options }),
  });
  /** Checks that no reader and no tier serves an entry below a version: two isolates, then R2 alone. */
  const neverBelow = async (catalog, key, least, value) => {
    const { read } = inCatalog(catalog);
    for (const isolate of [1, 2, 1, 2]) {
      const one = await read(key, { isolate, after: least });
      assert.deepEqual([one.status, one.json], [200, value], `isolate ${isolate}: ${one.text}`);
      assert.ok(entryVersion(one) >= least.version, `isolate ${isolate}: ${one.headers.get('newsreel-entry-version')}`);
      assert.equal(freshness(one).word, 'fresh');
    }
    assert.ok((await edge.inR2(key, least.version, catalog)).version >= least.version);
  };

  for (const [name, change] of [
    ['its key', (key) => ({ key })],
    ['its tag', (key) => ({ tag: `of-${key}` })],
    ['a prefix of it', (key) => ({ prefix: key.slice(0, -2) })],
    ['everything', () => ({ all: true })],
  ]) {
    const catalog = `fetch-${name.replaceAll(/[^a-z]/g, '-')}`;
    await t.test(`S2: an answer from before a change of ${name} is a miss, in memory, KV and R2`, async () => {
      const { publish, read } = inCatalog(catalog);
      const key = `title:${catalog}`;
      const tags = [`of-${key}`];
      origin.set(key, { n: 1 }, { tags });
      await publish({ key: 'title:other' });
      await read('title:other');
      origin.hold(key);
      const reading = read(key);
      const release = await origin.next(key);
      origin.set(key, { n: 2 }, { tags });
      const at = await publish(change(key));
      release();
      origin.releaseAll(key);
      await origin.wasAsked(key, 1);
      const answer = await reading;
      // The edge may not have heard of the change, which is younger than the bound; then its version is older.
      if (answer.json.n === 1) assert.ok(entryVersion(answer) < at.version);
      await neverBelow(catalog, key, at, { n: 2 });
    });

    await t.test(`S2: an answer that a change of ${name} overtakes, which the reader has heard, is not served`, async () => {
      const { publish, read } = inCatalog(catalog);
      const key = `title:heard-${catalog}`;
      const tags = [`of-${key}`];
      origin.set(key, { n: 1 }, { tags });
      origin.hold(key);
      const reading = read(key);
      const release = await origin.next(key);
      origin.set(key, { n: 2 }, { tags });
      const at = await publish(change(key));
      await read('title:other', { after: at });
      release();
      origin.releaseAll(key);
      const answer = await reading;
      assert.deepEqual([answer.json, freshness(answer).word], [{ n: 2 }, 'fresh']);
      assert.ok(entryVersion(answer) >= at.version);
      assert.equal(origin.count(key), 2, 'the origin was asked once more');
      await neverBelow(catalog, key, at, { n: 2 });
    });
  }

  await t.test('S2: a fetch that changes overtake again and again is asked three times, then marked or refused', async () => {
    const { publish, read } = inCatalog('overtaken');
    await publish({ key: 'title:other' });
    for (const [key, answered] of [['slow:chased', [200, 'stale']], ['strict:chased', [503, 'bound-not-kept']]]) {
      origin.set(key, { n: 0 });
      origin.hold(key);
      const reading = read(key);
      let at;
      for (const n of [1, 2, 3]) {
        const release = await origin.next(key);
        origin.set(key, { n });
        at = await publish({ key });
        await read('title:other', { after: at });
        release();
      }
      const answer = await reading;
      assert.deepEqual([answer.status, answer.status === 200 ? freshness(answer).word : answer.json.code], answered);
      assert.equal(origin.count(key), 3);
      origin.releaseAll(key);
      await neverBelow('overtaken', key, at, { n: 3 });
    }
  });

  await t.test('S2: removed during a fetch: not found, and the late value is never seen', async () => {
    const { publish, read } = inCatalog('removed');
    const key = 'title:leaving';
    origin.set(key, { n: 1 });
    await publish({ key: 'title:other' });
    origin.hold(key);
    const reading = read(key);
    const release = await origin.next(key);
    origin.delete(key);
    const at = await publish({ key, op: 'remove' });
    await read('title:other', { after: at });
    release();
    const answer = await reading;
    assert.deepEqual([answer.status, answer.json.code], [404, 'not-found']);
    assert.equal(origin.count(key), 1, 'the log knows: nobody else is asked');
    for (const isolate of [1, 2]) {
      const later = await read(key, { isolate, after: at });
      assert.deepEqual([later.status, entryVersion(later)], [404, at.version]);
    }
    origin.releaseAll(key);
    origin.set(key, { n: 2 });
    await neverBelow('removed', key, await publish({ key }), { n: 2 });
  });

  await t.test('S2: a removal ends what a fetch from before it brings late, though the reader never heard in between', async () => {
    const { publish, read } = inCatalog('removed');
    const key = 'title:late';
    origin.set(key, { n: 1 });
    origin.hold(key);
    const reading = read(key);
    const release = await origin.next(key);
    await publish({ key, op: 'remove' });
    origin.set(key, { n: 2 });
    const back = await publish({ key });
    release();
    origin.releaseAll(key);
    await reading;
    await neverBelow('removed', key, back, { n: 2 });
  });

  await t.test('S2: not found from before a change of any tag is a miss after it', async () => {
    const { publish, read } = inCatalog('absent');
    const key = 'title:coming';
    await publish({ key: 'title:other' });
    origin.hold(key);
    const reading = read(key);
    const release = await origin.next(key);
    origin.set(key, { n: 1 }, { tags: ['new'] });
    const at = await publish({ tag: 'new' });
    release();
    origin.releaseAll(key);
    await reading;
    await neverBelow('absent', key, at, { n: 1 });
  });

  await t.test('S2: a soft change during a fetch: the late value is marked, and fetched again', async () => {
    const { publish, read } = inCatalog('soft');
    const key = 'title:soft';
    origin.set(key, { n: 1 });
    await publish({ key: 'title:other' });
    origin.hold(key);
    const reading = read(key);
    const release = await origin.next(key);
    origin.set(key, { n: 2 });
    const at = await publish({ key, soft: true });
    await read('title:other', { after: at });
    release();
    const answer = await reading;
    assert.deepEqual([answer.json, freshness(answer).word], [{ n: 1 }, 'revalidating']);
    (await origin.next(key))();
    origin.releaseAll(key);
    await until(async () => (await read(key)).json.n === 2);
    await neverBelow('soft', key, at, { n: 2 });
  });

  await t.test('S2: two fills that land in R2 in the wrong order: the older never replaces the newer', async () => {
    const { publish, read } = inCatalog('two');
    const key = 'title:two';
    origin.set(key, { n: 1 });
    await publish({ key: 'title:other' });
    for (const isolate of [1, 2]) await read('title:other', { isolate });
    origin.hold(key);
    const [old, release] = [read(key), await origin.next(key)];
    // The first has its answer, and waits for KV and R2; the second is faster.
    const puts = [`r2.put ${key}`, `kv.put ${key}`];
    await edge.faults({ holds: puts });
    release();
    await old;
    await edge.untilTold(({ waiting }) => puts.every((put) => waiting[put] === 1));
    origin.set(key, { n: 2 });
    const at = await publish({ key });
    origin.releaseAll(key);
    const second = await read(key, { isolate: 2, after: at });
    assert.deepEqual(second.json, { n: 2 });
    await edge.untilTold(({ waiting }) => waiting[puts[0]] === 2);
    await edge.faults({});
    await edge.untilTold(({ waiting }) => puts.every((put) => waiting[put] === 0));
    await neverBelow('two', key, at, { n: 2 });
    assert.deepEqual(JSON.parse((await edge.inR2(key, 0, 'two')).value), { n: 2 });
  });

  await t.test('S2: a put that was under way when a newer one landed does not undo it', async () => {
    const { publish, read } = inCatalog('late-put');
    const key = 'title:put';
    origin.set(key, { n: 1 }, { tags: ['x'] });
    await publish({ key: 'title:other' });
    const puts = [`r2.put ${key}`, `kv.put ${key}`];
    await edge.faults({ holds: puts });
    await read(key);
    await edge.untilTold(({ waiting }) => puts.every((put) => waiting[put] === 1));
    // A change of its tag: the name in KV stays the same, so the old entry will overwrite the new one there.
    origin.set(key, { n: 2 }, { tags: ['x'] });
    const at = await publish({ tag: 'x' });
    const name = `late-put/${at.epoch}/${key}`;
    const { envelope } = { envelope: newer(at, ['x']) };
    const bytes = stored(envelope, '{"n":2}');
    const metadata = { version: String(at.version), fetched_at: String(envelope.fetched_at) };
    await edge.r2.put(name, bytes, { customMetadata: metadata });
    await edge.kv.put(`${name}@0`, bytes, { metadata: { version: at.version, popularity: 0 } });
    await edge.faults({});
    await edge.untilTold(({ waiting }) => puts.every((put) => waiting[put] === 0));
    await until(async () => JSON.parse((await edge.inKv(key, 0, 'late-put')).value).n === 1, 'KV has the older');
    assert.equal((await edge.inR2(key, 0, 'late-put')).version, at.version, 'R2 keeps the newer');
    const second = await read(key, { isolate: 2, after: at });
    assert.deepEqual([second.json, servedBy(second)], [{ n: 2 }, 'r2'], 'what KV has by now is a miss');
    assert.match(tiers(second).kv, /below-floor-of-tag/);
    await neverBelow('late-put', key, at, { n: 2 });
  });

  await t.test('S2: an old generation that KV still has is never asked for', async () => {
    const { publish, read } = inCatalog('generations');
    const key = 'title:old';
    origin.set(key, { n: 1 });
    const first = await publish({ key });
    await read(key, { after: first });
    const old = await edge.inKv(key, first.version, 'generations');
    origin.set(key, { n: 2 });
    const at = await publish({ key });
    await read(key, { after: at });
    await edge.inKv(key, at.version, 'generations');
    // As a location that has not heard of the deletion would.
    await edge.kv.put(old.name, stored(old.envelope, '{"n":1}'), { metadata: old.metadata });
    await neverBelow('generations', key, at, { n: 2 });
  });

  await t.test('E1: nothing is carried into a new epoch, and what is fetched on its eve is a miss', async () => {
    const catalog = 'epochs';
    const { publish, read } = inCatalog(catalog);
    const key = 'title:epoch';
    origin.set(key, { n: 1 });
    const before = await publish({ key });
    await read(key, { after: before });
    await read(key, { isolate: 2, after: before });
    origin.set(key, { n: 2 });
    origin.set('title:eve', { n: 1 });
    origin.hold('title:eve');
    const eve = read('title:eve');
    const release = await origin.next('title:eve');
    const { status, text } = await broker.call('POST', '/epochs', { token: 'e2e-admin', catalog, body: '{}' });
    assert.ok(status < 300, text);
    const at = await publish({ key: 'title:other' });
    assert.ok(at.epoch > before.epoch);
    await read('title:other', { after: at });
    origin.set('title:eve', { n: 2 });
    release();
    origin.releaseAll('title:eve');
    const late = await eve;
    assert.deepEqual([late.json, freshness(late).word], [{ n: 2 }, 'fresh']);
    for (const isolate of [1, 2]) {
      for (const one of [key, 'title:eve']) {
        const answer = await read(one, { isolate, after: before });
        assert.deepEqual(answer.json, { n: 2 }, 'an older epoch is satisfied by a newer');
        assert.ok(answer.headers.get('newsreel-entry-version').startsWith(at.epoch));
      }
    }
  });
});

/** An envelope of a fill at a position. */
function newer({ position }, tags) {
  const now = Date.now();
  return {
    position, found: true, tags, fetched_at: now, expires_at: now + 3_600_000, stale_until: now + 7_200_000,
    content_type: 'application/json', etag: '"newer"',
  };
}

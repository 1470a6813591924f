// An origin that is slow, wrong, down; and how much it is asked.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { entryVersion, freshness, servedBy, startEdge, tiers, until } from './edge.mjs';

const HOUR = 3_600_000;
const POLICY = {
  // An old value of `title` may stand in for the origin after a change; one of `strict` may not.
  title: { lag_bound_ms: HOUR },
  strict: { lag_bound_ms: HOUR, beyond_bound: 'fail' },
  // Values that expire at once, and may then stand in for the origin for long, or for a short time.
  brief: { ttl_ms: 1, stale_for_ms: HOUR, lag_bound_ms: HOUR },
  flash: { ttl_ms: 1, stale_for_ms: 1_500, lag_bound_ms: HOUR },
};

test('an origin that is', async (t) => {
  const edge = await startEdge(t, { vars: { POLICY, SEND_CACHE_TAG: 'true', ORIGIN_TIMEOUT_MS: '1500', ORIGIN_CONCURRENCY: '3' } });
  const { broker, origin } = edge;
  const read = (key, options) => edge.read(key, options);
  t.beforeEach(() => origin.fail(undefined));
  await broker.publish({ key: 'title:first' });
  await read('title:first');
  const refused = (answer, why) => {
    assert.deepEqual([answer.status, answer.json?.code], [502, 'origin-failed'], answer.text);
    assert.match(answer.json.detail, why);
    assert.equal(answer.headers.get('cache-control'), 'no-store');
  };
  const stale = (answer, value) => {
    assert.deepEqual([answer.status, answer.json, freshness(answer).word], [200, value, 'stale'], answer.text);
    assert.equal(answer.headers.get('cache-control'), 'public, max-age=0, must-revalidate');
  };

  for (const [fault, why] of [
    [500, /answered 500/], [503, /answered 503/], [204, /answered 204/], ['hang', /in time/], ['reset', /./], ['cut', /./],
  ]) {
    await t.test(`failing with ${fault}: 502, nothing is kept of it, and the next read asks again at once`, async () => {
      const key = `title:fault-${fault}`;
      origin.set(key, { n: 1, filler: 'x'.repeat(10_000) });
      origin.fail(fault, key);
      const began = Date.now();
      const failed = await read(key);
      refused(failed, why);
      assert.match(failed.headers.get('cache-status'), /newsreel-r2; fwd=uri-miss, newsreel-kv; fwd=uri-miss/);
      assert.ok(failed.headers.has('newsreel-version'));
      assert.ok(Date.now() - began < 3_000, 'within its time');
      origin.fail(undefined, key);
      const next = await read(key);
      assert.deepEqual([next.status, next.json?.n, servedBy(next)], [200, 1, 'origin']);
      assert.equal(origin.count(key), 2);
    });
  }

  await t.test('saying nonsense: a tag that cannot be read is a failure, other headers are taken as they are', async () => {
    origin.set('title:tags', 'v', { headers: { 'cache-tag': 'ok,,bad tag,\u00e9' } });
    refused(await read('title:tags'), /Cache-Tag/);
    origin.set('title:surrogate', 'v', { headers: { 'surrogate-key': 'a b c' } });
    const { headers } = await read('title:surrogate');
    assert.equal(headers.get('cache-tag'), 'a,b,c');
    const odd = { 'content-type': 'text/plain; x=\u00e9', etag: 'no-quotes', age: '-1', 'cache-control': 'of, ; our=own', 'set-cookie': 'a=b' };
    origin.set('title:odd', 'v', { headers: odd });
    for (const isolate of [1, 2]) {
      const answer = await read('title:odd', { isolate });
      assert.deepEqual([answer.status, answer.text], [200, 'v'], `isolate ${isolate}`);
      assert.equal(answer.headers.get('set-cookie'), null);
      assert.match(answer.headers.get('age'), /^\d+$/);
      if (isolate === 1) await edge.inKv('title:odd');
    }
  });

  await t.test('down: what expired stands in, marked, in every class, and for its stale time', async () => {
    for (const key of ['brief:1', 'flash:1']) {
      origin.set(key, { n: 1 });
      await read(key);
      await edge.inR2(key);
    }
    const began = Date.now();
    origin.fail(500);
    // The first finds an expired entry and asks behind its answer.
    const first = await read('brief:1');
    assert.deepEqual([first.json, freshness(first).word], [{ n: 1 }, 'revalidating']);
    assert.equal(first.headers.get('cache-control'), 'public, max-age=0, must-revalidate');
    await until(async () => (await read('flash:1')).status === 502, 'the stale time is over');
    assert.ok(Date.now() - began > 1_000, 'and not before');
    assert.equal((await read('flash:1', { isolate: 2 })).status, 502, 'nor by KV and R2');
    assert.equal((await read('brief:1', { isolate: 2 })).status, 200);
    origin.fail(undefined);
    assert.equal((await read('flash:1')).status, 200);
  });

  await t.test('down after a change: as the class says, marked; never for a reader that needs the change', async () => {
    for (const key of ['title:down', 'strict:down']) {
      origin.set(key, { n: 1 });
      await read(key);
      await edge.inR2(key);
    }
    const at = await broker.publish({ changes: [{ key: 'title:down' }, { key: 'strict:down' }] });
    await read('title:first', { after: at });
    await read('title:first', { after: at, isolate: 2 });
    origin.fail(500);
    for (const isolate of [1, 2]) {
      const instead = await read('title:down', { isolate });
      stale(instead, { n: 1 });
      assert.ok(entryVersion(instead) < at.version);
      if (isolate === 1) assert.match(tiers(instead).memory, /fwd=stale; detail=below-floor-of-key/);
      refused(await read('strict:down', { isolate }), /answered 500/);
      assert.equal((await read('title:down', { isolate, after: at })).status, 502);
    }
    const wrapped = (await read('title:down', { query: '?envelope=1' })).json.freshness;
    assert.deepEqual([wrapped.stale, wrapped.confidence], [true, 0]);
    origin.fail(undefined);
    origin.set('title:down', { n: 2 });
    const after = await read('title:down');
    assert.deepEqual([after.json, freshness(after).word], [{ n: 2 }, 'fresh']);
  });

  await t.test('down after a removal: what was there before is never shown, not even after it came back', async () => {
    origin.set('title:gone', { n: 1 });
    await read('title:gone');
    await edge.inR2('title:gone');
    const removed = await broker.publish({ key: 'title:gone', op: 'remove' });
    const back = await broker.publish({ key: 'title:gone' });
    assert.equal(back.version, removed.version + 1);
    await read('title:first', { after: back });
    await read('title:first', { after: back, isolate: 2 });
    origin.fail(500);
    for (const isolate of [1, 2]) refused(await read('title:gone', { isolate }), /answered 500/);
    origin.fail(undefined);
  });

  await t.test('really down, and back', async () => {
    origin.set('title:back', { n: 1 });
    await origin.down();
    refused(await read('title:back'), /./);
    await origin.up();
    assert.deepEqual((await read('title:back')).json, { n: 1 });
  });

  await t.test('asked once by 50 reads of one key at once', async () => {
    origin.set('title:popular', { n: 1 });
    origin.hold('title:popular');
    const reads = Array.from({ length: 50 }, () => read('title:popular'));
    const release = await origin.next('title:popular');
    await edge.untilTold(({ calls }) => calls['r2.get'] >= 50);
    release();
    for (const answer of await Promise.all(reads)) assert.deepEqual([answer.status, answer.json], [200, { n: 1 }]);
    assert.equal(origin.count('title:popular'), 1);
    assert.equal((await Promise.all(reads)).filter((one) => /collapsed/.test(one.headers.get('cache-status'))).length, 49);
  });

  await t.test('asked for never more than ORIGIN_CONCURRENCY keys at once', async () => {
    origin.most = 0;
    const keys = Array.from({ length: 50 }, (_, n) => `title:each-${n}`);
    for (const key of keys) origin.set(key, { key });
    for (const { status } of await Promise.all(keys.map((key) => read(key)))) assert.equal(status, 200);
    assert.ok(origin.most <= 3, `${origin.most} at once`);
    assert.ok(keys.every((key) => origin.count(key) === 1));
  });

  await t.test('asked once behind many answers of one expired entry', async () => {
    origin.set('brief:swr', { n: 1 });
    await read('brief:swr');
    origin.set('brief:swr', { n: 2 });
    origin.hold('brief:swr');
    await edge.faults();
    for (const answer of await Promise.all(Array.from({ length: 20 }, () => read('brief:swr')))) {
      assert.deepEqual([answer.json, freshness(answer).word], [{ n: 1 }, 'revalidating']);
    }
    const release = await origin.next('brief:swr');
    assert.equal(origin.count('brief:swr'), 2, 'the first, and one behind all of them');
    release();
    origin.releaseAll('brief:swr');
    await until(async () => (await read('brief:swr')).json.n === 2, 'the next reads have the new value');
  });

  await t.test('told the position that a reader holds', async () => {
    const at = await broker.publish({ key: 'title:told' });
    origin.set('title:told', 'v');
    await read('title:told', { after: at });
    assert.equal(origin.asked.at(-1).version, at.position);
  });
});

test('an origin is asked once by the reads of one key that waited for their turn', { timeout: 120_000 }, async (t) => {
  // Its answers are held until all reads wait, however long that takes.
  const edge = await startEdge(t, { vars: { POLICY, ORIGIN_TIMEOUT_MS: '60000', ORIGIN_CONCURRENCY: '3' } });
  const { broker, origin } = edge;
  await edge.read('title:first', { after: await broker.publish({ key: 'title:first' }) });
  const others = ['title:slow-0', 'title:slow-1', 'title:slow-2'];
  for (const key of [...others, 'title:queued']) origin.set(key, { key });
  others.forEach((key) => origin.hold(key));
  const slow = others.map((key) => edge.read(key));
  const releases = await Promise.all(others.map((key) => origin.next(key)));
  await edge.faults();
  const queued = [];
  // Not all at the same moment: each looks for its turn at its own times.
  while (queued.length < 20) {
    queued.push(edge.read('title:queued'));
    await edge.untilTold(({ calls }) => calls['r2.get'] >= queued.length);
  }
  assert.equal(origin.count('title:queued'), 0);
  for (const release of releases) release();
  for (const { status } of await Promise.all([...slow, ...queued])) assert.equal(status, 200);
  assert.equal(origin.count('title:queued'), 1);
});

// S1 under a cut connection: an edge that follows its broker through a line which a test cuts.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { entryVersion, freshness, until } from './edge.mjs';
import { startValues } from './origin.mjs';
import { startLine } from './proxy.mjs';
import { freePort, startDev, startSystem, temporaryFolder, TOKENS } from './system.mjs';

const BOUND = 700;
/** How long a replica lets a reader's question wait for a proof. */
const PATIENCE = 3_000;
/** How long it may take a replica to find that its line is dead (pong 5 s), to give up a dial (10 s), and to dial again. */
const RECOVERY = 25_000;
/** How many milliseconds a slow machine may add to any time. */
const SLACK = 1_500;
const POLICY = JSON.stringify({
  quick: { lag_bound_ms: BOUND },
  sure: { lag_bound_ms: BOUND, beyond_bound: 'fail' },
});

test('S1: an edge whose line to the broker is cut', async (t) => {
  const home = await startSystem(t, { origin: false });
  const origin = await startValues(t);
  const line = await startLine(t, Number(new URL(home.broker.url).port));
  // Under `wrangler dev`: the harness passes what a Worker fetches through node, which opens no sockets.
  const { broker: edge } = await startDev(t, {
    state: temporaryFolder(t),
    port: await freePort(),
    originPort: 1,
    vars: { ORIGIN_URL: origin.url, BROKER_URL: line.url, BROKER_TOKEN: TOKENS.admin, EDGE: 'far', POLICY, ORIGIN_TIMEOUT_MS: '2000' },
  });
  const keys = ['quick:1', 'sure:1', 'live:1', 'title:1'];
  const publish = async (n) => {
    for (const key of keys) origin.set(key, { n });
    return home.broker.publish({ changes: keys.map((key) => ({ key })) });
  };
  const timed = async (key, options) => {
    const began = Date.now();
    const read = await edge.read(key, options);
    return { read, began, took: Date.now() - began };
  };
  const allFresh = async (n, at) => {
    for (const key of keys) {
      const read = await until(async () => {
        const one = await edge.read(key, { after: at });
        return one.status === 200 && one;
      }, `${key} is read again`, RECOVERY);
      assert.deepEqual([read.json, freshness(read).word], [{ n }, 'fresh'], key);
    }
  };
  await allFresh(1, await publish(1));

  let n = 1;
  for (const how of ['close', 'swallow']) {
    await t.test(`S1: ${how}: nothing is fresh beyond its bound, and nobody is told an old value as a new one`, async () => {
      const cutAt = Date.now();
      line.cut(how);
      n += 1;
      const at = await publish(n);
      const acknowledged = Date.now();
      const seen = { quick: new Set(), sure: new Set(), live: new Set() };
      let longest = 0;
      const watch = async (key) => {
        const [name] = key.split(':');
        for (const end = cutAt + 2 * BOUND; Date.now() < end; ) {
          const { read, began, took } = await timed(key);
          longest = Math.max(longest, took);
          if (read.status !== 200) {
            assert.deepEqual([read.status, read.json.code], [503, 'bound-not-kept'], read.text);
            assert.equal(read.headers.get('retry-after'), '1');
            seen[name].add('refused');
            continue;
          }
          const { word, lag } = freshness(read);
          seen[name].add(word);
          if (word === 'fresh') {
            assert.ok(name === 'live' || lag <= BOUND, `fresh with a lag of ${lag} ms`);
            const old = entryVersion(read) < at.version && began > acknowledged + BOUND;
            assert.ok(!old, `an old value called fresh ${began - acknowledged} ms after the publish`);
            assert.ok(began < cutAt + BOUND + SLACK, `fresh ${began - cutAt} ms after the cut`);
          } else {
            assert.equal(read.headers.get('cache-control'), 'public, max-age=0, must-revalidate');
            assert.ok(lag > BOUND, `marked with a lag of ${lag} ms`);
          }
        }
      };
      await Promise.all(['quick:1', 'sure:1', 'live:1'].map(watch));
      t.diagnostic(`${how}: the longest read took ${longest} ms`);
      assert.ok(longest < PATIENCE + SLACK, `a read took ${longest} ms`);
      assert.ok(seen.quick.has('stale') && !seen.quick.has('refused'), 'a class that says stale is served marked');
      assert.ok(seen.sure.has('refused') && !seen.sure.has('stale'), 'a class that says fail fails');
      assert.deepEqual([...seen.live], ['refused'], 'a class that always asks fails at once');

      const [wanting, cold] = await Promise.all([
        timed('quick:1', { after: at }),
        edge.read('quick:1', { catalog: `cold-${how}` }),
      ]);
      assert.equal(wanting.read.status, 503);
      assert.match(wanting.read.json.code, /min-version|bound-not-kept/);
      assert.ok(wanting.took < PATIENCE + SLACK, 'the wait for a version is bounded');
      assert.deepEqual([cold.status, cold.json.code], [503, 'bound-not-kept'], 'what it never heard of is not served at all');
    });

    await t.test(`S1: ${how}: when the line is back, so is everything`, async () => {
      const began = Date.now();
      line.mend();
      const { epoch, version } = await home.broker.status();
      await allFresh(n, { epoch, version });
      t.diagnostic(`${how}: fresh again ${Date.now() - began} ms after`);
      n += 1;
      await allFresh(n, await publish(n));
    });
  }

  await t.test('an older epoch is satisfied by a newer, a newer one is waited for in vain', async () => {
    const { epoch } = await home.broker.status();
    const past = { epoch: epoch.replace(/^../, '00'), version: 999_999 };
    assert.equal((await edge.read('quick:1', { after: past })).status, 200);
    const future = await timed('quick:1', { after: { epoch: epoch.replace(/^../, '7Z'), version: 0 } });
    assert.deepEqual([future.read.status, future.read.json.code], [503, 'min-version']);
    assert.ok(future.took < PATIENCE + SLACK);
  });

  for (const [key, size, chunked] of [['title:cut', 10_000, false], ['title:chunked', 10_000, true], ['embedding:large', 26 << 20, false]]) {
    await t.test(`an origin that breaks off half-way is a failure, and half a value is never kept: ${key}`, async () => {
      origin.set(key, Buffer.alloc(size, 'x'), { chunked });
      origin.fail('cut', key);
      const answer = await edge.read(key);
      assert.deepEqual([answer.status, answer.json?.code], [502, 'origin-failed']);
      origin.fail(undefined, key);
      const next = await fetch(edge.at(`/entries/${key}`));
      assert.deepEqual([next.status, (await next.arrayBuffer()).byteLength], [200, size]);
    });
  }
});

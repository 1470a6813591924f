// Many keys at once: bulk reads, fills ahead; and what a reader says of its way.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { servedBy, startEdge, until } from './edge.mjs';
import { TOKENS } from './system.mjs';

const POLICY = { quick: { lag_bound_ms: 300 } };

test('many at once', async (t) => {
  const edge = await startEdge(t, { vars: { POLICY } });
  const { broker, origin } = edge;
  t.beforeEach(async () => {
    origin.fail(undefined);
    await edge.faults();
  });

  await t.test('100 keys of every kind: one sync, one question to KV, each answered as it would be alone', async () => {
    const found = Array.from({ length: 94 }, (_, n) => `title:${n}`);
    found.forEach((key, n) => origin.set(key, { n }, { tags: [`t${n % 3}`], etag: `"e${n}"` }));
    origin.set('embedding:1', Buffer.from([0xff, 0, 1]));
    origin.set('title:text', 'text', { type: 'text/plain' });
    origin.set('title:broken', 'x');
    origin.fail(500, 'title:broken');
    const at = await broker.publish({ changes: [{ key: 'title:removed', op: 'remove' }, { key: 'title:0' }] });
    const keys = [...found, 'embedding:1', 'title:text', 'title:broken', 'title:missing', 'title:removed', 'title:0', 'title:ü/b c'];
    const by = async (isolate) => {
      const { status, json, headers } = await edge.many(keys, { isolate, after: at });
      assert.deepEqual([status, headers.get('cache-control')], [200, 'no-store']);
      assert.deepEqual(json.entries.map(({ key }) => key), [...new Set(keys)], 'in the order asked, each once');
      assert.deepEqual([json.catalog, json.position], ['tv', at.position]);
      assert.ok(json.lag_ms >= 0 && json.lag_ms <= 2_000);
      return new Map(json.entries.map((entry) => [entry.key, entry]));
    };
    const first = await by(1);
    assert.ok(origin.most <= 4, `${origin.most} questions at once`);
    found.forEach((key, n) => {
      const { status, value, encoding, content_type, etag, tags, freshness: fresh } = first.get(key);
      assert.deepEqual([status, value, encoding, content_type], [200, { n }, 'json', 'application/json']);
      assert.deepEqual([etag, tags, fresh.stale, fresh.version], [`"e${n}"`, [`t${n % 3}`], false, at.version]);
    });
    const bytes = first.get('embedding:1');
    assert.deepEqual([bytes.value, bytes.encoding], [Buffer.from([0xff, 0, 1]).toString('base64'), 'base64']);
    assert.equal(first.get('title:text').value, 'text');
    const problem = (key) => [first.get(key).status, first.get(key).code];
    assert.deepEqual(problem('title:broken'), [502, 'origin-failed']);
    assert.deepEqual(problem('title:missing'), [404, 'not-found']);
    assert.deepEqual(problem('title:removed'), [404, 'not-found']);
    assert.equal(first.get('title:removed').cache_status, '', 'the log knew');
    assert.ok(keys.every((key) => origin.count(key) === (key === 'title:removed' ? 0 : 1)));

    for (const key of ['embedding:1', 'title:text', 'title:93', 'title:missing']) await edge.inKv(key);
    await until(async () => (await edge.kv.list({ prefix: 'tv/' })).keys.length >= 98, 'KV has all');
    await edge.faults();
    const second = await by(2);
    const { calls } = await edge.told();
    assert.deepEqual([calls['replica.sync'], calls['kv.many']], [1, 1]);
    assert.equal(calls['kv.get'], 1, 'bytes that are no text are asked for alone');
    for (const key of [...found, 'embedding:1', 'title:missing']) assert.match(second.get(key).cache_status, /newsreel-kv; hit/, key);
    assert.ok(found.every((key) => origin.count(key) === 1));
    const alone = await edge.read('title:7', { isolate: 2, query: '?envelope=1' });
    const { key, status, cache_status, ...rest } = second.get('title:7');
    assert.deepEqual(rest, alone.json);
  });

  await t.test('keys may stand in the address', async () => {
    const { status, json } = await broker.call('GET', '/entries?key=title%3A1&key=title:2&key=title%3A1&key=title:missing');
    assert.deepEqual([status, json.entries.map((one) => [one.key, one.status])], [
      200, [['title:1', 200], ['title:2', 200], ['title:missing', 404]],
    ]);
  });

  await t.test('what is no list of 1 to 100 keys is refused', async () => {
    const hundred = Array.from({ length: 101 }, (_, n) => `title:${n}`);
    for (const path of ['/entries', '/fill']) {
      const post = (body) => broker.call('POST', path, { token: TOKENS.admin, body });
      for (const [body, code] of [
        [JSON.stringify({ keys: [] }), 'bad-request'], [JSON.stringify({ keys: hundred }), 'bad-request'],
        [JSON.stringify({ keys: ['title'] }), 'bad-key'], [JSON.stringify({ keys: 'title:1' }), 'bad-json'],
        ['', 'bad-json'], ['{"keys":["title:1"', 'bad-json'], ['["title:1"]', 'bad-json'], ['{"keys":[1]}', 'bad-json'],
      ]) {
        const answer = await post(body);
        assert.deepEqual([answer.status, answer.json.code], [400, code], `${path} ${body.slice(0, 40)}`);
      }
      const large = await post(JSON.stringify({ keys: ['title:1'], more: 'x'.repeat(300_000) }));
      assert.deepEqual([large.status, large.json.code], [413, 'body-too-large']);
      const put = await broker.call('PUT', path, { token: TOKENS.admin, body: '{}' });
      assert.deepEqual([put.status, put.json.code], [405, 'method-not-allowed']);
    }
    assert.equal((await broker.call('GET', '/entries')).json.code, 'bad-request');
    const query = hundred.map((key) => `key=${key}`).join('&');
    assert.equal((await broker.call('GET', `/entries?${query}`)).json.code, 'bad-request');
  });

  await t.test('a bulk read has heard the version it asks for, or says so of each key', async () => {
    const { epoch, version } = await broker.status();
    const answer = await edge.many(['title:1', 'title:2'], { headers: { 'newsreel-min-version': `${epoch}:${version + 9}` } });
    assert.deepEqual(answer.json.entries.map(({ status, code }) => [status, code]), Array(2).fill([503, 'min-version']));
  });

  await t.test('S1: what a bulk read had early is judged by the bound when it is answered', async () => {
    origin.set('quick:1', { n: 1 });
    origin.set('title:waits', 'x');
    await edge.read('quick:1');
    origin.hold('title:waits');
    const reading = edge.many(['quick:1', 'title:waits']);
    const release = await origin.next('title:waits');
    origin.set('quick:1', { n: 2 });
    const at = await broker.publish({ key: 'quick:1' });
    const acknowledged = Date.now();
    await until(async () => (await edge.read('quick:1')).json.n === 2 && Date.now() - acknowledged > 600, 'twice the bound is over');
    release();
    origin.releaseAll('title:waits');
    const { json } = await reading;
    const [{ value, freshness: fresh }] = json.entries;
    assert.ok(fresh.version >= at.version || fresh.stale, `${JSON.stringify(value)} of version ${fresh.version} is called fresh at ${json.position}`);
  });

  await t.test('S1: and so it is however often others keep it waiting', async () => {
    const keys = Array.from({ length: 8 }, (_, n) => `quick:chain-${n}`);
    for (const key of keys) {
      origin.set(key, { n: 1 });
      await edge.read(key);
      origin.set(key, { n: 2 });
      origin.hold(key);
    }
    origin.set('title:first', 'x');
    origin.hold('title:first');
    const reading = edge.many([...keys, 'title:first']).finally(() => (reading.done = true));
    let release = await origin.next('title:first');
    const published = new Map();
    // Each time that a key's wait ends, the next key has changed, and the call waits for it longer than the bound.
    for (const key of keys) {
      published.set(key, await broker.publish({ key }));
      const acknowledged = Date.now();
      await until(() => Date.now() - acknowledged > 400, 'more than the bound is over');
      release();
      release = await Promise.race([origin.next(key), reading.then(() => undefined)]);
      if (!release) break;
    }
    release?.();
    for (const key of [...keys, 'title:first']) origin.releaseAll(key);
    const { json } = await reading;
    for (const { key, value, freshness: fresh } of json.entries) {
      const at = published.get(key);
      if (at) assert.ok(fresh.stale || fresh.version >= at.version, `${key}: ${JSON.stringify(value)} of version ${fresh.version} is called fresh at ${json.position}`);
    }
    t.diagnostic(`${published.size} changes`);
  });

  await t.test('a bulk read of classes that fail is answered though the log moves on all the time', async () => {
    const publishing = { on: true };
    const publisher = (async () => {
      while (publishing.on) await broker.publish({ key: 'title:busy' });
    })();
    let refused = 0;
    const detail = new Set();
    for (let round = 0; round < 5; round += 1) {
      const cold = Array.from({ length: 10 }, (_, n) => `title:busy-${round}-${n}`);
      for (const key of [...cold, 'live:busy', 'trending:busy']) origin.set(key, { n: round });
      const { json } = await edge.many(['live:busy', 'trending:busy', ...cold]);
      for (const { status, detail: why } of json.entries.slice(0, 2)) {
        refused += status === 200 ? 0 : 1;
        if (why) detail.add(why);
      }
    }
    publishing.on = false;
    await publisher;
    assert.equal(refused, 0, `${refused} of 10: ${[...detail].join()}`);
  });

  await t.test('a fill is for administrators', async () => {
    assert.equal((await edge.fill(['title:1'], { token: undefined })).status, 200);
    const without = await broker.call('POST', '/fill', { body: '{"keys":["title:1"]}' });
    assert.deepEqual([without.status, without.json.code], [401, 'unauthorized']);
    for (const [token, status] of [['wrong', 401], [TOKENS.publish, 403], [TOKENS.follow, 403]]) {
      assert.equal((await edge.fill(['title:1'], { token })).status, status, token);
    }
  });

  await t.test('a fill says of each key what became of it, and when it says so it is done', async () => {
    const catalog = 'filled';
    for (const n of [1, 2, 3]) origin.set(`title:fill-${n}`, { n });
    const at = await broker.publish({ key: 'title:fill-gone', op: 'remove' }, { catalog });
    await edge.read('title:fill-2', { catalog, after: at });
    const { name } = await edge.inKv('title:fill-2', 0, catalog);
    await edge.read('title:fill-3', { catalog });
    await edge.inR2('title:fill-3', 0, catalog);
    await edge.kv.delete((await edge.inKv('title:fill-3', 0, catalog)).name);
    origin.set('title:fill-bad', 'x');
    origin.fail(500, 'title:fill-bad');
    const keys = ['title:fill-1', 'title:fill-2', 'title:fill-3', 'title:fill-missing', 'title:fill-gone', 'title:fill-bad'];
    const { status, json } = await edge.fill(keys, { catalog, isolate: 2 });
    const stored = (await edge.kv.list({ prefix: `${catalog}/` })).keys.map((one) => one.name);
    assert.equal(status, 200);
    assert.deepEqual(
      { ...json, failed: json.failed.map(({ key, code }) => [key, code]) },
      {
        catalog, position: at.position, lag_ms: json.lag_ms,
        filled: ['title:fill-1', 'title:fill-3'], kept: ['title:fill-2'], absent: ['title:fill-missing', 'title:fill-gone'],
        failed: [['title:fill-bad', 'origin-failed']],
      },
    );
    for (const key of ['title:fill-1', 'title:fill-3', 'title:fill-missing']) {
      assert.ok(stored.includes(`${catalog}/${at.epoch}/${key}@0`), `${key} is in KV`);
    }
    assert.ok(stored.includes(name));
    assert.deepEqual(['title:fill-1', 'title:fill-2', 'title:fill-3'].map((key) => origin.count(key)), [1, 1, 1]);
    const again = (await edge.fill(keys.slice(0, 4), { catalog })).json;
    assert.deepEqual([again.filled, again.kept, again.absent], [[], keys.slice(0, 3), ['title:fill-missing']]);
  });

  await t.test('S2: a fill that a change overtakes fetches again, and never replaces what is newer', async () => {
    const catalog = 'overtaken-fill';
    const key = 'title:overtaken';
    origin.set(key, { n: 1 }, { tags: ['x'] });
    await broker.publish({ key: 'title:other' }, { catalog });
    origin.hold(key);
    const filling = edge.fill([key], { catalog });
    const release = await origin.next(key);
    origin.set(key, { n: 2 }, { tags: ['x'] });
    const at = await broker.publish({ tag: 'x' }, { catalog });
    await edge.read('title:other', { catalog, after: at });
    release();
    origin.releaseAll(key);
    assert.deepEqual((await filling).json.filled, [key]);
    for (const isolate of [1, 2]) {
      const read = await edge.read(key, { catalog, isolate, after: at });
      assert.deepEqual([read.json, servedBy(read)], [{ n: 2 }, 'kv']);
    }
  });

  await t.test('an answer is explained to administrators, step by step', async () => {
    origin.set('title:why', { n: 1 }, { tags: ['because'] });
    await edge.read('title:why');
    const at = await broker.publish({ tag: 'because' });
    for (const [token, status] of [[undefined, 401], ['wrong', 401], [TOKENS.follow, 403]]) {
      assert.equal((await edge.read('title:why', { token, query: '?explain=1' })).status, status);
    }
    const why = await edge.explain('title:why', { after: at });
    assert.deepEqual([why.key, why.edge, why.position, why.policy.lag_bound_ms], ['title:why', 'e2e', at.position, 2_000]);
    const text = JSON.stringify(why.steps);
    for (const said of ['memory', 'kv', 'r2', 'origin', 'below-floor-of-tag', 'because']) assert.ok(text.includes(said), `${said}: ${text}`);
    const hit = await edge.explain('title:why');
    assert.ok(hit.steps.length < why.steps.length);
    assert.equal((await edge.fetch('title:why', { query: '?explain=1', method: 'HEAD', headers: { authorization: `Bearer ${TOKENS.admin}` } })).status, 200);
  });
});

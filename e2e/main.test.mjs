// The main job: a change at the origin reaches followers, KV and the next read.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Follower } from './follower.mjs';
import { startSystem, TOKENS } from './system.mjs';

test('the main job', async (t) => {
  const { broker, origin, kv } = await startSystem(t, { vars: { SEND_CACHE_TAG: 'true' } });
  const follower = await new Follower(broker).connect();
  t.after(() => follower.close());

  /** Writes at the origin, and returns the version of the publish once the follower has heard it. */
  const change = async (write) => {
    const before = follower.position.version;
    await write();
    await follower.reached(before + 1);
    return follower.position;
  };

  await t.test('a published change is a frame, the KV entry is gone, the next read is the new value', async () => {
    const first = await change(() => origin.put('title:603', { year: 1999 }, ['platform:netflix', 'genre:action']));
    assert.deepEqual(follower.versions.at(-1).changes, [
      { key: 'title:603', tags: ['platform:netflix', 'genre:action'] },
    ]);
    const read = await broker.read('title:603', { after: first });
    assert.deepEqual(read.json, { year: 1999 });
    const stored = await names(kv, 1);
    assert.deepEqual(stored, [`tv/${first.epoch}/title:603@${first.version}`]);

    const second = await change(() => origin.put('title:603', { year: 2003 }, ['platform:netflix']));
    assert.deepEqual((await broker.read('title:603', { after: second })).json, { year: 2003 });
    assert.deepEqual(await names(kv, 1, second.version), [`tv/${second.epoch}/title:603@${second.version}`]);
  });

  await t.test('the headers say what was done', async () => {
    const at = await change(() => origin.put('title:1', { n: 1 }, ['a', 'b']));
    const miss = await broker.read('title:1', { after: at });
    const header = (name) => miss.headers.get(name);
    assert.equal(header('cache-tag'), 'a,b');
    assert.equal(header('content-type'), 'application/json');
    assert.match(header('newsreel-version'), new RegExp(`^${at.epoch}:${at.version}:[0-9a-f]{16}$`));
    assert.match(header('newsreel-entry-version'), new RegExp(`^${at.epoch}:${at.version}:`));
    assert.match(header('newsreel-freshness'), /^fresh; age=\d+\.\d{3}; lag=\d+\.\d{3}$/);
    assert.match(header('cache-status'), /newsreel-kv; fwd=uri-miss; stored, newsreel-memory; fwd=uri-miss; stored/);
    assert.match(header('cache-control'), /max-age=[01]\b/);
    assert.match(header('age'), /^\d+$/);

    const hit = await broker.read('title:1');
    assert.match(hit.headers.get('cache-status'), /^newsreel-memory; hit; ttl=\d+$/);
    const same = await broker.read('title:1', { headers: { 'if-none-match': hit.headers.get('etag') } });
    assert.equal(same.status, 304);
    const head = await fetch(broker.at('/entries/title:1'), { method: 'HEAD' });
    assert.equal(head.status, 200);
    assert.equal(await head.text(), '');
    const wrapped = (await broker.read('title:1', { query: '?envelope=1' })).json;
    assert.deepEqual(wrapped.value, { n: 1 });
    assert.equal(wrapped.freshness.stale, false);
    assert.equal(wrapped.freshness.version, at.version);
  });

  await t.test('a key may hold anything but control characters', async () => {
    const key = 'title:a/b c?d#e%ü映画😀';
    const at = await change(() => origin.put(key, { odd: true }));
    assert.deepEqual((await broker.read(key, { after: at })).json, { odd: true });
    assert.equal(follower.versions.at(-1).changes[0].key, key);
  });

  for (const [what, publish] of [
    ['a tag', { tag: 'platform:hulu' }],
    ['a prefix', { prefix: 'title:tag' }],
    ['everything', { all: true }],
  ]) {
    await t.test(`${what} changed: entries filled before are not served`, async () => {
      await change(() => origin.put('title:tagged', { at: what }, ['platform:hulu']));
      const before = await broker.read('title:tagged', { after: follower.position });
      const receipt = await broker.publish(publish);
      const after = await broker.read('title:tagged', { after: receipt });
      assert.match(after.headers.get('cache-status'), /detail=below-floor-of-/);
      assert.ok(entryVersion(after) >= receipt.version && entryVersion(before) < receipt.version);
    });
  }

  await t.test('a removed key is a 404 without asking the origin, until it is said again', async () => {
    await change(() => origin.put('title:gone', { n: 1 }));
    const removed = await change(() => origin.remove('title:gone'));
    const read = await broker.read('title:gone', { after: removed });
    assert.equal(read.status, 404);
    assert.equal(read.json.code, 'not-found');
    assert.equal(entryVersion(read), removed.version);
    assert.equal(read.headers.get('cache-status'), null, 'no tier was asked');
    const back = await change(() => origin.put('title:gone', { n: 2 }));
    assert.deepEqual((await broker.read('title:gone', { after: back })).json, { n: 2 });
  });

  await t.test('what the origin does not have is a 404 that a later publish undoes', async () => {
    assert.equal((await broker.read('title:later')).status, 404);
    const at = await change(() => origin.put('title:later', { n: 1 }));
    assert.deepEqual((await broker.read('title:later', { after: at })).json, { n: 1 });
  });

  await t.test('a class with bound 0 sees every acknowledged publish without being told of it', async () => {
    await change(() => origin.put('live:now', { n: 1 }));
    assert.deepEqual((await broker.read('live:now')).json, { n: 1 });
    await change(() => origin.put('live:now', { n: 2 }));
    assert.deepEqual((await broker.read('live:now')).json, { n: 2 });
  });

  await t.test('a version that was never made is a 503, not an old answer', async () => {
    const { epoch, version } = follower.position;
    const read = await broker.read('title:603', { after: { epoch, version: version + 1000 } });
    assert.equal(read.status, 503);
    assert.equal(read.json.code, 'min-version');
    assert.equal((await broker.read('title:603', { headers: { 'newsreel-min-version': 'x' } })).status, 400);
  });

  await t.test('a publish may wait until every replica has applied it', async () => {
    const publish = { headers: {}, token: TOKENS.publish, body: '{"key":"title:603"}' };
    const { json } = await broker.call('POST', '/changes?wait=applied&timeout_ms=20000', publish);
    assert.deepEqual([json.applied, json.pending, json.offline], [['e2e'], [], []]);
    assert.deepEqual(json.followers, { acked: 2, pending: 0 }, 'the replica and the follower of this test');
    const { position } = await broker.status();
    assert.equal(json.position, position);
    assert.equal((await broker.call('POST', '/changes?wait=seen', publish)).status, 400);
    const lonely = await broker.call('POST', '/changes?wait=applied', { ...publish, catalog: 'lonely' });
    assert.deepEqual([lonely.json.applied, lonely.json.pending, lonely.json.offline], [[], [], []]);
    assert.deepEqual(lonely.json.followers, { acked: 0, pending: 0 });
    await follower.reached(json.version);
  });

  await t.test('the replica is among the followers and holds what every follower holds', async () => {
    const answer = await broker.call('GET', '/followers', { token: TOKENS.admin });
    const replica = answer.json.followers.find((one) => one.replica);
    assert.equal(replica.name, 'e2e');
    const { epoch, version, hash } = follower.position;
    const read = await broker.read('live:now');
    assert.equal(read.headers.get('newsreel-version'), `${epoch}:${version}:${hash}`);
  });
});

const entryVersion = (answer) => Number(answer.headers.get('newsreel-entry-version').split(':')[1]);

/** Waits until KV holds so many entries, of this generation if given, and returns their names. */
async function names(kv, count, generation) {
  for (;;) {
    const found = (await kv.list()).keys.map((key) => key.name).filter((name) => name.includes('title:603'));
    const right = generation === undefined || found.every((name) => name.endsWith(`@${generation}`));
    if (found.length === count && right) return found;
  }
}

test('a reader that has read lately is told of changes without asking', async (t) => {
  // With a bound of an hour no read asks the replica for news: only the follow window can bring it.
  const POLICY = { archive: { lag_bound_ms: 3_600_000 } };
  const { broker, origin } = await startSystem(t, { vars: { POLICY } });
  await origin.put('archive:1', { n: 1 });
  assert.deepEqual((await readUntil(broker, 'archive:1', 1)).json, { n: 1 });
  for (let n = 2; n <= 10; n += 1) {
    await origin.put('archive:1', { n });
    const read = await readUntil(broker, 'archive:1', n);
    assert.match(read.headers.get('newsreel-freshness'), /^fresh; /);
  }
});

/** Reads until the value is the one wanted. */
async function readUntil(broker, key, n) {
  for (;;) {
    const read = await broker.read(key);
    if (read.json?.n === n) return read;
  }
}

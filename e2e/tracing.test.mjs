// The trace of a publish: kept with its version, told to every follower, and sent to the origin with the fetches that follow.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { startEdge, until } from './edge.mjs';
import { Follower } from './follower.mjs';
import { startValues } from './origin.mjs';
import { Served } from './served.mjs';
import { newsreel, TOKENS } from './system.mjs';

const HOUR = 3_600_000;
const trace = (number, flags = '01') => `00-${String(number).padStart(32, '0')}-${String(number).padStart(16, '0')}-${flags}`;

test('the origin is sent the trace of the change that it is asked for', async (t) => {
  const edge = await startEdge(t, { vars: { POLICY: { title: { lag_bound_ms: HOUR } } } });
  const { broker, origin } = edge;
  const follower = await new Follower(broker, { name: 'edge-of-tests' }).connect();
  const keys = ['title:1', 'title:2', 'title:tagged', 'title:never'];
  for (const key of keys) origin.set(key, { key }, { tags: key === 'title:tagged' ? ['platform:quay'] : [] });
  for (const key of keys) await edge.read(key);
  /** Publishes, reads a key that has heard of it, and returns the trace that the origin was sent. */
  const tracedBy = async (publish, key, { headers = {}, isolate = 1 } = {}) => {
    const after = await broker.publish(publish, { headers });
    const asked = origin.count(key);
    assert.equal((await edge.read(key, { after, isolate })).status, 200);
    assert.equal(origin.count(key), asked + 1, 'the change is fetched');
    return origin.asked.findLast((one) => one.key === key).traceparent;
  };

  await t.test('named by a header, or by the publish itself', async () => {
    assert.equal(await tracedBy({ key: 'title:1' }, 'title:1', { headers: { traceparent: trace(1) } }), trace(1));
    assert.equal(await tracedBy({ key: 'title:1', traceparent: trace(2) }, 'title:1', { headers: { traceparent: trace(3) } }), trace(2));
  });

  await t.test('of a change of a tag that the refused entry carries', async () => {
    assert.equal(await tracedBy({ tag: 'platform:quay', traceparent: trace(4) }, 'title:tagged'), trace(4));
  });

  await t.test('at another isolate too, which learns it with the floors', async () => {
    assert.equal(await tracedBy({ key: 'title:2', traceparent: trace(5) }, 'title:2', { isolate: 2 }), trace(5));
  });

  await t.test('and none of a change without one, that nobody records, or that was fetched before', async () => {
    assert.equal(await tracedBy({ key: 'title:1' }, 'title:1'), undefined);
    assert.equal(await tracedBy({ key: 'title:1', traceparent: trace(6, '00') }, 'title:1'), undefined);
    assert.equal(await tracedBy({ key: 'title:1' }, 'title:1', { headers: { traceparent: 'broken' } }), undefined);
  });

  await t.test('followers are told with the version; a retry is the same publish in another span', async () => {
    const { version } = await broker.status();
    await follower.reached(version);
    const seen = follower.versions.map((row) => row.traceparent).filter(Boolean);
    assert.deepEqual(seen, [1, 2, 4, 5].map((number) => trace(number)));
    const once = await broker.publish({ key: 'title:1' }, { headers: { 'idempotency-key': 'k', traceparent: trace(7) } });
    assert.deepEqual(await broker.publish({ key: 'title:1' }, { headers: { 'idempotency-key': 'k', traceparent: trace(8) } }), once);
    const { json } = await broker.changes(`?epoch=${once.epoch}&since=${once.version - 1}`);
    assert.deepEqual(json.versions.map((row) => row.traceparent), [trace(7)]);
  });

  await t.test('`newsreel publish` names one, and `newsreel trace` shows a version without a source of PostgreSQL', async () => {
    const at = ['--broker', broker.url];
    const flags = ['--key', 'title:1', '--traceparent', trace(9), '--token', TOKENS.publish];
    const { version } = JSON.parse((await newsreel('publish', ...at, ...flags)).stdout);
    await follower.reached(version);
    const body = JSON.stringify({ key: 'title:2', source: { name: 'hook:cms', id: 'evt_1', at: Date.now() } });
    const of = await broker.publish(JSON.parse(body));
    const show = async (number, token, ...more) => newsreel('trace', ...at, '--token', token, '--version', String(number), ...more);
    const shown = await show(version, TOKENS.admin);
    assert.match(shown.stdout, new RegExp(`^version +${version} +committed \\S+ by the broker's clock\ntrace +${trace(9)}\n +published +{"key":"title:1"}\n`));
    assert.match(shown.stdout, /^ +(applied +by|pending +at) the follower edge-of-tests/m);
    assert.match(shown.stdout, /^ +(applied +by|pending +at) the replica \S+/m);
    const way = JSON.parse((await show(of.version, TOKENS.admin, '--json')).stdout);
    assert.deepEqual([way.version, way.source.id, way.changes], [of.version, 'evt_1', [{ key: 'title:2' }]]);
    const narrow = await show(of.version, TOKENS.follow);
    assert.match(narrow.stdout, /^source +hook:cms evt_1 +happened \S+, -?\d+ ms before the commit\nversion /);
    assert.match(narrow.stderr, /shown to an admin token/);
    const missing = await show(of.version + 9, TOKENS.follow);
    assert.equal(missing.code, 4);
    assert.match(missing.stderr, /is not in the log, which has 1 to \d+ in full/);
  });
});

test("the platform's own spans say which trace of a publisher they belong to", async (t) => {
  const origin = await startValues(t);
  const served = await Served.at(t, { tail: 'spans.worker.mjs', vars: { ORIGIN_URL: origin.url } });
  const { broker } = await served.start();
  origin.set('title:1', 'v');
  const spans = () => served.said.flatMap((line) => /span of .*/.exec(line) ?? []);
  const after = await broker.publish({ key: 'title:1' }, { headers: { traceparent: trace(1) } });
  assert.equal((await broker.read('title:1', { after })).text, 'v');
  assert.equal(origin.asked.at(-1).traceparent, trace(1));
  const expected = [`span of POST: newsreel.traceparent=${trace(1)}`, `span of GET: newsreel.traceparent=${trace(1)}`, 'span of GET: newsreel.key=title:1'];
  await until(() => expected.every((line) => spans().includes(line)), 'the spans of the publish and of the fetch');
  assert.equal(spans().length, expected.length, spans().join('\n'));
});

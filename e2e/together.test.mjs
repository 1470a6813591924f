// Publishes that arrive together: they go to the object in one call, and each has its own answer.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Departures } from '../crates/broker/src/worker/together.js';
import { startSystem, TOKENS, wrapped } from './system.mjs';

const keyOf = ({ json }, versions) => versions.find(({ version }) => version === json.version).changes[0].key;

test('publishes that arrive while another is under way', async (t) => {
  const { broker } = await startSystem(t, { origin: false, config: wrapped(t, 'together.worker.mjs') });
  const tell = async (path) => (await fetch(new URL(path, broker.url))).json();
  const versions = async () => (await broker.changes('?since=0')).json.versions;
  /** Waits until the object was called with so many publishes; returns how many each call had. */
  const called = async (publishes) => {
    const calls = [];
    while (calls.reduce((sum, count) => sum + count, 0) < publishes) calls.push(...(await tell('/calls')));
    return calls;
  };

  await t.test('share calls, and each is answered with the version of its own change', async () => {
    const keys = Array.from({ length: 64 }, (_, n) => `title:${n}`);
    const answers = await Promise.all(keys.map((key) => broker.publishRaw(JSON.stringify({ key }))));
    const log = await versions();
    assert.deepEqual(answers.map((answer) => keyOf(answer, log)), keys);
    const calls = await called(keys.length);
    assert.ok(Math.max(...calls) > 1, `the calls had ${calls} publishes`);
    assert.equal(answers[0].headers.get('cache-control'), 'no-store');
  });

  await t.test('are refused and repeated one by one', async () => {
    const { version } = await broker.status();
    const keyed = { headers: { 'idempotency-key': 'once' } };
    const first = await broker.publishRaw('{"key":"a:1"}', keyed);
    await called(1);
    await tell('/hold');
    const alone = broker.publishRaw('{"key":"a:2"}');
    await called(1);
    const together = [
      broker.publishRaw('{"key":"a:1"}', keyed),
      broker.publishRaw('{"key":'),
      broker.publishRaw('{"key":"a:3"}', { headers: { 'idempotency-key': 'x'.repeat(300) } }),
      broker.publishRaw(`{"key":"a:4","expect":{"version":${version}}}`),
      broker.publishRaw('{"key":"a:5"}', { token: TOKENS.admin }),
    ];
    await called(together.length);
    await tell('/release');
    const [repeated, cut, long, late, other] = await Promise.all(together);
    assert.deepEqual([repeated.text, repeated.headers.get('idempotent-replayed')], [first.text, 'true']);
    assert.deepEqual([cut.status, cut.json.code], [400, 'bad-json']);
    assert.equal(cut.headers.get('content-type'), 'application/problem+json');
    assert.deepEqual([long.status, long.json.code], [400, 'bad-request']);
    assert.deepEqual([late.status, late.json.code], [412, 'expect-failed']);
    const others = [other, await alone].map(({ json }) => json.version);
    assert.deepEqual(new Set(others), new Set([version + 2, version + 3]));
  });

  await t.test('are published whoever of their senders leaves', async () => {
    for (let leaver = 0; leaver < 3; leaver += 1) {
      const { version } = await broker.status();
      await tell('/hold');
      const alone = broker.publishRaw('{"key":"b:0"}');
      await called(1);
      const gone = new AbortController();
      const together = [0, 1, 2].map((nth) =>
        fetch(broker.at('/changes'), {
          method: 'POST',
          headers: { authorization: `Bearer ${TOKENS.publish}` },
          body: JSON.stringify({ key: `b:${leaver}:${nth}` }),
          signal: nth === leaver ? gone.signal : undefined,
        }).then((response) => response.json(), (error) => error.name));
      await called(together.length);
      gone.abort();
      assert.equal(await together[leaver], 'AbortError');
      await tell('/release');
      await alone;
      const answers = await Promise.all(together);
      const log = await versions();
      assert.equal(log.length, version + 4);
      answers.forEach((json, nth) => nth === leaver || assert.equal(keyOf({ json }, log), `b:${leaver}:${nth}`));
    }
  });
});

test('an object of a version that knows no calls is published to by requests', async (t) => {
  const { broker } = await startSystem(t, { origin: false, config: wrapped(t, 'together-before.worker.mjs') });
  const keys = Array.from({ length: 16 }, (_, n) => `title:${n}`);
  const answers = await Promise.all(keys.map((key) => broker.publishRaw(JSON.stringify({ key }))));
  const log = (await broker.changes('?since=0')).json.versions;
  assert.deepEqual(answers.map((answer) => keyOf(answer, log)), keys);
  const keyed = { headers: { 'idempotency-key': 'once' } };
  const first = await broker.publishRaw('{"key":"a:1"}', keyed);
  const again = await broker.publishRaw('{"key":"a:1"}', keyed);
  assert.deepEqual([again.text, again.headers.get('idempotent-replayed')], [first.text, 'true']);
  const refused = await broker.publishRaw('{"key":');
  assert.deepEqual([refused.status, refused.json.code], [400, 'bad-json']);
});

test('departures', async (t) => {
  /** Departures whose calls end when they are told to. */
  const begin = () => {
    const calls = [];
    const departures = new Departures();
    const send = (publishes) => new Promise((resolve, reject) => calls.push({
      keys: publishes.map(({ key }) => key),
      answer: () => resolve(publishes.map(({ key }) => `to ${key}`)),
      fail: () => reject(new Error('the object failed')),
    }));
    const publish = (key, bytes = 1, outlive = () => {}) => departures.answer({ key, body: { length: bytes } }, send, outlive);
    return { calls, publish };
  };
  const turns = async () => {
    for (let turn = 0; turn < 8; turn += 1) await new Promise((next) => setTimeout(next, 0));
  };

  await t.test('a publish without company goes at once, and alone', async () => {
    const { calls, publish } = begin();
    for (const key of ['a', 'b']) {
      const answered = publish(key);
      assert.deepEqual(calls.at(-1).keys, [key]);
      calls.at(-1).answer();
      assert.equal(await answered, `to ${key}`);
    }
  });

  await t.test('those that wait go in one call, in order; a call that fails fails for its own alone', async () => {
    const { calls, publish } = begin();
    const alone = publish('a');
    const together = ['b', 'c', 'd'].map((key) => publish(key));
    await turns();
    const later = publish('e');
    await turns();
    assert.deepEqual(calls.map(({ keys }) => keys), [['a'], ['b', 'c', 'd'], ['e']]);
    calls[1].fail();
    calls[0].answer();
    calls[2].answer();
    for (const one of together) await assert.rejects(one, /the object failed/);
    assert.deepEqual(await Promise.all([alone, later]), ['to a', 'to e']);
  });

  await t.test('a call has a mebibyte of bodies, or one', async () => {
    const { calls, publish } = begin();
    const sizes = { b: 600_000, c: 400_000, d: 100_000, e: 2_000_000, f: 1 };
    const all = [publish('a'), ...Object.entries(sizes).map(([key, bytes]) => publish(key, bytes))];
    await turns();
    assert.deepEqual(calls.slice(1).map(({ keys }) => keys), [['b', 'c'], ['d'], ['e'], ['f']]);
    calls.forEach(({ answer }) => answer());
    assert.deepEqual(await Promise.all(all), ['a', 'b', 'c', 'd', 'e', 'f'].map((key) => `to ${key}`));
  });

  await t.test('the request that is to make a call has ended: the next one makes it for all', async (t) => {
    const { calls, publish } = begin();
    const alone = publish('a');
    // A request that has ended runs no more timers.
    const ended = t.mock.method(globalThis, 'setTimeout', () => {});
    const stranded = publish('b');
    ended.mock.restore();
    const later = Date.now() + 1_001;
    t.mock.method(Date, 'now', () => later);
    const next = publish('c');
    await turns();
    assert.deepEqual(calls.map(({ keys }) => keys), [['a'], ['b', 'c']]);
    calls.forEach(({ answer }) => answer());
    assert.deepEqual(await Promise.all([alone, stranded, next]), ['to a', 'to b', 'to c']);
  });

  await t.test('a call whose request has ended is company for a minute', async (t) => {
    const { calls, publish } = begin();
    publish('a');
    const later = Date.now() + 60_001;
    t.mock.method(Date, 'now', () => later);
    publish('b');
    assert.deepEqual(calls.map(({ keys }) => keys), [['a'], ['b']]);
    calls.forEach(({ answer }) => answer());
  });

  await t.test('one that nobody takes along hears of it', async (t) => {
    const { publish } = begin();
    publish('a');
    const timers = [];
    const ended = t.mock.method(globalThis, 'setTimeout', (call, wait) => timers.push({ call, wait }));
    const stranded = publish('b');
    ended.mock.restore();
    timers.find(({ wait }) => wait === 30_000).call();
    await assert.rejects(stranded, /has ended/);
  });
});

// The WASM client before a broker that misbehaves: it never skips, never repeats what it holds, never believes a lie,
// and says what is the matter.

import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { test } from 'node:test';

import { Recorder, TestStore, QUICK, connect } from './client.mjs';
import { EPOCH, FakeBroker, NEWER, changesOf, hashOf, json, positionOf, problem } from './fake-broker.mjs';

/** A client that is live at version 3, and its connection. */
async function liveAt3(t, options) {
  const broker = await FakeBroker.start(t);
  const recorder = await Recorder.follow(t, broker, options);
  const connection = await broker.live(3);
  await recorder.state('live');
  return { broker, recorder, connection };
}

const resumesAt = (connection, version) => {
  assert.equal(connection.query.get('version'), String(version));
  assert.equal(connection.query.get('epoch'), EPOCH);
  assert.equal(connection.query.get('hash'), hashOf(version));
};

test('a gap is not crossed: the client comes back for what is missing', async (t) => {
  const { broker, recorder, connection } = await liveAt3(t);
  connection.send(changesOf(4, 6));
  assert.equal((await connection.closed).code, 4010);
  assert.deepEqual(recorder.events, []);
  const again = await broker.connection();
  resumesAt(again, 3);
  again.send({ type: 'welcome', epoch: EPOCH, head: 6, hash: hashOf(6), resume: 'replay' });
  again.send(changesOf(3, 6, { ack: true }));
  again.send({ type: 'live', version: 6 });
  assert.equal(await again.ack(), 6);
  assert.deepEqual(recorder.versions, [4, 5, 6]);
});

test('what comes twice is handed out once', async (t) => {
  const { recorder, connection } = await liveAt3(t);
  connection.send(changesOf(0, 4));
  connection.send(changesOf(2, 5));
  connection.send(changesOf(2, 5, { ack: true }));
  await connection.ack();
  await recorder.feed.waitFor(5);
  assert.deepEqual(recorder.versions, [4, 5]);
});

const LIES = {
  'what is no JSON': 'no frame',
  'nothing': '',
  'bytes': Buffer.from([0, 255, 1]),
  'half a frame': JSON.stringify(changesOf(3, 4)).slice(0, -3),
  'a number that is none': { ...changesOf(3, 4), to: 'four' },
  'a version beyond 2^53': `{"type":"changes","from":3,"to":9007199254740993,"hash":"${hashOf(4)}","versions":[]}`,
  'a frame that goes back': { ...changesOf(3, 4), from: 5, to: 4 },
  'a row out of its frame': { ...changesOf(3, 4), versions: changesOf(8, 9).versions },
  'rows out of order': { ...changesOf(3, 5), versions: changesOf(3, 5).versions.reverse() },
  'a change without a target': { ...changesOf(3, 4), versions: [{ version: 4, at: 1, changes: [{ op: 'update' }] }] },
  'a second welcome': { type: 'welcome', epoch: EPOCH, head: 3, hash: hashOf(3), resume: 'live' },
  'live at what was not sent': { type: 'live', version: 9 },
  'a reset to an older epoch': { type: 'reset', epoch: '00ARYZ6S410000000000000000', version: 1, hash: hashOf(1) },
};
test('a lie is not believed: nothing is handed out, and the client comes back from where it was', async (t) => {
  const { broker, recorder, connection } = await liveAt3(t);
  let talking = connection;
  for (const [what, frame] of Object.entries(LIES)) {
    talking.send(frame);
    assert.equal((await talking.closed).code, 4010, what);
    assert.deepEqual(recorder.events, [], what);
    talking = await broker.live(3);
    resumesAt(talking, 3);
  }
  talking.send({ type: 'weather', sunny: true });
  talking.send(changesOf(3, 4, { ack: true }));
  assert.equal(await talking.ack(), 4, 'what is not known is ignored');
});

test('a pong of another history is a reason to come back', async (t) => {
  const { broker, connection } = await liveAt3(t);
  connection.pongs = false;
  await connection.ping();
  connection.send(`pong ${EPOCH}:3:${hashOf(3, 1)}`);
  assert.equal((await connection.closed).code, 4010);
  resumesAt(await broker.live(3), 3);
});

test('a version that a pong told of and nobody sent is fetched', async (t) => {
  const { broker, connection } = await liveAt3(t);
  broker.head = 4;
  assert.equal((await connection.closed).code, 4010);
  resumesAt(await broker.connection(), 3);
});

test('a socket that is half open is found by its silence', async (t) => {
  const { broker, recorder, connection } = await liveAt3(t);
  connection.pongs = false;
  const { reason } = await recorder.next('waiting');
  assert.match(reason, /pong/);
  resumesAt(await broker.live(3), 3);
});

test('a broker that dies between two pages is left, and asked again from the last of them', async (t) => {
  const broker = await FakeBroker.start(t);
  const recorder = await Recorder.follow(t, broker, { from: 'start' });
  const connection = await broker.connection();
  broker.head = 9;
  connection.send({ type: 'welcome', epoch: EPOCH, head: 9, hash: hashOf(9), resume: 'replay' });
  connection.send(changesOf(0, 4, { ack: true }));
  assert.equal(await connection.ack(), 4);
  assert.equal((await connection.closed).code, 4010);
  resumesAt(await broker.connection(), 4);
  assert.deepEqual(recorder.versions, [1, 2, 3, 4]);
});

test('a connection that does not open, and one that nobody greets, are given up in time', async (t) => {
  const broker = await FakeBroker.start(t);
  let asked = 0;
  broker.refuse = () => (asked++ === 0 ? 'silence' : undefined);
  const recorder = await Recorder.follow(t, broker, { timing: { ...QUICK, connectTimeoutMs: 60 } });
  const mute = await broker.connection();
  assert.equal((await mute.closed).code, 4010);
  await broker.live(0);
  await recorder.state('live');
  assert.equal(asked, 3);
});

test('frames before the greeting are no greeting', async (t) => {
  const broker = await FakeBroker.start(t);
  const recorder = await Recorder.follow(t, broker, { from: 'start' });
  const connection = await broker.connection();
  connection.send(changesOf(0, 1));
  assert.equal((await connection.closed).code, 4010);
  assert.deepEqual(recorder.events, []);
});

test('an interrupted fold comes whole the next time, and its position only with its end', async (t) => {
  const broker = await FakeBroker.start(t);
  const store = new TestStore();
  const recorder = await Recorder.follow(t, broker, { from: 'start', store });
  const part = { type: 'fold', from: 0, to: 5, hash: hashOf(5), changes: [{ version: 2, key: 'title:2' }], more: true };
  const greet = (connection) => connection.send({ type: 'welcome', epoch: EPOCH, head: 5, hash: hashOf(5), resume: 'replay' });
  const first = await broker.connection();
  greet(first);
  first.send(part);
  assert.equal(await first.ack(), 0);
  first.cut();
  const second = await broker.connection();
  assert.equal(second.query.get('version'), '0');
  assert.deepEqual(store.written, []);
  greet(second);
  second.send(part);
  second.send({ ...part, changes: [{ version: 4, tag: 'hulu', soft: true }], more: false });
  second.send({ type: 'live', version: 5 });
  await recorder.feed.live();
  assert.deepEqual(store.written, [positionOf(5)]);
  const changes = recorder.events.map(({ type, version, changes }) => [type, version, changes]);
  assert.deepEqual(changes, [
    ['fold', 5, [{ version: 2, key: 'title:2' }]],
    ['fold', 5, [{ version: 2, key: 'title:2' }]],
    ['fold', 5, [{ version: 4, tag: 'hulu', soft: true }]],
  ]);
});

test('a reset is told, moves the position, and is acknowledged after its handler', async (t) => {
  const resets = [];
  const store = new TestStore();
  const { broker, recorder, connection } = await liveAt3(t, { store, onReset: (event) => resets.push(event) });
  [broker.epoch, broker.head] = [NEWER, 0];
  connection.send({ type: 'reset', epoch: NEWER, version: 0, hash: hashOf(0), reason: 'a new epoch' });
  assert.equal(await connection.ack(), 0);
  const position = positionOf(0, NEWER);
  assert.deepEqual(resets, [{ type: 'reset', version: 0, changes: [{ all: true }], position, reason: 'a new epoch' }]);
  assert.equal(store.position, position);
  assert.equal(recorder.feed.position, position);
  connection.send(changesOf(0, 1, { ack: true }));
  await recorder.feed.waitFor(`${NEWER}:1`);
  assert.deepEqual(recorder.versions, [1]);
});

test('a handler that throws: nothing is stored or acknowledged, and its events come again', async (t) => {
  const store = new TestStore();
  let failures = 2;
  const handle = ([{ version }]) => {
    if (version === 5 && failures-- > 0) throw new Error('the sink is down');
  };
  const { broker, recorder, connection } = await liveAt3(t, { store, handle });
  connection.send(changesOf(3, 4, { ack: true }));
  assert.equal(await connection.ack(), 4);
  const waiting = recorder.next('waiting');
  connection.send(changesOf(4, 5, { ack: true }));
  const { error, reason } = await waiting;
  assert.deepEqual([error.code, error.terminal, error.cause.message], ['handler-failed', false, 'the sink is down']);
  assert.match(reason, /the sink is down/);
  assert.deepEqual(connection.acks, []);
  for (let attempt = 0; attempt < 2; attempt++) {
    const again = await broker.connection();
    resumesAt(again, 4);
    again.send({ type: 'welcome', epoch: EPOCH, head: 5, hash: hashOf(5), resume: 'replay' });
    again.send(changesOf(4, 5, { ack: true }));
    if (attempt === 1) assert.equal(await again.ack(), 5);
  }
  assert.deepEqual(recorder.versions, [4, 5, 5, 5]);
  assert.deepEqual(store.written, [positionOf(3), positionOf(4), positionOf(5)]);
});

test('a handler may end the feed with an error of its own that is terminal', async (t) => {
  const { NewsreelError } = await import('./client.mjs');
  const handle = () => {
    throw new NewsreelError('gave-up', 'never again', { terminal: true });
  };
  const { recorder, connection } = await liveAt3(t, { handle });
  connection.send(changesOf(3, 4));
  assert.equal((await recorder.feed.closed).code, 'gave-up');
});

test('a store that fails holds back the ack, and what was handled comes again', async (t) => {
  const store = new TestStore();
  const { broker, recorder, connection } = await liveAt3(t, { store });
  store.failures = 1;
  const waiting = recorder.next('waiting');
  connection.send(changesOf(3, 4, { ack: true }));
  const { error } = await waiting;
  assert.equal(error.code, 'store-failed');
  assert.match(error.message, /the disk is full/);
  assert.deepEqual(connection.acks, []);
  const again = await broker.connection();
  resumesAt(again, 3);
});

test('a store that cannot be read, or holds what is no position, is told at once', async () => {
  const broken = { read: () => Promise.reject(new Error('locked')), write: () => {} };
  const unread = connect('http://127.0.0.1:1', { catalog: 'tv', store: broken });
  await assert.rejects(unread, ({ code, message }) => code === 'store-failed' && /locked/.test(message));
  const garbage = connect('http://127.0.0.1:1', { catalog: 'tv', store: new TestStore('garbage') });
  await assert.rejects(garbage, ({ code, message }) => code === 'store-failed' && /remove/.test(message));
});

test('a slow handler: no ack before it has settled, pings go on, nothing is dialed meanwhile', async (t) => {
  let settle;
  const handle = () => new Promise((resolve) => (settle = resolve));
  const store = new TestStore();
  const { broker, recorder, connection } = await liveAt3(t, { handle, store });
  connection.send(changesOf(3, 4, { ack: true }));
  await recorder.until(() => recorder.events.length === 1);
  for (let pings = 0; pings < 3; pings++) await connection.ping();
  assert.deepEqual([connection.acks, store.position], [[], positionOf(3)]);
  const waiting = recorder.next('waiting');
  connection.close(4010, 'resync');
  await waiting;
  assert.equal(broker.accepted, 1);
  settle();
  resumesAt(await broker.live(4), 4);
  assert.equal(store.position, positionOf(4));
});

test('a broker that heeds no acks is left once 64 MiB wait, and come back to when they are handled', async (t) => {
  let settle;
  const blocked = new Promise((resolve) => (settle = resolve));
  // JSON ignores blanks between its tokens.
  const padding = ' '.repeat(2 ** 20);
  const { broker, recorder, connection } = await liveAt3(t, { handle: () => blocked, timing: { ...QUICK, pongTimeoutMs: 5_000 } });
  for (let version = 3; version < 73; version++) connection.send(JSON.stringify(changesOf(version, version + 1)) + padding);
  const { code, reason } = await connection.closed;
  assert.deepEqual([code, reason], [4010, 'the broker sends more than is acknowledged']);
  assert.equal(broker.accepted, 1, 'it does not come back yet');
  settle();
  const again = await broker.connection();
  const at = Number(again.query.get('version'));
  assert.ok(at >= 60 && at < 73, `${at}`);
  resumesAt(again, at);
  assert.deepEqual(recorder.versions, Array.from({ length: at - 3 }, (_, nth) => nth + 4));
});

test('a broker that asks to be left alone is', async (t) => {
  const { broker, recorder, connection } = await liveAt3(t);
  const waiting = recorder.next('waiting');
  const began = Date.now();
  connection.send({ type: 'error', code: 'busy', message: 'come back later', retry_after_ms: 250 });
  connection.close(4001, 'busy');
  const { error, until } = await waiting;
  assert.deepEqual([error.code, error.terminal], ['busy', false]);
  assert.ok(until >= began + 250, 'it says until when');
  await broker.live(3);
  assert.ok(Date.now() >= began + 249);
});

test('a close that says so is the end; any other is not', async (t) => {
  for (const code of [4500, 4501, 4502, 4999]) {
    const { recorder, connection } = await liveAt3(t);
    connection.close(code, 'not you');
    const error = await recorder.feed.closed;
    assert.deepEqual([error?.terminal, /not you/.test(error?.message)], [true, true], String(code));
    assert.deepEqual(recorder.feed.state, { name: 'closed', reason: 'not you', error });
    await assert.rejects(recorder.feed.live(), error);
  }
  for (const code of [1000, 1001, 1011, 3000, 4001, 4008, 4009, 4499]) {
    const { broker, connection } = await liveAt3(t);
    connection.close(code, 'for now');
    resumesAt(await broker.live(3), 3);
  }
});

test('an answer in the place of a socket: what cannot change ends the feed, the rest is tried again', async (t) => {
  const html = (status) => ({ status, headers: { 'content-type': 'text/html' }, body: '<h1>no</h1>' });
  const terminal = [problem(401, 'unauthorized'), problem(403, 'forbidden'), problem(403, 'origin-not-allowed'),
    problem(400, 'bad-catalog'), html(404), html(200)];
  for (const answer of terminal) {
    const broker = await FakeBroker.start(t);
    broker.refuse = broker.answer = () => answer;
    const recorder = await Recorder.follow(t, broker, { token: 'mine' });
    const error = await recorder.feed.closed;
    assert.equal(error?.status, answer.status);
    assert.equal(error.terminal, true);
    assert.equal(broker.requests.length, 1);
  }
  const passing = [problem(429, 'busy'), problem(500, 'internal'), problem(500, 'misconfigured'), html(502), html(503)];
  for (const answer of passing) {
    const broker = await FakeBroker.start(t);
    let refusals = 0;
    broker.answer = () => answer;
    broker.refuse = () => (refusals++ < 2 ? answer : undefined);
    const recorder = await Recorder.follow(t, broker);
    const { error } = await recorder.state('waiting');
    assert.deepEqual([error.status, error.terminal], [answer.status, false]);
    await broker.live(0);
    await recorder.state('live');
  }
});

test('a wait that an answer over HTTP asks for is kept', async (t) => {
  const broker = await FakeBroker.start(t);
  const busy = problem(503, 'busy');
  busy.headers['retry-after'] = '1';
  const gateway = problem(502, 'busy');
  // A date has no parts of a second.
  gateway.headers['retry-after'] = new Date(Date.now() + 90_000).toUTCString();
  const later = await FakeBroker.start(t);
  later.answer = later.refuse = () => gateway;
  const patient = await Recorder.follow(t, later);
  const { retryAfterMs } = (await patient.state('waiting')).error;
  assert.ok(retryAfterMs > 80_000 && retryAfterMs <= 90_000, `${retryAfterMs}`);
  let refusals = 0;
  broker.answer = () => busy;
  broker.refuse = () => (refusals++ === 0 ? busy : undefined);
  const recorder = await Recorder.follow(t, broker);
  const began = Date.now();
  const { error, until } = await recorder.state('waiting');
  assert.equal(error.retryAfterMs, 1_000);
  assert.ok(until >= began + 900);
  await broker.live(0);
});

test('a token is renewed when it is refused, and given up with the third', async (t) => {
  const broker = await FakeBroker.start(t);
  const bad = ({ 'sec-websocket-protocol': offered }) => !offered.includes(Buffer.from('good').toString('base64url'));
  broker.refuse = (_, headers) => (bad(headers) ? problem(401, 'unauthorized') : undefined);
  broker.answer = () => problem(401, 'unauthorized');
  const asked = [];
  const token = ({ refused }) => (asked.push(refused), refused ? 'good' : 'old');
  const recorder = await Recorder.follow(t, broker, { token });
  const connection = await broker.live(0);
  await recorder.state('live');
  assert.deepEqual([connection.token, asked], ['good', [false, true]]);

  let given = 0;
  const refused = await Recorder.follow(t, broker, { token: () => `bad-${(given += 1)}` });
  assert.equal((await refused.feed.closed).code, 'unauthorized');
  assert.equal(given, 3);
});

test('a token that is not to be had now is asked for again', async (t) => {
  const broker = await FakeBroker.start(t);
  let asked = 0;
  const token = async () => {
    if ((asked += 1) === 1) throw new Error('the identity provider sleeps');
    return 'here';
  };
  const recorder = await Recorder.follow(t, broker, { token });
  assert.equal((await broker.live(0)).token, 'here');
  const { error } = await recorder.state('waiting');
  assert.deepEqual([error.code, error.cause.message], ['token-failed', 'the identity provider sleeps']);
});

test('something on the way that understands sockets by half: the log is polled', async (t) => {
  const broker = await FakeBroker.start(t);
  broker.protocol = () => false;
  const recorder = await Recorder.follow(t, broker);
  const { reason } = await recorder.state('waiting');
  assert.match(reason, /no WebSocket opens, though HTTP works/);
  assert.equal((await recorder.state('live')).transport, 'polling');
});

test('lag is proved by pongs alone, and only of what is handled', async (t) => {
  let settle;
  const handle = () => new Promise((resolve) => (settle = resolve));
  const broker = await FakeBroker.start(t);
  const recorder = await Recorder.follow(t, broker, { handle });
  assert.equal(recorder.feed.lag(), Infinity);
  const connection = await broker.live(3);
  await recorder.state('live');
  while (recorder.feed.lag() === Infinity) await connection.ping();
  assert.ok(recorder.feed.lag() < 1_000);
  broker.head = 4;
  connection.send(changesOf(3, 4));
  await recorder.until(() => recorder.events.length === 1);
  await connection.ping();
  const began = recorder.feed.lag();
  for (let pings = 0; pings < 3; pings++) await connection.ping();
  assert.ok(recorder.feed.lag() >= began + QUICK.pingEveryMs, 'it grows while a handler is at work');
  settle();
});

test('sync asks for a proof, waits for the handler, and asks again on a new connection', async (t) => {
  let settle;
  const handle = () => new Promise((resolve) => (settle = resolve));
  const broker = await FakeBroker.start(t);
  const recorder = await Recorder.follow(t, broker, { handle, timing: { ...QUICK, pingEveryMs: 60_000 } });
  const connection = await broker.live(3);
  await recorder.state('live');
  await recorder.feed.sync();
  assert.ok(recorder.feed.lag() < 1_000);
  broker.head = 4;
  connection.send(changesOf(3, 4));
  await recorder.until(() => recorder.events.length === 1);
  let isSynced = false;
  const syncing = recorder.feed.sync().then(() => (isSynced = true));
  await connection.ping();
  await connection.ping();
  assert.equal(isSynced, false, 'the handler is at work');
  settle();
  await syncing;
  await assert.rejects(recorder.feed.sync({ maxAgeMs: -60_000, timeoutMs: 20 }), { code: 'timeout' });
  connection.cut();
  await recorder.state('waiting');
  const again = recorder.feed.sync();
  await broker.live(4);
  await again;
});

test('a thread that was held up hears what came meanwhile before it calls the broker dead', async (t) => {
  const { recorder, connection } = await liveAt3(t);
  for (let times = 0; times < 3; times++) {
    // Its pong is on the way.
    await connection.ping();
    for (const until = performance.now() + 3 * QUICK.pongTimeoutMs; performance.now() < until; );
  }
  await connection.ping();
  assert.ok(!recorder.states.some(({ name }) => name === 'waiting'), JSON.stringify(recorder.states.at(-1)));
});

test('waitFor: a number, a position, a receipt of this epoch or of one before; in time or not at all', async (t) => {
  const { recorder: { feed }, connection } = await liveAt3(t);
  await feed.waitFor(3);
  await feed.waitFor(`00ARYZ6S410000000000000000:99`);
  const later = [feed.waitFor(5), feed.waitFor(`${EPOCH}:5`), feed.waitFor(positionOf(5))];
  await assert.rejects(feed.waitFor(5, { timeoutMs: 5 }), { code: 'timeout' });
  await assert.rejects(feed.waitFor(5, { signal: AbortSignal.abort(new Error('enough')) }), { message: 'enough' });
  for (const none of [-1, 1.5, NaN, 'five', '', 'x:5', ':5']) {
    await assert.rejects(feed.waitFor(none), { code: 'bad-options' }, String(none));
  }
  connection.send(changesOf(3, 5));
  await Promise.all(later);
  const never = feed.waitFor(`${NEWER}:1`);
  await feed.close();
  await assert.rejects(never, { code: 'closed' });
});

test('a loop: one event at a time, handled when the next is asked for; leaving it closes the feed', async (t) => {
  const broker = await FakeBroker.start(t);
  const store = new TestStore();
  const feed = await connect(broker.url, { catalog: 'tv', timing: QUICK, store });
  const connection = await broker.live(3);
  connection.send(changesOf(3, 4, { ack: true }));
  connection.send(changesOf(4, 6, { ack: true }));
  const seen = [];
  for await (const event of feed) {
    seen.push([event.version, store.position]);
    if (event.version === 6) break;
  }
  assert.deepEqual(seen, [[4, positionOf(3)], [5, positionOf(4)], [6, positionOf(4)]]);
  assert.equal(await feed.closed, undefined);
  assert.equal(store.position, positionOf(4), 'what the loop was left at was not handled, nor its frame');
  assert.equal((await connection.closed).code, 1000);
  assert.throws(() => feed[Symbol.asyncIterator](), { code: 'bad-options' });
});

test('a loop throws what ended the feed, and just ends when that was on purpose', async (t) => {
  const broker = await FakeBroker.start(t);
  const loop = async (feed) => {
    for await (const _ of feed);
    return 'over';
  };
  const options = { catalog: 'tv', timing: QUICK };
  const ended = await connect(broker.url, options);
  const ending = loop(ended);
  (await broker.live(3)).close(4501, 'no more');
  await assert.rejects(ending, ({ terminal, message }) => terminal && /no more/.test(message));
  const closed = await connect(broker.url, options);
  const closing = loop(closed);
  await broker.live(3);
  await closed.close();
  assert.equal(await closing, 'over');
  const controller = new AbortController();
  const aborted = await connect(broker.url, { ...options, signal: controller.signal });
  const aborting = loop(aborted);
  await broker.live(3);
  controller.abort(new Error('the page is left'));
  await assert.rejects(aborting, { message: 'the page is left' });
  await assert.rejects(connect(broker.url, { ...options, signal: controller.signal }), { message: 'the page is left' });
});

test('closing lets the handler at work finish and keeps its position; nothing new is handed out', async (t) => {
  let settle;
  const store = new TestStore();
  const handle = () => new Promise((resolve) => (settle = resolve));
  const { recorder, connection } = await liveAt3(t, { handle, store });
  connection.send(changesOf(3, 4));
  connection.send(changesOf(4, 5));
  await recorder.until(() => recorder.events.length === 1);
  const disposed = recorder.feed[Symbol.asyncDispose]().then(() => store.position);
  await connection.closed;
  settle();
  assert.equal(await disposed, positionOf(4));
  assert.deepEqual(recorder.versions, [4]);
});

test('what cannot be is refused before anything is dialed', async () => {
  const refused = [
    ['ftp://here', { catalog: 'tv' }, /ftp/], ['nowhere', { catalog: 'tv' }, /not a URL/],
    ['http://x', {}, /catalog is missing/], ['http://x', undefined, /catalog is missing/],
    ['http://x', { catalog: 'T V' }, /catalog/], ['http://x', { catalog: 'tv', name: 'n'.repeat(129) }, /128/],
    ['http://x', { catalog: 'tv', topics: Array(33).fill('a:') }, /32/], ['http://x', { catalog: 'tv', from: 'then' }, /neither/],
    ['http://x', { catalog: 'tv', timing: { pingEvery: 4 } }, /pingEvery/], ['http://x', { catalog: 'tv', timing: { pingEveryMs: -1 } }, /timing/],
  ];
  for (const [url, options, says] of refused) {
    await assert.rejects(connect(url, options), ({ code, message }) => code === 'bad-options' && says.test(message), `${says}`);
  }
});

test('a listener that throws harms nobody', async (t) => {
  const shown = [];
  const { reportError } = globalThis;
  globalThis.reportError = (error) => shown.push(error.message);
  t.after(() => (globalThis.reportError = reportError));
  const broker = await FakeBroker.start(t);
  const feed = await connect(broker.url, {
    catalog: 'tv', timing: QUICK, onChanges: () => {},
    onState: () => {
      throw new Error('mine');
    },
  });
  await broker.live(3);
  await feed.live();
  await feed.close();
  assert.deepEqual([...new Set(shown)], ['mine']);
});

// --- Where only HTTP passes ---

/** Answers `changes` from a log of that many versions. */
function polled(broker) {
  broker.refuse = () => 'cut';
  const status = broker.answer;
  const waiting = [];
  broker.publish = (to) => {
    broker.head = to;
    for (const wake of waiting.splice(0)) wake();
  };
  broker.answer = async (url, headers) => {
    if (!url.pathname.endsWith('/changes')) return status(url, headers);
    const since = Number(url.searchParams.get('since'));
    if (since === broker.head && url.searchParams.has('wait_ms')) await new Promise((resolve) => waiting.push(resolve));
    const to = Math.min(broker.head, since + 2);
    return json({ epoch: EPOCH, head: broker.head, ...changesOf(since, to), type: undefined });
  };
}

test('where no socket opens and HTTP works, the log is polled: the same events, proofs and positions', async (t) => {
  const broker = await FakeBroker.start(t);
  polled(broker);
  broker.head = 5;
  const store = new TestStore();
  const recorder = await Recorder.follow(t, broker, { from: 'start', store });
  const { transport } = await recorder.state('live');
  assert.equal(transport, 'polling');
  assert.deepEqual(recorder.versions, [1, 2, 3, 4, 5]);
  broker.publish(7);
  await recorder.feed.waitFor(7);
  assert.deepEqual(recorder.versions, [1, 2, 3, 4, 5, 6, 7]);
  assert.deepEqual(store.written, [2, 4, 5, 7].map((version) => positionOf(version)));
  assert.ok(recorder.feed.lag() < 5_000);
});

test('polling: what is published while a handler works is not missed', async (t) => {
  const broker = await FakeBroker.start(t);
  polled(broker);
  broker.head = 1;
  const asked = new EventEmitter();
  const { answer } = broker;
  broker.answer = (url, headers) => (asked.emit(url.pathname.endsWith('/changes') ? 'page' : 'status'), answer(url, headers));
  // So long that pings tell of it for more than its grace.
  const handle = async ([{ version }]) => {
    if (version > 3) return;
    broker.publish(version + 1);
    for (let pings = 0; pings < 4; pings++) await once(asked, 'status');
  };
  const timing = { ...QUICK, pingEveryMs: 100, pongTimeoutMs: 5_000, behindGraceMs: 300, pageTimeoutMs: 5_000 };
  const recorder = await Recorder.follow(t, broker, { from: 'start', transport: 'polling', handle, timing });
  await recorder.feed.waitFor(4);
  await recorder.feed.live();
  assert.deepEqual(recorder.versions, [1, 2, 3, 4]);
  assert.deepEqual(recorder.states.map(({ name }) => name), ['connecting', 'catching-up', 'live']);
});

test('polling meets lies too', async (t) => {
  const broker = await FakeBroker.start(t);
  broker.head = 3;
  const pages = [
    json({ epoch: EPOCH, from: 0, to: 0, head: 3, hash: hashOf(0), versions: [] }), // leads nowhere
    json({ epoch: EPOCH, head: 3, ...changesOf(1, 3), type: undefined }), // a gap
    json({ epoch: EPOCH, head: 3 }), // no page
    json([]),
    { status: 200, headers: { 'content-type': 'text/html' }, body: 'log in first' },
    { status: 200, headers: { 'content-type': 'application/json' }, body: '{"epoch":' },
    json({ epoch: EPOCH, head: 3, ...changesOf(0, 3), type: undefined }),
  ];
  let asked = 0;
  broker.answer = (url) => (url.pathname.endsWith('/changes') ? pages[Math.min(asked++, pages.length - 1)]
    : json({ position: positionOf(3) }));
  const recorder = await Recorder.follow(t, broker, { from: 'start', transport: 'polling' });
  await recorder.feed.waitFor(3);
  assert.deepEqual(recorder.versions, [1, 2, 3]);
  assert.ok(asked >= pages.length);
});

test('polling: a position that is not on the log is a reset', async (t) => {
  const broker = await FakeBroker.start(t);
  polled(broker);
  broker.head = 1;
  const { answer } = broker;
  const gone = problem(410, 'reset', { reason: 'another epoch', epoch: NEWER, version: 1, hash: hashOf(1) });
  broker.answer = (url, headers) => (url.searchParams.get('epoch') === EPOCH ? gone : answer(url, headers));
  const recorder = await Recorder.follow(t, broker, { from: positionOf(9), transport: 'polling' });
  await recorder.until(() => recorder.events.length === 1);
  assert.deepEqual([recorder.events[0].type, recorder.events[0].position], ['reset', positionOf(1, NEWER)]);
});

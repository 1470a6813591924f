// Reading without a socket: pages, long polls, server-sent events; and the front door for web pages.

import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { test } from 'node:test';

import { Events } from './events.mjs';
import { Follower } from './follower.mjs';
import { Served } from './served.mjs';
import { startSystem, TOKENS } from './system.mjs';

const KEPT = 'private, max-age=86400, immutable';

test('pages', async (t) => {
  const { broker } = await startSystem(t, { origin: false });
  const catalog = 'pages';
  for (let n = 1; n <= 7; n += 1) {
    await broker.publish({ changes: [{ key: `a:${n}` }, { key: `b:${n}` }] }, { catalog });
  }
  const page = (query, headers = {}) => broker.changes(query, { catalog, headers });

  await t.test('a walk by pages is the log', async () => {
    const whole = (await page('?since=0')).json;
    assert.deepEqual(whole.versions.map((row) => row.version), [1, 2, 3, 4, 5, 6, 7]);
    for (const limit of [1, 3, 7]) {
      const walked = [];
      for (let at = '?since=0'; ; ) {
        const { json } = await page(`${at}&limit=${limit}`);
        walked.push(...json.versions);
        if (json.to === json.from) break;
        at = after(json);
      }
      assert.deepEqual(walked, whole.versions, `by ${limit}`);
    }
  });

  await t.test('only a page that no publish makes longer may be kept', async () => {
    const first = await page('?since=0&limit=2');
    assert.equal(first.headers.get('cache-control'), 'no-store', 'without an epoch');
    assert.match(first.headers.get('vary'), /Accept/);
    const cut = await page(`${after(first.json)}&limit=3`);
    assert.equal(cut.headers.get('cache-control'), KEPT);
    const rest = await page(`${after(cut.json)}&limit=2`);
    assert.equal(rest.json.to, rest.json.head);
    assert.equal(rest.headers.get('cache-control'), KEPT, 'it ends with the head and its limit');
    const none = await page(after(rest.json));
    assert.equal(none.headers.get('cache-control'), 'no-cache');
    assert.equal((await page(after(cut.json))).headers.get('cache-control'), 'no-cache', 'it will get longer');
  });

  await t.test('an entity tag is answered with 304, until the next publish', async () => {
    const address = after((await page('?since=0&limit=5')).json);
    const { headers, json } = await page(address);
    const etag = headers.get('etag');
    assert.match(etag, /^"[^"]+"$/);
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const same = await page(address, { 'if-none-match': known });
      assert.deepEqual([same.status, same.text], [304, '']);
      assert.equal(same.headers.get('etag'), etag);
      assert.equal(same.headers.get('cache-control'), 'no-cache');
    }
    const { version } = await broker.publish({ key: 'a:8' }, { catalog });
    const longer = await page(address, { 'if-none-match': etag });
    assert.equal(longer.status, 200);
    assert.notEqual(longer.headers.get('etag'), etag);
    assert.deepEqual([longer.json.from, longer.json.to], [json.from, version]);
  });

  await t.test('topics filter the versions and not the position', async () => {
    const { json } = await page('?since=0&limit=7&topic=b:1&topic=b:5');
    assert.deepEqual(json.versions.map((row) => [row.version, row.changes]), [
      [1, [{ key: 'b:1' }]],
      [5, [{ key: 'b:5' }]],
    ]);
    assert.equal(json.to, 7);
    assert.equal(json.hash, (await page('?since=0&limit=7')).json.hash, 'of the whole log');
    const hidden = (await page('?since=0&limit=7&topic=c:')).json;
    assert.deepEqual([hidden.to, hidden.versions], [7, []]);
    problem(await page('?topic='), 400, 'bad-request');
    problem(await page('?wait_ms=30001'), 400, 'bad-request');
  });
});

test('long polls', async (t) => {
  const { broker, worker } = await startSystem(t, { origin: false });
  const catalog = 'polls';
  await broker.publish({ key: 'a:1' }, { catalog });
  const page = (query, headers) => broker.changes(query, { catalog, headers });
  const waiting = (polls, streams = 0) => waitFor(broker, catalog, { polls, streams });
  const head = async () => after((await page('')).json);

  await t.test('an answer waits for the next publish', async () => {
    const address = `${await head()}&wait_ms=30000`;
    const answers = [page(address), page(address)];
    await waiting(2);
    const { version, position } = await broker.publish({ key: 'a:2' }, { catalog });
    for (const { json } of await Promise.all(answers)) {
      assert.deepEqual([json.to, json.head, json.versions.length], [version, version, 1]);
      assert.equal(`${json.epoch}:${json.to}:${json.hash}`, position);
    }
    await waiting(0);
  });

  await t.test('what is there already is answered at once', async () => {
    const { json } = await page('?since=0&wait_ms=30000');
    assert.equal(json.versions.length, json.head);
  });

  await t.test('at its time the answer is empty', async () => {
    const at = await head();
    const answer = await page(`${at}&wait_ms=200`);
    assert.equal(answer.status, 200);
    assert.deepEqual([answer.json.from, answer.json.versions], [answer.json.to, []]);
    assert.equal(answer.headers.get('cache-control'), 'no-cache');
    const etag = answer.headers.get('etag');
    assert.equal((await page(`${at}&wait_ms=200`, { 'if-none-match': etag })).status, 304);
  });

  await t.test('only what passes the topics ends the wait, and the position covers what was hidden', async () => {
    const address = `${await head()}&wait_ms=30000&topic=b:`;
    const answer = page(address);
    await waiting(1);
    const hidden = await broker.publish({ key: 'a:3' }, { catalog });
    await waiting(1);
    const shown = await broker.publish({ key: 'b:1' }, { catalog });
    const { json } = await answer;
    assert.deepEqual([json.from, json.to], [hidden.version - 1, shown.version]);
    assert.deepEqual(json.versions.map((row) => row.version), [shown.version]);
    const late = page(`${await head()}&wait_ms=300&topic=b:`);
    await waiting(1);
    const unheard = await broker.publish({ key: 'a:4' }, { catalog });
    const empty = (await late).json;
    assert.deepEqual([empty.from, empty.to, empty.versions], [shown.version, unheard.version, []]);
  });

  await t.test('a poll keeps the object awake, and after an eviction the same address goes on', async () => {
    const address = `${await head()}&wait_ms=1000`;
    const poll = page(address);
    await waiting(1);
    // Waits for the poll: the platform does not put an object to sleep under a request.
    await worker.evictDurableObject('Broker', { name: catalog, webSockets: 'close' });
    assert.deepEqual((await poll).json.versions, []);
    const next = page(address);
    await waiting(1);
    const receipt = await broker.publish({ key: 'a:5' }, { catalog });
    assert.equal((await next).json.to, receipt.version);
  });
});

test('workerd killed under a poll and a stream: both go on where they were', async (t) => {
  const served = await Served.at(t);
  const { broker } = await served.start();
  const first = await broker.publish({ key: 'a:1' });
  const reader = await new Events(broker).connect();
  await reader.reached(first);
  const address = after((await broker.changes('')).json);
  const poll = broker.changes(`${address}&wait_ms=30000`).then(() => 'answered', () => 'failed');
  await waitFor(broker, 'tv', { polls: 1, streams: 1 });
  await served.kill();
  assert.equal(await poll, 'failed');
  await reader.until(() => reader.ended).catch(() => {});

  await served.start();
  const receipt = await broker.publish({ key: 'a:2' });
  assert.equal((await broker.changes(`${address}&wait_ms=30000`)).json.to, receipt.version);
  reader.failure = undefined;
  await reader.connect();
  await reader.reached(receipt);
  assert.deepEqual(reader.versions.map((row) => row.version), [1, 2]);
  assert.ok(reader.events.every((event) => event.type !== 'reset'));
  reader.leave();
});

test('events', async (t) => {
  const { broker } = await startSystem(t, { origin: false });
  const silent = await new Events(broker, { catalog: 'silent' }).connect();
  const open = (streams, catalog) => waitFor(broker, catalog, { polls: 0, streams });

  await t.test('everything kept, then live, each once and in order', async () => {
    const catalog = 'live';
    for (let n = 1; n <= 5; n += 1) await broker.publish({ key: `a:${n}` }, { catalog });
    const reader = await new Events(broker, { catalog, query: '?limit=2' }).connect();
    await reader.until(() => reader.events.some((event) => event.type === 'head'));
    assert.ok(reader.retry >= 1000 && reader.retry <= 5000, `retry: ${reader.retry}`);
    assert.deepEqual(reader.events.map((event) => event.type), ['changes', 'changes', 'changes', 'head']);
    const receipts = [];
    for (let n = 6; n <= 9; n += 1) receipts.push(await broker.publish({ key: `a:${n}` }, { catalog }));
    await reader.reached(receipts.at(-1));
    assert.equal(reader.last, receipts.at(-1).position);
    assert.deepEqual(reader.versions, (await broker.changes('?since=0', { catalog })).json.versions);
    reader.leave();
  });

  await t.test('G5: Last-Event-ID resumes without a gap and without a repeat', async () => {
    const catalog = 'resumed';
    const first = await broker.publish({ key: 'a:1' }, { catalog });
    const reader = await new Events(broker, { catalog }).connect();
    await reader.reached(first);
    reader.leave();
    await reader.until(() => reader.ended);
    const epoch = (await broker.status(catalog)).epoch;
    reader.query = `?epoch=${epoch}&since=0`;
    for (let n = 2; n <= 4; n += 1) await broker.publish({ key: `a:${n}` }, { catalog });
    await reader.connect();
    await reader.until(() => reader.versions.length === 4);
    assert.deepEqual(reader.versions.map((row) => row.version), [1, 2, 3, 4], 'the id wins over the query');
    reader.leave();
    const bad = await broker.changes('', { catalog, headers: { accept: 'text/event-stream', 'last-event-id': 'x:1' } });
    problem(bad, 400, 'bad-position');
  });

  await t.test('G7: a position that is not on the log gets a reset, and then goes on', async () => {
    const catalog = 'foreign';
    await broker.publish({ key: 'a:1' }, { catalog });
    const { position } = await broker.publish({ key: 'a:2' }, { catalog });
    const [epoch, , hash] = position.split(':');
    for (const foreign of [`${epoch}:1:${hash}`, `${epoch}:9000:${hash}`, `01ARYZ6S410000000000000000:1:${hash}`]) {
      const reader = new Events(broker, { catalog });
      reader.last = foreign;
      await reader.connect();
      await reader.until(() => reader.events.length === 2);
      assert.deepEqual(reader.events.map((event) => event.type), ['reset', 'head']);
      const receipt = await broker.publish({ key: 'a:3' }, { catalog });
      await reader.reached(receipt);
      assert.deepEqual(reader.versions.map((row) => row.version), [receipt.version]);
      reader.leave();
    }
  });

  await t.test('G6: topics, with bookmarks for what they hide', async () => {
    const catalog = 'topics';
    await broker.publish({ changes: [{ key: 'a:1' }, { key: 'b:1' }] }, { catalog });
    const hidden = await broker.publish({ key: 'b:2' }, { catalog });
    const reader = await new Events(broker, { catalog, topics: ['a:'] }).connect();
    await reader.reached(hidden);
    assert.deepEqual(reader.versions.map((row) => row.changes), [[{ key: 'a:1' }]]);
    await broker.publish({ key: 'b:3' }, { catalog });
    const shown = await broker.publish({ tag: 'x' }, { catalog });
    await reader.reached(shown);
    const { frame } = reader.events.at(-1);
    assert.deepEqual([frame.from <= hidden.version + 1, frame.versions.length], [true, 1]);
    reader.leave();
  });

  await t.test('one of two leaves, and nothing of it stays', async () => {
    const catalog = 'leaving';
    const first = await broker.publish({ key: 'a:1' }, { catalog });
    const readers = await Promise.all([1, 2].map(() => new Events(broker, { catalog }).connect()));
    for (const reader of readers) await reader.reached(first);
    await open(2, catalog);
    for (const left of [1, 0]) {
      readers[left].leave();
      // The platform tells of a client that left when something is sent to it.
      while ((await readersOf(broker, catalog)).streams > left) await broker.publish({ key: 'a:1' }, { catalog });
      if (left === 1) await readers[0].reached(await broker.status(catalog));
    }
    const heard = readers[0].versions.map((row) => row.version);
    assert.deepEqual(heard, Array.from(heard, (_, n) => n + 1));
  });

  await t.test('a client that does not read makes nothing grow, and then gets everything', async () => {
    const catalog = 'slow';
    const reader = await unread(broker, catalog);
    const tags = Array.from({ length: 30 }, (_, n) => `tag-${n}-${'x'.repeat(200)}`);
    const changes = (n) => ({ changes: Array.from({ length: 20 }, (_, i) => ({ key: `a:${n}-${i}`, tags })) });
    for (let n = 0; n < 80; n += 8) {
      await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map((more) => broker.publish(changes(n + more), { catalog })));
    }
    const text = await reader.readUntil(`"version":80,`);
    const ids = [...text.matchAll(/^id: \w+:(\d+):/gm)].map((match) => Number(match[1]));
    assert.deepEqual(ids, ids.toSorted((a, b) => a - b));
    assert.ok(ids.length < 80, 'what it had missed came in pages');
    reader.destroy();
  });

  await t.test('a catalog has 256 streams and no more; each hears the next publish', async () => {
    const catalog = 'many';
    const readers = await Promise.all(Array.from({ length: 256 }, () => new Events(broker, { catalog }).connect()));
    problem(await broker.changes('', { catalog, headers: { accept: 'text/event-stream' } }), 429, 'busy');
    const receipt = await broker.publish({ key: 'a:1' }, { catalog });
    await Promise.all(readers.map((reader) => reader.reached(receipt)));
    for (const reader of readers) {
      assert.deepEqual(reader.versions.map((row) => row.version), [1]);
      reader.leave();
    }
    while ((await readersOf(broker, catalog)).streams > 0) await broker.publish({ key: 'a:1' }, { catalog });
  });

  await t.test('clients that left keep nobody out, however many they were', async () => {
    const catalog = 'visited';
    const open = (streams) => Promise.all(Array.from({ length: streams }, () => new Events(broker, { catalog }).connect()));
    for (let round = 0; round < 2; round += 1) for (const reader of await open(200)) reader.leave();
    const readers = await open(100);
    const receipt = await broker.publish({ key: 'a:1' }, { catalog });
    await Promise.all(readers.map((reader) => reader.reached(receipt)));
    for (const reader of readers) reader.leave();
    while ((await readersOf(broker, catalog)).streams > 0) await broker.publish({ key: 'a:1' }, { catalog });
  });

  await t.test('an Accept that wants no events gets none', async () => {
    for (const accept of ['text/event-stream;q=0', 'application/json, text/event-stream;q=0.0', 'text/event-stream;q=0.5, */*']) {
      const answer = await broker.changes('', { catalog: 'headed', headers: { accept } });
      assert.deepEqual([answer.status, answer.headers.get('content-type')], [200, 'application/json'], accept);
    }
  });

  await t.test('HEAD says what GET would, and opens nothing', async () => {
    const headers = { accept: 'text/event-stream', authorization: `Bearer ${TOKENS.follow}` };
    const answer = await fetch(broker.at('/changes', 'headed'), { method: 'HEAD', headers });
    assert.deepEqual([answer.status, answer.headers.get('content-type')], [200, 'text/event-stream']);
    await open(0, 'headed');
  });

  await t.test('a comment breaks the silence', async () => {
    await silent.until(() => silent.comments > 0);
    assert.deepEqual(silent.events.map((event) => event.type), ['head']);
    silent.leave();
  });
});

test('the front door', async (t) => {
  const vars = { ALLOWED_ORIGINS: 'https://shop.example, http://localhost:*' };
  const { broker, worker } = await startSystem(t, { origin: false, vars });
  const catalog = 'door';
  const call = (headers, path = '') => broker.call('GET', path, { token: TOKENS.follow, catalog, headers });
  const asleep = () =>
    assert.rejects(worker.evictDurableObject('Broker', { name: catalog, webSockets: 'hibernate' }), /not currently running/);

  await t.test('a page whose origin is not listed is refused before its token is looked at, and wakes nobody', async () => {
    for (const origin of ['https://evil.example', 'http://shop.example', 'https://shop.example.evil.test', 'null']) {
      problem(await call({ origin }), 403, 'origin-not-allowed');
      problem(await broker.call('GET', '/changes', { token: 'wrong', catalog, headers: { origin } }), 403, 'origin-not-allowed');
      const publish = await broker.publishRaw('{"key":"a:1"}', { catalog, headers: { origin } });
      problem(publish, 403, 'origin-not-allowed');
      assert.equal(publish.headers.get('access-control-allow-origin'), null);
      assert.equal((await upgrade(broker, catalog, { origin })).status, 403);
    }
    await asleep();
  });

  await t.test('subprotocols without newsreel.v1 are refused, and wake nobody', async () => {
    const token = { authorization: `Bearer ${TOKENS.follow}` };
    for (const offered of ['newsreel.v2', 'chat, newsreel.v0', `newsreel.bearer.${btoa(TOKENS.follow)}`]) {
      const answer = await upgrade(broker, catalog, { 'sec-websocket-protocol': offered, ...token });
      assert.equal(answer.status, 400);
      assert.equal(answer.json.code, 'unsupported-protocol');
      assert.equal(answer.json.subprotocol, 'newsreel.v1');
    }
    await asleep();
    const both = await upgrade(broker, catalog, { 'sec-websocket-protocol': 'newsreel.v2, newsreel.v1', ...token });
    assert.deepEqual([both.status, both.headers['sec-websocket-protocol']], [101, 'newsreel.v1']);
    const none = await upgrade(broker, catalog, token);
    assert.deepEqual([none.status, none.headers['sec-websocket-protocol']], [101, undefined]);
  });

  await t.test('a page that is listed may call, and read the answers', async () => {
    for (const origin of ['https://shop.example', 'http://localhost:5173', broker.url]) {
      const headers = { origin };
      const { position } = await broker.publish({ key: 'a:1' }, { catalog, headers });
      const page = await call(headers, '/changes');
      assert.equal(page.status, 200);
      readable(page, origin);
      const exposed = page.headers.get('access-control-expose-headers').split(', ');
      for (const header of ['ETag', 'Idempotent-Replayed', 'Newsreel-Freshness', 'Retry-After']) {
        assert.ok(exposed.includes(header), header);
      }
      readable(await call({ ...headers, 'if-none-match': '*' }, '/changes'), origin);
      const missing = await broker.call('GET', '/changes', { catalog, headers });
      problem(missing, 401, 'unauthorized');
      readable(missing, origin);
      const reader = await new Events(broker, { catalog }).connect(headers);
      readable(reader.response, origin);
      await reader.until(() => reader.last === position);
      reader.leave();
      assert.equal((await upgrade(broker, catalog, { origin, authorization: `Bearer ${TOKENS.follow}` })).status, 101);
    }
  });

  await t.test('a preflight says what a page may send, without a token', async () => {
    const origin = 'https://shop.example';
    const ask = (headers) => broker.call('OPTIONS', '/changes', { catalog, headers });
    const answer = await ask({ origin, 'access-control-request-method': 'POST' });
    assert.deepEqual([answer.status, answer.text], [204, '']);
    readable(answer, origin);
    assert.match(answer.headers.get('access-control-allow-methods'), /POST/);
    const sendable = answer.headers.get('access-control-allow-headers').split(', ');
    for (const header of ['Authorization', 'Content-Type', 'Idempotency-Key', 'Last-Event-ID', 'If-None-Match', 'Range',
      'Newsreel-Min-Version', 'Cache-Control']) {
      assert.ok(sendable.includes(header), header);
    }
    assert.equal(answer.headers.get('access-control-max-age'), '86400');
    problem(await ask({ origin: 'https://evil.example', 'access-control-request-method': 'POST' }), 403, 'origin-not-allowed');
    problem(await ask({}), 405, 'method-not-allowed');
  });

  await t.test('no page: nothing about origins', async () => {
    const answer = await call({}, '/changes');
    assert.equal(answer.headers.get('access-control-allow-origin'), null);
    const follower = await new Follower(broker, { catalog }).connect();
    await follower.close();
  });
});

test('a list of origins that cannot be read is told to pages only', async (t) => {
  const { broker } = await startSystem(t, { origin: false, vars: { ALLOWED_ORIGINS: 'shop.example' } });
  const headers = { origin: 'https://shop.example' };
  problem(await broker.call('GET', '', { token: TOKENS.follow, headers }), 500, 'misconfigured');
  assert.equal((await broker.publishRaw('{"key":"a:1"}')).status, 200);
});

/** The query that goes on after a page. */
function after({ epoch, to, hash }) {
  return `?epoch=${epoch}&since=${to}&hash=${hash}`;
}

/** Waits until exactly so many wait and stream, by asking: the broker has no event for it. */
async function waitFor(broker, catalog, { polls, streams }) {
  const until = Date.now() + 5_000;
  for (;;) {
    const now = await readersOf(broker, catalog);
    if (now.polls === polls && now.streams === streams) return;
    assert.ok(Date.now() < until, `${polls} polls and ${streams} streams: ${JSON.stringify(now)}`);
  }
}

/** How many wait for a version, and how many stream. */
async function readersOf(broker, catalog) {
  return (await broker.call('GET', '/followers', { token: TOKENS.admin, catalog })).json;
}

function readable(answer, origin) {
  assert.equal(answer.headers.get('access-control-allow-origin'), origin);
  assert.match(answer.headers.get('vary'), /Origin/);
}

/** Asks for a WebSocket by hand, as neither `fetch` nor `WebSocket` lets a test do; closes what it gets. */
function upgrade(broker, catalog, headers) {
  return new Promise((resolve, reject) => {
    const request = httpRequest(broker.at('/follow', catalog), {
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
        ...headers,
      },
    });
    request.on('upgrade', (answer, socket) => {
      socket.destroy();
      resolve({ status: answer.statusCode, headers: answer.headers });
    });
    request.on('response', async (answer) => {
      const text = (await answer.toArray()).join('');
      resolve({ status: answer.statusCode, headers: answer.headers, json: JSON.parse(text) });
    });
    request.on('error', reject);
    request.end();
  });
}

/** Opens a stream of events and reads nothing of it before it is told to. */
function unread(broker, catalog) {
  return new Promise((resolve, reject) => {
    const headers = { accept: 'text/event-stream', authorization: `Bearer ${TOKENS.follow}` };
    const request = httpRequest(broker.at('/changes', catalog), { headers }, (answer) => {
      const readUntil = async (end) => {
        let text = '';
        for await (const chunk of answer.setEncoding('utf8')) {
          text += chunk;
          if (chunk.includes(end)) return text;
        }
        throw new Error('the stream ended');
      };
      resolve({ readUntil, destroy: () => answer.destroy() });
    });
    request.on('error', reject);
    request.end();
  });
}

function problem(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.headers.get('content-type'), 'application/problem+json');
  assert.equal(answer.json.code, code);
}

// Many publishes at once: lines of NDJSON, the publishing socket, and two of the same key at a time.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';

import { Follower } from './follower.mjs';
import { Publisher } from './publisher.mjs';
import { Served } from './served.mjs';
import { newsreel, startSystem, temporaryFolder, TOKENS, wrapped } from './system.mjs';

const LINES = 'application/x-ndjson';

test('lines of NDJSON', async (t) => {
  const { broker } = await startSystem(t, { origin: false });
  const head = async () => (await broker.status()).version;
  const post = (body, { headers, ...options } = {}) =>
    broker.publishRaw(body, { headers: { 'content-type': LINES, ...headers }, ...options });

  await t.test('every line is a version of its own, and they share a frame', async () => {
    const follower = await new Follower(broker).connect();
    const keys = Array.from({ length: 500 }, (_, n) => `title:${n}`);
    const answer = await post(keys.map((key) => JSON.stringify({ key })).join('\n'));
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.headers.get('content-type'), LINES);
    const receipts = lines(answer);
    assert.deepEqual(receipts.map((receipt) => receipt.version), keys.map((_, n) => n + 1));
    assert.deepEqual(receipts.at(-1).position, (await broker.status()).position);
    await follower.reached(keys.length);
    assert.deepEqual(follower.versions.map((row) => row.changes[0].key), keys);
    assert.equal(follower.frames.filter((frame) => frame.type === 'changes').length, 1);
    await follower.close();
  });

  await t.test('a line that is refused keeps its place and stops nobody', async () => {
    const before = await head();
    const body = [
      '{"key":"a:1"}',
      '',
      '{"key":"a"}',
      '{"changes":[{"tag":"x"},{"prefix":"a"}]}\r',
      `{"key":"a:2","expect":{"version":${before + 2}}}`,
      '{"key":"a:3","expect":{"version":1}}',
      `{"tag":"${'x'.repeat(1 << 20)}"}`,
      '{"key":"a:4"}\n',
    ].join('\n');
    const answers = lines(await post(body, { headers: { 'content-type': `${LINES}; charset=utf-8` } }));
    assert.deepEqual(answers.map((answer) => (answer.code ? `${answer.status} ${answer.code}` : answer.version)), [
      before + 1, '400 bad-key', before + 2, before + 3, '412 expect-failed', '413 body-too-large', before + 4,
    ]);
    assert.equal(answers[2].changes, 2);
    assert.equal(await head(), before + 4);
  });

  await t.test('D3: a body sent again under its key has no second effect', async () => {
    const body = '{"key":"b:1"}\n{"key":"b"}\n{"key":"b:2","idempotency_key":"own"}\n{"key":"b:3"}';
    const headers = { 'idempotency-key': 'body-1' };
    const first = await post(body, { headers });
    const before = await head();
    assert.equal((await post(body, { headers })).text, first.text);
    assert.equal(await head(), before);
    const [, , second, third] = lines(first);
    const again = async (key, publish) =>
      (await broker.publishRaw(JSON.stringify(publish), { headers: { 'idempotency-key': key } })).json;
    assert.deepEqual(await again('own', { key: 'b:2' }), second, 'a line has its own key');
    assert.deepEqual(await again('body-1#4', { key: 'b:3' }), third, 'or one of its place in the body');
    const [reused, added] = lines(await post('{"key":"b:4"}\n{"key":"b:5"}', { headers }));
    assert.equal(reused.code, 'idempotency-reuse');
    assert.equal(added.version, before + 1, 'the second line was refused before, so nothing is remembered of it');
    assert.equal(await head(), before + 1);
  });

  await t.test('limits: no line, too many lines, too many bytes, no waiting, no token', async () => {
    const before = await head();
    const is = ({ status, json, text }, wanted, code) => assert.deepEqual([status, json?.code], [wanted, code], text);
    is(await post('\n \n'), 400, 'no-changes');
    is(await post('{}\n'.repeat(10_001)), 413, 'body-too-large');
    const headers = { authorization: `Bearer ${TOKENS.publish}`, 'content-type': LINES, 'transfer-encoding': 'chunked' };
    const request = httpRequest(broker.at('/changes'), { method: 'POST', headers });
    const answered = once(request, 'response');
    for (let part = 0; part < 9; part += 1) request.write(' '.repeat(1 << 20));
    request.end();
    const [{ statusCode }] = await answered;
    assert.equal(statusCode, 413);
    is(await broker.call('POST', '/changes?wait=applied', {
      token: TOKENS.publish, headers: { 'content-type': LINES }, body: '{"all":true}',
    }), 400, 'bad-request');
    is(await post('{"all":true}', { headers: { 'idempotency-key': 'k'.repeat(256) } }), 400, 'bad-request');
    is(await post('{"all":true}', { token: TOKENS.follow }), 403, 'forbidden');
    assert.equal(await head(), before);
  });

  await t.test('8 MiB are one body, in several transactions', async () => {
    const before = await head();
    const one = JSON.stringify({ key: 'first:1', idempotency_key: 'first' });
    const large = Array.from({ length: 27 }, () => tagged(280));
    const body = [one, ...large, one].join('\n');
    assert.ok(body.length > 7.5 * 2 ** 20 && body.length <= 8 * 2 ** 20, `${body.length}`);
    const answers = lines(await post(body));
    assert.deepEqual(answers.pop(), answers[0], 'its key is known in the last as it was in the first');
    assert.deepEqual(answers.map((answer) => answer.version), answers.map((_, n) => before + 1 + n));
    assert.equal(await head(), before + 28);
  });

  await t.test('10,000 lines are one body', async () => {
    const before = await head();
    const keys = Array.from({ length: 10_000 }, (_, n) => JSON.stringify({ key: `many:${n}` }));
    const answers = lines(await post(keys.join('\n')));
    assert.equal(answers.at(-1).version, before + keys.length);
    assert.equal(answers.length, keys.length);
  });
});

test('the publishing socket', async (t) => {
  const { broker, worker } = await startSystem(t, { origin: false });
  const head = async () => (await broker.status()).version;
  const evict = () => worker.evictDurableObject('Broker', { name: 'tv', webSockets: 'hibernate' });

  await t.test('2,000 publishes at once are answered in order, each with its own version', async () => {
    const publisher = await new Publisher(broker).connect();
    const follower = await new Follower(broker).connect({ from: 'head' });
    const answers = await Promise.all(
      Array.from({ length: 2_000 }, (_, n) => publisher.publish({ key: `title:${n}` })),
    );
    assert.deepEqual(answers.map((answer) => answer.version), Array.from({ length: 2_000 }, (_, n) => n + 1));
    assert.ok(publisher.frames.length < 500, `answers are joined: ${publisher.frames.length} frames`);
    await follower.reached(2_000);
    assert.deepEqual(follower.versions.map((row) => row.changes[0].key), answers.map((_, n) => `title:${n}`));
    await follower.close();
    await publisher.close();
  });

  await t.test('what is no publish is answered in its place', async () => {
    const publisher = await new Publisher(broker).connect();
    const before = await head();
    const answers = await Promise.all([
      publisher.publish({ key: 'a:1' }),
      publisher.publish('no JSON'),
      publisher.publish({ key: 'a:2', expect: { version: before } }),
      publisher.publish({ tag: 'x'.repeat(1 << 20) }),
      publisher.publish({ changes: [{ key: 'a:2' }, { key: 'a:3' }], expect: { version: before + 1 } }),
    ]);
    assert.deepEqual(answers.map((answer) => answer.code ?? answer.version), [
      before + 1, 'bad-json', 'expect-failed', 'body-too-large', before + 2,
    ]);
    assert.equal(await head(), before + 2);
    await publisher.close();
  });

  await t.test('a text that is too large is told so, however much is unanswered', async () => {
    const publisher = await new Publisher(broker).connect();
    const before = await head();
    const [full, large] = [tagged(300), 'x'.repeat(5 << 20)];
    const answers = await Promise.all([full, full, full, full, full, large].map((text) => publisher.publish(text)));
    const codes = answers.map((answer) => answer.code ?? 'published');
    assert.equal(codes.pop(), 'body-too-large', `after ${codes}`);
    assert.equal(await head(), before + codes.filter((code) => code === 'published').length);
    await publisher.close();
  });

  await t.test('D3: a key is one publish over the socket and over HTTP', async () => {
    const publisher = await new Publisher(broker).connect();
    const line = { key: 'b:1', idempotency_key: 'shared' };
    const [first, second] = await Promise.all([publisher.publish(line), publisher.publish(line)]);
    assert.deepEqual(second, first);
    const headers = { 'idempotency-key': 'shared' };
    assert.deepEqual(await broker.publish({ key: 'b:1' }, { headers }), first);
    assert.equal((await publisher.publish({ ...line, key: 'b:2' })).code, 'idempotency-reuse');
    assert.equal(await head(), first.version);
    await publisher.close();
  });

  await t.test('a binary frame closes it, and what was sent before is published', async () => {
    const publisher = await new Publisher(broker).connect();
    const before = await head();
    void publisher.publish({ key: 'c:1' });
    publisher.socket.send(new Uint8Array([1, 2, 3]));
    await publisher.until(() => publisher.error).catch(() => {});
    await assert.rejects(publisher.until(() => false), /4500/);
    assert.equal(publisher.error.code, 'bad-frame');
    assert.equal(await head(), before + 1);
  });

  await t.test('it sleeps and wakes, is no follower, and a ping tells the head', async () => {
    const publisher = await new Publisher(broker).connect();
    const follower = await new Follower(broker).connect({ from: 'head' });
    const first = await publisher.publish({ key: 'd:1' });
    await evict();
    publisher.socket.send('ping');
    await publisher.until(() => publisher.pongs.length === 1);
    assert.deepEqual(publisher.pongs, [first.position]);
    const second = await publisher.publish({ key: 'd:2' });
    assert.equal(second.version, first.version + 1);
    await evict();
    const later = await new Publisher(broker).connect();
    const [third, fourth] = await Promise.all([publisher.publish({ key: 'd:3' }), later.publish({ key: 'd:4' })]);
    assert.deepEqual([third.version, fourth.version].sort(), [second.version + 1, second.version + 2]);
    await follower.reached(second.version + 2);
    assert.equal((await broker.status()).followers, 1);
    const { followers } = (await broker.call('GET', '/followers', { token: TOKENS.admin })).json;
    assert.deepEqual(followers.map(({ name }) => name), ['e2e']);
    await Promise.all([publisher.close(), later.close(), follower.close()]);
  });

  await t.test('an object that dies again and again loses no publish and makes none twice', async () => {
    const publisher = await new Publisher(broker).connect();
    const before = await head();
    const answers = [];
    const codes = [];
    for (let round = 0; round < 5; round += 1) {
      for (let n = 0; n < 100; n += 1) {
        const key = `e:${round}-${n}`;
        answers.push(publisher.publish({ key, idempotency_key: key }));
      }
      await evict();
      try {
        await publisher.until(() => publisher.unanswered.length === 0);
      } catch {
        codes.push(publisher.closed.code);
        await publisher.connect();
      }
    }
    await publisher.until(() => publisher.unanswered.length === 0);
    const versions = (await Promise.all(answers)).map((answer) => answer.version);
    assert.deepEqual(versions, answers.map((_, n) => before + 1 + n));
    assert.ok(codes.every((code) => code === 4010), `${codes}`);
    t.diagnostic(`closed with ${codes.length === 0 ? 'nothing' : codes}`);
    await publisher.close();
  });

  await t.test('tokens, plain requests, catalogs', async () => {
    await assert.rejects(new Publisher(broker, { token: TOKENS.follow }).connect());
    const publish = (token, catalog) => broker.call('GET', '/publish', { token, catalog });
    assert.equal((await publish(TOKENS.publish)).json.code, 'upgrade-required');
    assert.equal((await publish(TOKENS.follow)).json.code, 'forbidden');
    assert.equal((await publish('tv-publish', 'fares')).json.code, 'forbidden');
    assert.equal((await publish(undefined)).json.code, 'unauthorized');
  });
});

test('storage that fails', async (t) => {
  const { broker, worker } = await startSystem(t, { origin: false, config: wrapped(t, 'storage.worker.mjs') });
  const post = async (keys, catalog) => {
    const body = keys.map((key) => JSON.stringify({ key })).join('\n');
    const answer = await broker.publishRaw(body, { catalog, headers: { 'content-type': LINES } });
    return lines(answer).map(({ version, code }) => version ?? code);
  };

  await t.test('a publishing socket that may yet lose an answer is closed when the object wakes', async () => {
    const catalog = 'held';
    const publisher = await new Publisher(broker, { catalog, token: TOKENS.publish }).connect();
    await publisher.publish({ key: 'fault:held' });
    await publisher.publish({ key: 'a:1' });
    // The first is durable, the second is not.
    publisher.socket.send('ping');
    await publisher.until(() => publisher.pongs.length === 1);
    await worker.evictDurableObject('Broker', { name: catalog, webSockets: 'hibernate' });
    await broker.status(catalog);
    publisher.socket.send('ping');
    await assert.rejects(publisher.until(() => publisher.pongs.length === 2), /4010/);
  });

  await t.test('a row that cannot be written fails alone', async () => {
    const keys = ['a:1', 'fault:bad', 'a:2', 'fault:bad', 'fault:bad', 'a:3'];
    assert.deepEqual(await post(keys, 'bad'), [1, 'not-written', 2, 'not-written', 'not-written', 3]);
  });

  await t.test('after three that cannot be written in a row the rest is not tried', async () => {
    // Four tries: all together, and three alone.
    assert.deepEqual(await post(['fault:full-5', 'a:1', 'a:2', 'a:3', 'a:4'], 'full'), Array(5).fill('not-written'));
    assert.deepEqual(await post(['a:1', 'a:2'], 'full'), [1, 2], 'and it goes on');
  });

  await t.test('a database that is nearly full remembers no more keys, but what it knows it knows', async () => {
    const catalog = 'large';
    const keyed = (key, publish) =>
      broker.publishRaw(JSON.stringify(publish), { catalog, headers: { 'idempotency-key': key } });
    const first = await keyed('one', { changes: [{ key: 'a:1' }, { tag: 'x' }] });
    assert.equal(first.status, 200, first.text);
    assert.deepEqual(await post(['fault:large'], catalog), [2]);
    const refused = await keyed('two', { key: 'a:1' });
    assert.deepEqual([refused.status, refused.json.code], [503, 'not-written']);
    assert.equal(refused.headers.get('retry-after'), '1');
    assert.deepEqual(await post(['a:1'], catalog), [3], 'without a key it goes on');
    assert.equal((await broker.status(catalog)).bytes, 9 * 2 ** 30);
    const again = await keyed('one', { changes: [{ key: 'a:1' }, { tag: 'x' }] });
    assert.deepEqual([again.text, again.headers.get('idempotent-replayed')], [first.text, 'true']);
    assert.equal((await keyed('one', { key: 'a:2' })).json.code, 'idempotency-reuse');
    await worker.evictDurableObject('Broker', { name: catalog, webSockets: 'hibernate' });
    assert.equal((await keyed('one', { changes: [{ key: 'a:1' }, { tag: 'x' }] })).text, first.text);
    assert.equal((await keyed('two', { key: 'a:1' })).json.version, 4, 'there is room again');
  });
});

test('two requests with one idempotency key', async (t) => {
  const { broker } = await startSystem(t, { origin: false });
  const body = '{"key":"a:1"}';
  const headers = { 'idempotency-key': 'one' };

  /** Begins a publish whose body does not end yet. */
  const begin = () => {
    const answered = Promise.withResolvers();
    const request = httpRequest(broker.at('/changes'), {
      method: 'POST',
      headers: { authorization: `Bearer ${TOKENS.publish}`, ...headers },
    }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part) => (text += part));
      response.on('end', () => answered.resolve(JSON.parse(text)));
    });
    request.on('error', answered.reject);
    request.write(body.slice(0, 3));
    return { request, answered: answered.promise };
  };
  /**
   * Begins a publish and publishes beside it until the broker has heard of that one, which it tells with the 409. If
   * the other was heard first, the one that was begun is refused instead, and another is begun.
   */
  const untilInFlight = async (publish) => {
    for (;;) {
      const slow = begin();
      const refused = slow.answered.then(({ code }) => code === 'idempotency-in-flight', () => true);
      for (let ours; ; ) {
        const answer = publish();
        ours = await Promise.race([answer, refused.then((is) => (is ? undefined : answer))]);
        if (ours?.status === 409) return { ...slow, refused: ours };
        if (ours === undefined) break;
      }
      slow.request.destroy();
    }
  };

  await t.test('the second is refused while the first is being read, whatever it publishes', async () => {
    const probe = () => broker.publishRaw('{"changes":[]}', { headers });
    const { request, answered, refused } = await untilInFlight(probe);
    assert.equal(refused.json.code, 'idempotency-in-flight');
    assert.equal(refused.headers.get('retry-after'), '1');
    const of = (key, options) => broker.publishRaw(body, { headers: { 'idempotency-key': key }, ...options });
    assert.equal((await of('two')).status, 200, 'another key is free');
    assert.equal((await of('one', { token: TOKENS.admin })).status, 409, 'the token of the same name is the same publisher');
    assert.equal((await of('one', { token: 'tv-publish' })).status, 200, 'of another publisher too');
    request.end(body.slice(3));
    const receipt = await answered;
    assert.deepEqual(await broker.publish({ key: 'a:1' }, { headers }), receipt);
  });

  await t.test('one whose sender went away does not stand in the way', async () => {
    headers['idempotency-key'] = 'gone';
    const { request, answered } = await untilInFlight(() => broker.publishRaw('{"changes":[]}', { headers }));
    const lost = assert.rejects(answered);
    request.destroy();
    await lost;
    for (let answer; answer?.status !== 200; ) {
      answer = await broker.publishRaw(body, { headers });
      assert.ok([200, 409].includes(answer.status), answer.text);
    }
  });
});

test('bodies that are being read take so much memory, and no more', async (t) => {
  const { broker } = await startSystem(t, { origin: false });
  const loads = Array.from({ length: 2 }, () => {
    const headers = { authorization: `Bearer ${TOKENS.publish}`, 'content-type': LINES, 'content-length': 8 << 20 };
    const load = httpRequest(broker.at('/changes'), { method: 'POST', headers });
    load.on('error', () => {});
    load.write('{');
    return load;
  });
  const large = async () => {
    const { status, json, headers } = await broker.publishRaw(tagged(80));
    return status === 200 ? 'published' : `${json.code} ${headers.get('retry-after')}`;
  };
  let answer;
  while ((answer = await large()) === 'published');
  assert.equal(answer, 'busy 1', 'both are being read');
  await broker.publish({ key: 'small:1' });
  loads.forEach((load) => load.destroy());
  while ((answer = await large()) === 'busy 1');
  assert.equal(answer, 'published', 'and nobody is');
});

test('D1, D3: the command publishes a file over a crash, each line once', async (t) => {
  const served = await Served.at(t);
  const { broker } = await served.start();
  const follower = await new Follower(broker).connect();
  const file = join(temporaryFolder(t), 'lines.ndjson');
  const keys = Array.from({ length: 20_000 }, (_, n) => `title:${n}`);
  writeFileSync(file, keys.map((key) => `${JSON.stringify({ key })}\n`).join(''));
  const words = ['publish', '--broker', broker.url, '--catalog', 'tv', '--token', TOKENS.publish,
    '--retry-for-ms', '60000', '--idempotency-key', 'file-1', '--ndjson', file];
  const publishing = newsreel(...words);
  await follower.reached(2_000);
  await served.kill();
  assert.ok(follower.position.version < keys.length, 'killed in the middle');
  await served.start();
  const { code, stdout, stderr } = await publishing;
  assert.equal(code, 0, stderr);
  assert.match(stderr, /connecting again[^]*20000 published, 0 refused/);
  const receipts = stdout.trimEnd().split('\n').map((line) => JSON.parse(line));
  assert.equal(receipts.length, keys.length);
  const head = await broker.status();
  assert.equal(head.version, keys.length, 'one version a line');
  await follower.until(() => follower.closed);
  await follower.connect();
  await follower.reached(head.version);
  const made = new Map(follower.versions.map((row) => [row.changes[0].key, row.version]));
  receipts.forEach(({ version }, n) => assert.equal(made.get(keys[n]), version, keys[n]));

  const again = await newsreel(...words);
  assert.deepEqual([again.code, again.stdout], [0, stdout], 'the same file again says the same');
  assert.equal((await broker.status()).version, keys.length);
  await follower.close();
});

/** A publish of so many kilobytes. */
function tagged(kilobytes) {
  const tags = (n) => Array.from({ length: 4 }, (_, m) => `${n}-${m}`.padEnd(256, 'x'));
  return JSON.stringify({ changes: Array.from({ length: kilobytes }, (_, n) => ({ key: `large:${n}`, tags: tags(n) })) });
}

function lines({ status, text }) {
  assert.equal(status, 200, text);
  return text.trimEnd().split('\n').map((line) => JSON.parse(line));
}

// Access and the cost of a refusal: signed tokens at both doors, and no object woken for a caller that is refused.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';

import { Recorder } from './client.mjs';
import { Events } from './events.mjs';
import { Follower } from './follower.mjs';
import { Publisher } from './publisher.mjs';
import { newsreel, startSystem, temporaryFolder, TOKENS, wrapped } from './system.mjs';
import { inSeconds, makeKey, makeToken } from './tokens.mjs';

const KEYS = { old: makeKey('old', 'HS256'), new: makeKey('new', 'EdDSA'), gone: makeKey('gone', 'HS256') };
const TOKEN_KEYS = JSON.stringify([KEYS.old.item, KEYS.new.item]);

/** A system that says which objects were touched since it was asked last. */
async function watchedSystem(t, { vars = {}, keys = TOKEN_KEYS } = {}) {
  const config = wrapped(t, 'security.worker.mjs');
  const system = await startSystem(t, { vars, secrets: { TOKEN_KEYS: keys }, config, origin: false });
  const ask = async (path) => (await system.worker.fetch(`http://test${path}`)).json();
  return { ...system, touched: () => ask('/touched'), logged: () => ask('/logged') };
}

const change = (key) => JSON.stringify({ key });

/** Opens a WebSocket as a program or a page does; resolves to the status of the answer, or to what was seen while open. */
function upgrade(broker, path, headers, whileOpen = async () => 101) {
  const key = randomBytes(16).toString('base64');
  const request = http.get(broker.at(path), {
    headers: { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': key, ...headers },
  });
  return new Promise((resolve, reject) => {
    request.on('response', (response) => (response.resume(), resolve(response.statusCode)));
    request.on('upgrade', async (_, socket) => (resolve(await whileOpen()), socket.destroy()));
    request.on('error', reject);
  });
}

test('signed tokens', async (t) => {
  const { broker, worker, touched, logged } = await watchedSystem(t, { vars: { CATALOGS: 'tv,fares' } });
  const with_ = (claims, key = KEYS.new, header) => ({ token: makeToken(key, claims, header) });
  const follows = (claims, key, header) => broker.changes('', with_(claims, key, header));

  await t.test('both keys of a rotation are good, at every call that their scopes name', async () => {
    for (const key of [KEYS.old, KEYS.new]) {
      assert.equal((await follows({}, key)).status, 200, key.item.alg);
      const published = await broker.publishRaw(change('title:1'), with_({ scopes: ['publish'], catalog: ['fares', 'tv'] }, key));
      assert.equal(published.status, 200, published.text);
      assert.equal((await broker.call('GET', '/followers', with_({ scopes: ['admin'] }, key))).status, 200);
    }
    const follower = await new Follower(broker, with_()).connect();
    assert.equal(follower.versions.length, 2, 'in a subprotocol');
    await follower.close();
    await touched();
  });

  await t.test('whoever may not wakes nothing', async () => {
    const refused = {
      'no token': [401, () => broker.changes('', { token: undefined })],
      'a wrong one': [401, () => broker.changes('', { token: 'wrong' })],
      'a key that is gone': [401, () => follows({}, KEYS.gone)],
      'another key under its name': [401, () => follows({}, { ...KEYS.gone, item: KEYS.new.item })],
      'no algorithm': [401, () => follows({}, { ...KEYS.new, sign: () => Buffer.alloc(0) }, { alg: 'none' })],
      'the public key as a secret': [401, () => follows({}, confused(KEYS.new), { alg: 'HS256' })],
      'a key that it brings along': [401, () => follows({}, KEYS.new, { jwk: { kty: 'OKP' } })],
      expired: [401, () => follows({ exp: inSeconds(-1) })],
      'not yet': [401, () => follows({ nbf: inSeconds(120) })],
      'another catalog': [403, () => follows({ catalog: 'fares' })],
      'another scope': [403, () => broker.publishRaw(change('title:1'), with_({ scopes: ['follow'] }))],
      'another topic': [403, () => broker.changes('?topic=live:', with_({ topics: ['title:'] }))],
      'a catalog that is not served': [404, () => broker.changes('', { ...with_({ catalog: '*' }), catalog: 'tv2' })],
      'a read of such a one': [404, () => broker.read('title:1', { catalog: 'tv2' })],
      'no address': [404, () => broker.call('GET', '/nothing', { token: TOKENS.admin })],
      'a bad name': [400, () => broker.changes('', { catalog: 'TV' })],
      'too large a body': [413, () => broker.publishRaw('x'.repeat(2 << 20))],
      'a list of keys that does not say how long it is': [413, () => stream(broker, 300 << 10)],
      'metrics of a catalog that is not served, without a token': [401, () => broker.call('GET', '/metrics', { catalog: 'tv2' })],
      'metrics without admin': [403, () => broker.call('GET', '/metrics', with_())],
      'a foreign page': [403, () => broker.changes('', { headers: { origin: 'https://evil.example' } })],
      'a socket of a foreign page': [403, () => socket({ origin: 'https://evil.example' })],
      'a socket of a page without an origin': [403, () => socket({ origin: 'null' })],
      'a socket without a token': [401, () => socket({ authorization: '' })],
      'a socket with an expired token': [401, () => socket({ authorization: `Bearer ${makeToken(KEYS.new, { exp: 1 })}` })],
    };
    for (const [what, [status, call]] of Object.entries(refused)) {
      const answer = await call();
      assert.equal(answer.status ?? answer, status, `${what}: ${answer.text}`);
      assert.deepEqual(await touched(), [], what);
    }
    assert.equal(await socket({}), 101, 'and who may does');
    assert.deepEqual(await touched(), ['broker tv called']);
  });

  await t.test('a token with topics hears and publishes those only', async () => {
    const narrow = { topics: ['title:', 'live:'] };
    const all = ['title:1', 'other:1', 'live:1'];
    for (const key of all) await broker.publish({ key });
    const keys = (versions) => versions.flatMap(({ changes }) => changes.map(({ key }) => key));

    const page = await broker.changes('?since=0', with_(narrow));
    assert.deepEqual(keys(page.json.versions), ['title:1', 'title:1', 'title:1', 'live:1']);
    assert.equal(page.headers.get('cache-control'), 'no-store');
    assert.deepEqual(keys((await broker.changes('?since=0&topic=live:', with_(narrow))).json.versions), ['live:1']);

    const follower = new Follower(broker, with_(narrow));
    const connecting = follower.connect();
    // Asked for none, and is filtered.
    follower.topics = narrow.topics;
    await connecting;
    assert.deepEqual(keys(follower.versions), ['title:1', 'title:1', 'title:1', 'live:1']);
    await follower.close();

    const publishes = with_({ ...narrow, scopes: ['publish'] });
    assert.equal((await broker.publishRaw(change('live:2'), publishes)).status, 200);
    for (const wide of [{ key: 'other:2' }, { prefix: 'l' }, { tag: 'a' }, { all: true }]) {
      const changes = JSON.stringify({ changes: [{ key: 'live:3' }, wide] });
      assert.equal((await broker.publishRaw(changes, publishes)).json.code, 'forbidden', changes);
    }
    const publisher = await new Publisher(broker, publishes).connect();
    const answers = await Promise.all([publisher.publish({ key: 'other:2' }), publisher.publish({ key: 'title:2' })]);
    assert.deepEqual(answers.map(({ code, changes }) => code ?? changes), ['forbidden', 1]);
    await publisher.close();
    const lines = `${change('all:1')}\n${change('live:4')}\n`;
    const lined = await broker.publishRaw(lines, { ...publishes, headers: { 'content-type': 'application/x-ndjson' } });
    assert.deepEqual(lined.text.trim().split('\n').map((line) => JSON.parse(line).code), ['forbidden', undefined]);
  });

  await t.test('the headers of the inside mean nothing from outside', async () => {
    const headers = { 'newsreel-replica': '1', 'newsreel-caller': 'guide', 'newsreel-grant': 'topic=other%3A' };
    const narrow = with_({ topics: ['title:'], scopes: ['publish'] });
    assert.equal((await broker.publishRaw(change('other:3'), { ...narrow, headers })).json.code, 'forbidden');
    const listed = (name) => async () => {
      const { followers } = (await broker.call('GET', '/followers', { token: TOKENS.admin })).json;
      return followers.find((follower) => follower.name === name);
    };
    const follower = { authorization: `Bearer ${makeToken(KEYS.new)}`, ...headers };
    assert.equal((await upgrade(broker, '/follow?name=liar', follower, listed('liar'))).replica, false);
    const admin = { authorization: `Bearer ${TOKENS.admin}`, 'newsreel-replica': '0' };
    assert.equal((await upgrade(broker, '/follow?name=plain', admin, listed('plain'))).replica, false);
  });

  await t.test('at the end of its token whatever is open is closed', async () => {
    const claims = { exp: inSeconds(4) };
    const follower = await new Follower(broker, with_(claims)).connect();
    const publisher = await new Publisher(broker, with_({ ...claims, scopes: ['publish'] })).connect();
    const events = await new Events(broker).connect({ authorization: `Bearer ${makeToken(KEYS.new, claims)}` });
    const poll = broker.changes(`?${new URLSearchParams(follower.position)}&since=${follower.position.version}&wait_ms=30000`, with_(claims));
    const ended = events.until(() => events.ended);
    const asked = [];
    const token = ({ refused }) => (asked.push(refused), makeToken(KEYS.new, refused ? {} : claims));
    const recorder = await Recorder.follow(t, broker, { token, timing: {} });
    const sockets = [follower, publisher];
    await Promise.all([...sockets.map((one) => one.until(() => one.error)), ended, poll]);
    assert.ok(Date.now() / 1000 >= claims.exp, 'and not before');
    assert.equal(events.failure, undefined);
    // workerd ends the connections only when the object sleeps.
    await worker.evictDurableObject('Broker', { name: 'tv', webSockets: 'hibernate' });
    for (const one of sockets) {
      assert.deepEqual(one.error, { type: 'error', code: 'unauthorized', message: 'the token has expired' });
      await one.until(() => one.closed);
      assert.deepEqual(one.closed, { code: 4400, reason: 'the token has expired' });
    }
    assert.equal((await poll).json.versions.length, 0);
    assert.equal((await follows(claims)).status, 401);
    const { version } = await broker.publish({ key: 'title:renewed' });
    await recorder.until(() => recorder.versions.includes(version));
    assert.ok(asked.includes(true), 'the package asked for another token and went on');
    await recorder.feed.close();
    const again = await new Follower(broker, with_()).connect();
    await again.close();
  });

  await t.test('the edge asks for one where it answers more than entries', async () => {
    assert.equal((await broker.call('GET', '/metrics', with_({ scopes: ['admin'] }))).status, 200);
  });

  await t.test('what the command signs is good', async () => {
    const file = join(temporaryFolder(t), 'key.json');
    const made = await newsreel('token', 'key', '--kid', 'made', '--out', file);
    assert.equal(made.code, 0, made.stderr);
    const signed = await newsreel('token', 'sign', '--key', file, '--sub', 'app', '--for', 'tv', '--scope', 'follow');
    assert.equal(signed.code, 0, signed.stderr);
    const other = await watchedSystem(t, { keys: `[${made.stdout}]` });
    assert.equal((await other.broker.changes('', { token: signed.stdout.trim() })).status, 200);
    assert.equal((await other.broker.changes('', with_())).status, 401, 'the keys before it are gone');
  });

  await t.test('no secret is in what was logged or answered', async () => {
    const secrets = [...Object.values(TOKENS), ...Object.values(KEYS).flatMap((key) => key.secrets), makeToken(KEYS.new).split('.')[0]];
    for (const keys of [TOKEN_KEYS.slice(1), TOKEN_KEYS.replace('HS256', 'none')]) {
      const other = await watchedSystem(t, { keys });
      const { status, text } = await other.broker.changes('', with_());
      assert.equal(status, 500);
      assert.match(text, /TOKEN_KEYS/);
      const said = [text, ...(await other.logged())].join('\n');
      assert.deepEqual(secrets.filter((secret) => said.includes(secret)), []);
    }
    const said = (await logged()).join('\n');
    assert.deepEqual(secrets.filter((secret) => said.includes(secret)), []);
  });

  /** Asks for a socket with a good token, but for these headers. */
  function socket(headers) {
    return upgrade(broker, '/follow', { authorization: `Bearer ${makeToken(KEYS.new)}`, ...headers });
  }
});

test('rates', async (t) => {
  const { broker, touched } = await watchedSystem(t, { vars: { PUBLISH_PER_SECOND: '1', FOLLOW_PER_SECOND: '1' } });
  const refused = async (call) => {
    for (let n = 0; n < 100; n += 1) {
      const answer = await call();
      if (answer.status === 429) return answer;
      await touched();
    }
    throw new Error('nothing was too much');
  };

  for (const [what, call] of [
    ['publishes', () => broker.publishRaw(change('title:1'))],
    ['pages', () => broker.changes('')],
    ['failures', async () => (await Promise.all(Array.from({ length: 150 }, () => broker.changes('', { token: 'a.b.c' })))).at(-1)],
  ]) {
    await t.test(`${what} past the rate are told to wait, and wake nothing`, async () => {
      const answer = await refused(call);
      assert.equal(answer.json.code, 'rate-limited');
      assert.equal(answer.headers.get('retry-after'), '1');
      assert.ok(answer.json.retry_after_ms > 0);
      assert.deepEqual(await touched(), []);
    });
  }

  await t.test('what fails elsewhere keeps nobody out whose token is on a list', async () => {
    assert.notEqual((await broker.changes('', { token: TOKENS.admin })).status, 429);
  });

  await t.test('texts of a publishing socket are answered so in their place', async () => {
    const publisher = await new Publisher(broker, { token: 'tv-publish' }).connect();
    const answers = await Promise.all(Array.from({ length: 3 }, (_, n) => publisher.publish({ key: `title:${n}` })));
    assert.equal(answers[0].changes, 1);
    assert.ok(answers.slice(1).some(({ code, retry_after_ms }) => code === 'rate-limited' && retry_after_ms > 0));
    await publisher.close();
  });
});

/** Asks for entries with a body without a `Content-Length`. */
function stream(broker, bytes) {
  return fetch(broker.at('/entries'), { method: 'POST', duplex: 'half', body: new Blob(['x'.repeat(bytes)]).stream() });
}

/** Returns a key whose signatures are HMACs with the public half of an Ed25519 key. */
function confused(key) {
  const hmac = makeKey('confused', 'HS256');
  return { ...hmac, item: key.item };
}

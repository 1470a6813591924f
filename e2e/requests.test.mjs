// Requests as they come from a world of proxies, tools and libraries: how the front doors treat methods, bodies,
// codings and spellings that no client of ours sends.

import assert from 'node:assert/strict';
import { Agent, request as httpRequest } from 'node:http';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { startValues } from './origin.mjs';
import { Served } from './served.mjs';
import { startSystem, TOKENS } from './system.mjs';
import { makeKey, makeToken } from './tokens.mjs';

const KEY = makeKey('new', 'EdDSA');

const BOM = '\ufeff';
const CATALOG = '/v1/catalogs/tv';
/** Every address, with the methods it allows. */
const ADDRESSES = [
  ['/healthz', 'GET'],
  ['/readyz', 'GET'],
  [CATALOG, 'GET'],
  [`${CATALOG}/changes`, 'GET, POST'],
  [`${CATALOG}/publish`, 'GET'],
  [`${CATALOG}/epochs`, 'POST'],
  [`${CATALOG}/follow`, 'GET'],
  [`${CATALOG}/followers`, 'GET'],
  [`${CATALOG}/hooks/netflix`, 'POST'],
  [`${CATALOG}/dead-letters`, 'GET, POST'],
  [`${CATALOG}/alerts`, 'GET, POST'],
  [`${CATALOG}/sources`, 'POST'],
  [`${CATALOG}/checks`, 'GET'],
  [`${CATALOG}/entries/title:1`, 'GET, POST, PUT'],
  [`${CATALOG}/entries?key=title:1`, 'GET, POST'],
  [`${CATALOG}/leases`, 'POST'],
  [`${CATALOG}/floors`, 'POST'],
  [`${CATALOG}/fill`, 'POST'],
  [`${CATALOG}/metrics`, 'GET'],
  [`${CATALOG}/dry-run`, 'POST'],
  [`${CATALOG}/settings`, 'GET'],
  [`${CATALOG}/series`, 'GET'],
  [`${CATALOG}/series?edge=e2e`, 'GET'],
];

/** On wrangler's harness, and on workerd alone, which hides nothing of a request. */
const DEPLOYMENTS = {
  'under wrangler': async (t, { secrets, vars }) => (await startSystem(t, { origin: false, secrets, vars })).broker,
  'on workerd': async (t, { secrets, vars }) => {
    const served = await Served.at(t, { vars: { ...vars, ...secrets } });
    await served.start();
    return served.broker;
  },
};

for (const [where, start] of Object.entries(DEPLOYMENTS)) test(`odd requests ${where}`, async (t) => {
  const origin = await startValues(t);
  origin.set('title:1', { name: 'one' });
  const secrets = { TOKEN_KEYS: JSON.stringify([KEY.item]) };
  const broker = await start(t, { secrets, vars: { ORIGIN_URL: origin.url } });
  const { version } = await broker.publish({ key: 'title:2' });
  await broker.read('title:1');

  await t.test('a method that an address does not have is 405 and names those that it has', async () => {
    for (const method of ['PURGE', 'BAN', 'QUERY', 'PROPFIND', 'PATCH', 'PUT', 'OPTIONS']) {
      for (const [path, allowed] of ADDRESSES) {
        if (allowed.split(', ').includes(method)) continue;
        const answer = await raw(broker, method, path, { token: TOKENS.admin });
        // The runtime itself may know no such method.
        if (answer.status === 501) continue;
        const asked = `${method} ${path}: ${answer.status} ${answer.text}`;
        assert.equal(answer.status, 405, asked);
        assert.equal(answer.headers.allow, allowed, asked);
      }
    }
  });

  await t.test('HEAD is answered where GET is', async () => {
    for (const path of ['/healthz', '/readyz', CATALOG, `${CATALOG}/changes`, `${CATALOG}/entries/title:1`]) {
      const [head, get] = [await raw(broker, 'HEAD', path, { token: TOKENS.admin }), await raw(broker, 'GET', path, { token: TOKENS.admin })];
      assert.deepEqual([head.status, head.text], [get.status, ''], path);
    }
  });

  await t.test('a body of GET and HEAD is ignored', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    for (const path of ['/healthz', CATALOG, `${CATALOG}/changes`, `${CATALOG}/followers`, `${CATALOG}/entries/title:1`]) {
      for (const method of ['GET', 'HEAD']) {
        for (const body of ['', 'x', '{"query":{}}', 'x'.repeat(100_000)]) {
          const headers = { 'content-length': String(body.length), 'content-type': 'application/json' };
          const answer = await raw(broker, method, path, { token: TOKENS.admin, headers, body, agent });
          assert.equal(answer.status, 200, `${method} ${path} with ${body.length} bytes: ${answer.text}`);
        }
      }
    }
  });

  await t.test('a body with a content coding is 415 and names what is taken', async () => {
    const bodies = { '/changes': '{"key":"title:1"}', '/entries': '{"keys":["title:1"]}', '/fill': '{"keys":["title:1"]}' };
    for (const [path, body] of Object.entries(bodies)) {
      for (const [coding, coded] of [['gzip', gzipSync(body)], ['br', body], ['identity, gzip', body]]) {
        const headers = { 'content-encoding': coding };
        const answer = await broker.call('POST', path, { token: TOKENS.admin, headers, body: coded });
        assert.deepEqual([answer.status, answer.json.code, answer.json.accept_encoding], [415, 'unsupported-encoding', 'identity']);
        assert.equal(answer.headers.get('accept-encoding'), 'identity');
        assert.match(answer.json.detail, /gzip|br/);
      }
      const plain = await broker.call('POST', path, { token: TOKENS.admin, headers: { 'content-encoding': 'identity' }, body });
      assert.equal(plain.status, 200, `${path}: ${plain.text}`);
    }
  });

  await t.test('a path is percent-decoded once', async () => {
    const token = TOKENS.admin;
    for (const catalog of ['t%76', '%74%76']) {
      assert.equal((await broker.call('GET', '', { token, catalog })).json.catalog, 'tv');
      assert.equal((await broker.publishRaw('{"key":"title:3"}', { catalog })).json.catalog, 'tv');
      assert.equal((await broker.read('title:1', { catalog })).status, 200);
    }
    assert.equal((await broker.call('GET', '/ch%61nges', { token })).status, 200);
    for (const catalog of ['t%2576', 't%2Fv', 't%00', '%ff', '%zz']) {
      for (const path of ['', '/changes', '/entries/title:1']) {
        const answer = await broker.call('GET', path, { token, catalog });
        assert.deepEqual([answer.status, answer.json.code], [400, 'bad-catalog'], `${catalog}${path}`);
      }
    }
  });

  await t.test('a byte order mark before a body is skipped', async () => {
    assert.equal((await broker.publishRaw(`${BOM}{"key":"title:4"}`)).status, 200);
    const headers = { 'content-type': 'application/x-ndjson' };
    const lines = await broker.publishRaw(`${BOM}{"key":"title:5"}\n{"key":"title:6"}\n`, { headers });
    assert.deepEqual(lines.text.trim().split('\n').map((line) => JSON.parse(line).changes), [1, 1]);
    for (const path of ['/entries', '/fill']) {
      const answer = await broker.call('POST', path, { token: TOKENS.admin, body: `${BOM}{"keys":["title:1"]}` });
      assert.equal(answer.status, 200, answer.text);
    }
    assert.equal((await broker.publishRaw(`{"key":"title:7"}${BOM}`)).json.code, 'bad-json');
  });

  await t.test('a whole number is one however it is spelled', async () => {
    const head = (await broker.status()).version;
    assert.ok(head >= version);
    assert.equal((await broker.publishRaw(`{"key":"title:8","expect":{"version":${head}.0}}`)).json.version, head + 1);
    for (const wrong of [`${head}.5`, '9007199254740992', '-1.0']) {
      const answer = await broker.publishRaw(`{"key":"title:8","expect":{"version":${wrong}}}`);
      assert.equal(answer.json.code, 'bad-json', wrong);
    }
  });

  await t.test('dates of a token are seconds, with or without a fraction', async () => {
    const seconds = Date.now() / 1000;
    const status = (claims) => broker.call('GET', '', { token: makeToken(KEY, claims) });
    assert.equal((await status({ exp: seconds + 60.25, iat: seconds - 0.5, nbf: seconds - 0.125 })).status, 200);
    assert.equal((await status({ exp: seconds - 0.5 })).status, 401);
    const inMilliseconds = await status({ exp: Date.now() + 60_000 });
    assert.deepEqual([inMilliseconds.status, inMilliseconds.json.code], [401, 'unauthorized']);
    assert.match(inMilliseconds.json.detail, /milliseconds/);
  });
});

/** Sends a request that `fetch` would not. */
function raw(broker, method, path, { token, headers = {}, body, agent } = {}) {
  return new Promise((resolve, reject) => {
    const all = { ...(token && { authorization: `Bearer ${token}` }), ...headers };
    const request = httpRequest(broker.url + path, { method, headers: all, agent }, async (answer) => {
      const text = (await answer.toArray()).join('');
      resolve({ status: answer.statusCode, headers: answer.headers, text });
    });
    request.on('error', reject);
    request.end(body);
  });
}

// Addresses: the calls there are, the scope of each, and the front door for web pages and sockets.

import { holds, matches, problem, same, status } from './expect.mjs';
import { EPOCH, genesis, positionText } from './rows.mjs';

const section = 'Addresses';

/** Every call with the scope it needs. A refused body is enough to see whether the token may call. */
const CALLS = [
  { method: 'POST', path: '/changes', scope: 'publish', body: '{"changes":[]}' },
  { method: 'GET', path: '/publish', scope: 'publish' },
  { method: 'GET', path: '/changes', scope: 'follow' },
  { method: 'GET', path: '', scope: 'follow' },
  { method: 'GET', path: '/follow', scope: 'follow' },
  { method: 'POST', path: '/epochs', scope: 'admin' },
  { method: 'GET', path: '/followers', scope: 'admin' },
];

const ALLOWED = [
  ['DELETE', '/changes', ['GET', 'POST']],
  ['POST', '', ['GET']],
  ['POST', '/publish', ['GET']],
  ['PUT', '/follow', ['GET']],
  ['GET', '/epochs', ['POST']],
  ['POST', '/followers', ['GET']],
];

async function refusedFor(log, token, scopes, wanted, code) {
  for (const { method, path, scope, body } of CALLS) {
    if (scopes.includes(scope)) problem(await log.call(method, path, { token, body }), wanted, code);
  }
}

async function names(log) {
  const { deployment, tokens } = log;
  for (const name of ['TV', 'a_b', 'a.b', 'a%20b', 'x'.repeat(65)]) {
    for (const { method, path, body } of CALLS) {
      const url = `${deployment.url}/v1/catalogs/${name}${path}`;
      problem(await log.call(method, path, { token: tokens.admin ?? tokens.follow, body, url }), 400, 'bad-catalog');
    }
  }
  const longest = log.catalog.padEnd(64, '-9');
  const url = `${deployment.url}/v1/catalogs/${longest}`;
  same('a catalog of 64 characters', status(await log.call('GET', '', { token: tokens.follow, url }), 200).json.catalog, longest);
}

async function plainRequests(log) {
  problem(await log.call('GET', '/follow', { token: log.tokens.follow }), 426, 'upgrade-required');
  problem(await log.call('GET', '/publish', { token: log.tokens.publish }), 426, 'upgrade-required');
}

async function statusOfNew(log) {
  const seen = await log.status();
  same('the catalog of a status', seen.catalog, log.catalog);
  matches('the epoch of a status', seen.epoch, EPOCH);
  same('the version of a new log', seen.version, 0);
  same('its position', seen.position, positionText({ epoch: seen.epoch, version: 0, hash: genesis(seen.epoch) }));
  const receipt = await log.publish({ key: 'a:1' });
  const after = await log.status();
  same('the status after a publish', [after.epoch, after.version, after.position], [receipt.epoch, 1, receipt.position]);
}

async function unknownNames(log) {
  await log.keys(['a:1', 'a:2']);
  const page = await log.pageOf('?colour=red&since=&epoch=&hash=&limit=1');
  same('a page with unknown names and empty values', [page.from, page.to], [0, 1]);
  same('a publish with one', status(await log.post('{"key":"a:3"}', { query: '?colour=red' }), 200).json.version, 3);
  const follower = await log.follow({ query: '&colour=red&epoch=&hash=' });
  same('a follower with one', follower.position.version, 3);
}

async function tokenHeader(log) {
  for (const [path, token] of [['/follow', log.tokens.follow], ['/publish', log.tokens.publish]]) {
    status(await log.upgrade(path, { token }), 101);
    problem(await log.upgrade(path, {}), 401, 'unauthorized');
    problem(await log.upgrade(path, { token: 'not-a-token-of-this-deployment' }), 401, 'unauthorized');
  }
}

async function tokenSubprotocol(log) {
  const offer = (token) => ({ 'sec-websocket-protocol': `newsreel.v1, newsreel.bearer.${Buffer.from(token).toString('base64url')}` });
  for (const [path, token] of [['/follow', log.tokens.follow], ['/publish', log.tokens.publish]]) {
    const answer = status(await log.upgrade(path, { headers: offer(token) }), 101);
    same('the subprotocol echoed', answer.headers.get('sec-websocket-protocol'), 'newsreel.v1');
    problem(await log.upgrade(path, { headers: offer('not-a-token') }), 401, 'unauthorized');
  }
}

async function admin(log) {
  const token = log.tokens.admin;
  status(await log.post('{"key":"a:1"}', { token }), 200);
  for (const path of ['', '/changes', '/followers']) status(await log.call('GET', path, { token }), 200);
  for (const path of ['/follow', '/publish']) status(await log.upgrade(path, { token }), 101);
}

async function spoken(log) {
  for (const [path, token] of [['/follow', log.tokens.follow], ['/publish', log.tokens.publish]]) {
    const offering = (offered) => log.upgrade(path, { token, headers: { 'sec-websocket-protocol': offered } });
    for (const offered of ['newsreel.v2', 'chat, newsreel.v0', `newsreel.bearer.${Buffer.from(token).toString('base64url')}`]) {
      const { subprotocol } = problem(await offering(offered), 400, 'unsupported-protocol', ['subprotocol']);
      same('the subprotocol that is spoken', subprotocol, 'newsreel.v1');
    }
    const both = status(await offering('newsreel.v2, newsreel.v1'), 101);
    same('the one echoed', both.headers.get('sec-websocket-protocol'), 'newsreel.v1');
  }
}

async function noneOffered(log) {
  const answer = status(await log.upgrade('/follow', { token: log.tokens.follow }), 101);
  same('the subprotocol echoed', answer.headers.get('sec-websocket-protocol'), null);
}

function readable(answer, origin) {
  same(`who may read ${answer.asked}`, answer.headers.get('access-control-allow-origin'), origin);
  matches(`Vary of ${answer.asked}`, answer.headers.get('vary'), /\bOrigin\b/i);
  for (const name of ['ETag', 'Idempotent-Replayed', 'Retry-After']) {
    const exposed = answer.headers.get('access-control-expose-headers') ?? '';
    holds(`what a page may read of ${answer.asked}`, exposed.includes(name), name, exposed);
  }
}

async function strangers(log) {
  const origin = 'https://conformance.invalid';
  for (const { method, path, body } of CALLS) {
    const answer = await log.call(method, path, { token: 'not-a-token', body, headers: { origin } });
    // Where the list is `*` every origin may call, and then the token is looked at.
    if (answer.headers.get('access-control-allow-origin') === origin) problem(answer, 401, 'unauthorized');
    else problem(answer, 403, 'origin-not-allowed');
  }
}

async function ownPages(log) {
  const { origin } = new URL(log.deployment.url);
  const receipt = status(await log.post('{"key":"a:1"}', { headers: { origin } }), 200);
  readable(receipt, origin);
  readable(status(await log.page('', { origin }), 200), origin);
  readable(problem401(await log.call('GET', '', { headers: { origin } })), origin);
  const asked = { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' };
  const preflight = status(await log.call('OPTIONS', '/changes', { headers: asked }), 204);
  same('who may send', preflight.headers.get('access-control-allow-origin'), origin);
  matches('the methods', preflight.headers.get('access-control-allow-methods'), /POST/);
}

function problem401(answer) {
  problem(answer, 401, 'unauthorized');
  return answer;
}

export default [
  { id: 'A1', section, what: 'healthz and readyz answer 200 without a token', run: async (log) => {
    for (const path of ['/healthz', '/readyz']) status(await log.call('GET', path, { url: log.deployment.url + path }), 200);
  } },
  { id: 'A2', section, what: 'an address that does not exist is unknown-path', run: async (log) => {
    problem(await log.call('GET', '/nothing', { token: log.tokens.follow }), 404, 'unknown-path');
  } },
  ...ALLOWED.map(([method, path, allowed], n) => ({
    id: `A3.${n + 1}`, section, what: `${method} …${path} is 405 and says what is allowed`, run: async (log) => {
      const answer = await log.call(method, path, { token: log.tokens.admin ?? log.tokens.follow });
      const { allow } = problem(answer, 405, 'method-not-allowed', ['allow']);
      same('member and header', answer.headers.get('allow'), allow);
      same('what is allowed', allow.split(/, */).sort(), allowed);
    },
  })),
  { id: 'A4', section, what: 'a catalog is 1 to 64 of a-z, 0-9, -', run: names },
  { id: 'A5', section, what: 'unknown query names are ignored, an empty value is absent', run: unknownNames },
  ...CALLS.map(({ method, path, body }, n) => ({
    id: `A6.${n + 1}`, section, what: `${method} …${path} without a token or with an unknown one is 401`, run: async (log) => {
      problem(await log.call(method, path, { body }), 401, 'unauthorized');
      problem(await log.call(method, path, { body, token: 'not-a-token' }), 401, 'unauthorized');
    },
  })),
  { id: 'A7', section, what: 'a publish token may not follow or administer', needs: ['publish only'],
    run: (log) => refusedFor(log, log.tokens.publish, ['follow', 'admin'], 403, 'forbidden') },
  { id: 'A8', section, what: 'a follow token may not publish or administer', needs: ['follow only'],
    run: (log) => refusedFor(log, log.tokens.follow, ['publish', 'admin'], 403, 'forbidden') },
  { id: 'A9', section, what: 'an admin token may do everything', needs: ['admin'], run: admin },
  { id: 'A10', section, what: 'a token on a socket as Authorization', run: tokenHeader },
  { id: 'A11', section, what: 'a token on a socket as a subprotocol, of which only newsreel.v1 is echoed', run: tokenSubprotocol },
  { id: 'A12', section, what: 'follow and publish want WebSocket: 426 to a plain request', run: plainRequests },
  { id: 'A13', section, what: 'the status of a log, new and after a publish', run: statusOfNew },
  { id: 'O1', section: 'The front door', what: 'a page of another origin is refused before its token is looked at', run: strangers },
  { id: 'O2', section: 'The front door', what: 'an own page may call, preflight too, and read the answers', run: ownPages },
  { id: 'O3', section: 'The front door', what: 'without Origin nothing is said of origins', run: async (log) => {
    same('who may read', (await log.page()).headers.get('access-control-allow-origin'), null);
  } },
  { id: 'O4', section: 'Versions of the protocol', what: 'a socket that offers subprotocols without newsreel.v1 is refused',
    run: spoken },
  { id: 'O5', section: 'Versions of the protocol', what: 'a socket that offers none speaks newsreel.v1, and none is echoed',
    run: noneOffered },
];

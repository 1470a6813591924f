// The headers of every answer: types, caching, what goes with a problem; and HEAD.

import { holds, matches, same, status } from './expect.mjs';

const section = 'Addresses';

async function stored(log) {
  const { tokens: { follow: token } } = log;
  const answers = [
    await log.post('{"key":"a:1"}'), await log.call('GET', '', { token }), await log.call('GET', ''), await log.post('{'),
    await log.call('GET', '/nothing', { token }), await log.page('?limit=0'), await log.post('{"expect":{"version":9},"key":"a:1"}'),
  ];
  for (const { asked, status: code, headers } of answers) {
    same(`Cache-Control of ${asked} (${code})`, headers.get('cache-control'), 'no-store');
  }
}

async function vary(log) {
  for (const query of ['', '?since=0', '?limit=1']) {
    const seen = (await log.page(query)).headers.get('vary') ?? '';
    same('Vary', seen.split(/, */).map((name) => name.toLowerCase()).sort(), ['accept', 'origin']);
  }
  const events = await log.events();
  matches('Cache-Control of events', events.response.headers.get('cache-control'), /\bno-store\b/);
}

async function heads(log) {
  await log.publish({ key: 'a:1' });
  const { tokens: { follow: token }, deployment: { url } } = log;
  for (const [path, options] of [['', { token }], ['/changes', { token }], ['/healthz', { url: `${url}/healthz` }]]) {
    const got = status(await log.call('GET', path, options), 200);
    const head = status(await log.call('HEAD', path, options), 200);
    same(`the body of HEAD ${path}`, head.text, '');
    for (const name of ['content-type', 'cache-control', 'etag']) same(name, head.headers.get(name), got.headers.get(name));
  }
}

async function unauthorized(log) {
  matches('WWW-Authenticate', (await log.call('GET', '')).headers.get('www-authenticate'), /^Bearer\b/);
}

async function shapes(log) {
  const { deployment: { url } } = log;
  same('healthz', (await log.call('GET', '', { url: `${url}/healthz` })).json, { status: 'ok' });
  same('readyz', (await log.call('GET', '', { url: `${url}/readyz` })).json, { status: 'ready' });
  await log.publish({ key: 'a:1' });
  const { oldest, followers, bytes } = await log.status();
  same('oldest and followers', [oldest, followers], [1, 0]);
  holds('bytes', Number.isSafeInteger(bytes) && bytes > 0, 'a number above 0', bytes);
}

async function strictly(log) {
  for (const body of ['{"key":"a:1","key":"a:2"}', '{"changes":[],"changes":[{"all":true}]}']) {
    const answer = await log.post(body);
    same(`a field twice: ${body}`, [answer.status, answer.json.code], [400, 'bad-json']);
  }
  const nulls = '{"key":"a:1","tag":null,"soft":null,"op":null,"tags":null,"expect":null}';
  same('a field that is null is absent', (await log.post(nulls)).status, 200);
  same('the row', (await log.pageOf('?since=0')).versions[0].changes, [{ key: 'a:1' }]);
}

async function names(log) {
  const { tokens: { follow: token } } = log;
  for (const name of ['x'.repeat(129), 'a%01']) {
    same('a follower\'s name', (await log.upgrade(`/follow?name=${name}`, { token })).json?.code, 'bad-request');
  }
  for (const name of ['x'.repeat(128), '', 'é']) {
    status(await log.upgrade(`/follow?name=${encodeURIComponent(name)}`, { token }), 101);
  }
}

export default [
  { id: 'B1', section, what: 'what is no page is no-store: receipts, status, problems', run: stored },
  { id: 'B2', section, what: 'Vary of pages names Accept and Origin; events are no-store', run: vary },
  { id: 'B3', section, what: 'HEAD is allowed where GET is, with the same headers', run: heads },
  { id: 'B4', section: 'Problems', what: 'a 401 says Bearer', run: unauthorized },
  { id: 'B5', section: 'Grammar', what: 'the shapes of healthz, readyz and the status', run: shapes },
  { id: 'B6', section: 'Grammar', what: 'in a publish a field twice is bad-json, null is absent', run: strictly },
  { id: 'B7', section, what: 'a follower\'s name is at most 128 bytes without control characters', run: names },
];

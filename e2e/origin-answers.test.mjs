// The meaning of an origin's answer: redirects, content codings, caching headers, tags, entity tags; and what a reader
// is sent of them.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, get } from 'node:http';
import { test } from 'node:test';
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';

import { freshness, servedBy, startEdge, startEdgeOnWorkerd, tiers, until } from './edge.mjs';
import { TOKENS } from './system.mjs';

const HOUR = 3_600_000;
const POLICY = {
  title: { lag_bound_ms: HOUR },
  trusting: { lag_bound_ms: HOUR, origin_cache_control: 'ignore' },
  paged: { lag_bound_ms: HOUR, origin_vary: ['Origin', 'accept'] },
};
const VALUE = 'a value of some length, which is a value of some length';

/** An edge that has heard of something. */
async function started(t, { vars, start = startEdge } = {}) {
  const edge = await start(t, { vars: { POLICY, ...vars } });
  const at = await edge.broker.publish({ key: 'title:first' });
  for (const isolate of [1, 2]) await edge.read('title:first', { after: at, isolate });
  return edge;
}

const refused = (answer, why) => {
  assert.deepEqual([answer.status, answer.json?.code], [502, 'origin-failed'], answer.text);
  assert.match(answer.json.detail, why);
};

test('an origin that answers with', async (t) => {
  const edge = await started(t, { vars: { POLICY: { ...POLICY, many: { lag_bound_ms: HOUR, quorum: true } } } });
  const { origin } = edge;
  const read = (key, options) => edge.read(key, options);
  const etag = async (key) => (await read(key)).headers.get('etag');
  const storedIn = (key) => edge.storedIn(key);
  /** The reason that `?explain=1` gives. */
  const whyNotStored = async (key) => (await edge.explain(key)).steps.find(({ step }) => step === 'origin').not_stored?.code;
  const counted = async (kind, code) => {
    const { text } = await edge.broker.call('GET', '/metrics', { token: TOKENS.admin });
    const series = new RegExp(`^newsreel_not_stored_total\\{.*class="${kind}",reason="${code}"\\} (\\d+)$`, 'm');
    return Number(series.exec(text)?.[1] ?? 0);
  };

  for (const [said, sent, code] of [
    ['private', /^private, max-age=0/, 'private'], ['no-store', /^no-store$/, 'no-store'], ['max-age=600, private="x-user"', /^private/, 'private'],
    ['no-cache', /^no-cache$/, 'no-cache'], ['max-age=0', /^no-cache$/, 'no-cache'], ['s-maxage=0, max-age=600', /^no-cache$/, 'no-cache'],
  ]) {
    await t.test(`Cache-Control: ${said}: each read asks, no tier keeps it, and it is not public`, async () => {
      const key = `title:control-${said.replaceAll(/\W/g, '-')}`;
      origin.set(key, { n: 1 }, { headers: { 'cache-control': said } });
      for (const [isolate, count] of [[1, 1], [1, 2], [2, 3]]) {
        const answer = await read(key, { isolate });
        assert.deepEqual([answer.status, answer.json, servedBy(answer), freshness(answer).word], [200, { n: 1 }, 'origin', 'fresh']);
        assert.match(answer.headers.get('cache-control'), sent);
        assert.equal(origin.count(key), count);
        assert.doesNotMatch(answer.headers.get('cache-status'), /stored/);
      }
      assert.equal(await whyNotStored(key), code);
      assert.deepEqual(await storedIn(key), { inKv: false, inR2: false });
    });
  }

  await t.test('a "not found" that is private: it is not kept either', async () => {
    origin.set('title:none', '', { status: 404, headers: { 'cache-control': 'private' } });
    for (const count of [1, 2]) {
      const answer = await read('title:none');
      assert.deepEqual([answer.status, answer.json.code], [404, 'not-found']);
      assert.match(answer.headers.get('cache-control'), /^private/);
      assert.equal(origin.count('title:none'), count);
    }
  });

  await t.test('a private value for a class with a quorum: no copy is written', async () => {
    origin.set('many:1', 'v', { headers: { 'cache-control': 'private' } });
    assert.equal(servedBy(await read('many:1')), 'origin');
    assert.deepEqual(await storedIn('many:1'), { inKv: false, inR2: false });
  });

  await t.test('a private value of 30 MiB: it goes past R2', async () => {
    origin.set('title:large', Buffer.alloc(30 << 20, 'x'), { headers: { 'cache-control': 'private' } });
    for (const count of [1, 2]) {
      assert.equal((await read('title:large')).text.length, 30 << 20);
      assert.equal(origin.count('title:large'), count);
    }
    assert.deepEqual(await storedIn('title:large'), { inKv: false, inR2: false });
  });

  await t.test('a private value to many at once: each has its own, and they do not wait for each other', async () => {
    const key = 'title:own';
    origin.set(key, 'v', { headers: { 'cache-control': 'private' } });
    await read(key);
    origin.hold(key);
    const reads = Array.from({ length: 4 }, () => read(key));
    await origin.wasAsked(key, 5);
    origin.releaseAll(key);
    for (const answer of await Promise.all(reads)) {
      assert.deepEqual([answer.text, /collapsed/.test(answer.headers.get('cache-status'))], ['v', false]);
    }
    assert.equal(origin.count(key), 5);
  });

  await t.test('private, to a read that waits for the fetch of another: it asks for itself', async () => {
    const key = 'title:waited';
    origin.set(key, 'v', { headers: { 'cache-control': 'no-store' } });
    origin.hold(key);
    await edge.faults();
    const reads = Array.from({ length: 3 }, () => read(key));
    const release = await origin.next(key);
    await edge.untilTold(({ calls }) => calls['r2.get'] >= 3);
    release();
    origin.releaseAll(key);
    for (const answer of await Promise.all(reads)) assert.equal(answer.text, 'v');
    assert.equal(origin.count(key), 3);
  });

  await t.test('private, to `POST fill`: it is not storable', async () => {
    origin.set('title:filled', 'v', { headers: { 'cache-control': 'private' } });
    const { json } = await edge.fill(['title:filled']);
    assert.deepEqual(json.failed.map(({ key, code }) => [key, code]), [['title:filled', 'not-storable']]);
    assert.deepEqual([json.filled, json.kept], [[], []]);
  });

  await t.test('a shorter lifetime than the class has: it is kept that long', async () => {
    for (const [key, headers, life, stale] of [
      ['title:brief', { 'cache-control': 'max-age=60' }, 60_000, 7 * 24 * HOUR],
      ['title:shared', { 'cache-control': 'max-age=60, s-maxage=30, stale-while-revalidate=10' }, 30_000, 10_000],
      ['title:old', { 'cache-control': 'max-age=60, must-revalidate', age: '20' }, 40_000, 0],
      ['title:dated', { date: 'Sun, 06 Nov 1994 08:49:37 GMT', expires: 'Sun, 06 Nov 1994 08:50:37 GMT' }, 60_000, 7 * 24 * HOUR],
      ['title:long', { 'cache-control': 'max-age=31536000' }, 7 * 24 * HOUR, 7 * 24 * HOUR],
    ]) {
      origin.set(key, 'v', { headers });
      await read(key);
      const { envelope } = await edge.inKv(key);
      assert.deepEqual(
        [envelope.expires_at - envelope.fetched_at, envelope.stale_until - envelope.expires_at], [life, stale], key);
    }
  });

  await t.test('caching headers that the class ignores: it is stored and public, unless it is private or for no cache', async () => {
    origin.set('trusting:1', 'v', { headers: { 'cache-control': 'no-cache, max-age=0, must-revalidate', expires: '0' } });
    const answer = await read('trusting:1');
    assert.match(answer.headers.get('cache-control'), /^public, max-age=/);
    assert.equal((await edge.inKv('trusting:1')).envelope.expires_at - (await edge.inR2('trusting:1')).envelope.fetched_at, 7 * 24 * HOUR);
    for (const code of ['private', 'no-store']) {
      const key = `trusting:${code}`;
      origin.set(key, 'v', { headers: { 'cache-control': `max-age=600, ${code}` } });
      assert.match((await read(key)).headers.get('cache-control'), new RegExp(`^${code}`));
      assert.equal(await whyNotStored(key), code);
      assert.deepEqual(await storedIn(key), { inKv: false, inR2: false });
      assert.equal(await counted('trusting', code), 2);
    }
  });

  await t.test('Vary: what is not allowed is not stored', async () => {
    for (const [key, vary, stored] of [
      ['title:encoded', 'Accept-Encoding', true], ['title:cookie', 'accept-encoding, Cookie', false], ['title:every', '*', false],
      ['paged:1', 'Origin, Accept-Encoding, Accept', true], ['paged:2', 'Origin, Cookie', false], ['paged:3', '*', false],
    ]) {
      origin.set(key, 'v', { headers: { vary } });
      const answer = await read(key);
      assert.equal(answer.text, 'v');
      if (stored) await edge.inKv(key);
      else assert.deepEqual([answer.headers.get('cache-control'), await storedIn(key)], ['no-store', { inKv: false, inR2: false }], key);
      assert.equal((await read(key)) && origin.count(key), stored ? 1 : 2, key);
      if (!stored) assert.equal(await whyNotStored(key), 'vary', key);
    }
    assert.equal(await counted('paged', 'vary'), 6);
  });

  await t.test('what is no entity tag: the value has one of its own', async () => {
    for (const [n, tag] of ['no-quotes', '"half', "'single'"].entries()) {
      origin.set(`title:bad-${n}`, 'v', { etag: tag });
      const own = await etag(`title:bad-${n}`);
      assert.match(own, /^"[0-9a-f]+"$/);
      assert.equal((await read(`title:bad-${n}`, { headers: { 'if-none-match': own } })).status, 304);
    }
  });

  await t.test('an entity tag: the envelope has another, which changes with it', async () => {
    origin.set('title:wrapped', { n: 1 }, { etag: '"value"' });
    const wrapped = (headers, method) => read('title:wrapped', { query: '?envelope=1', headers, method });
    const first = await wrapped();
    const own = first.headers.get('etag');
    assert.ok(own && own !== '"value"' && first.json.etag === '"value"', own);
    assert.equal((await wrapped({ 'if-none-match': '"value"' })).status, 200);
    assert.equal((await wrapped({ 'if-none-match': own })).status, 304);
    assert.equal((await read('title:wrapped', { headers: { 'if-none-match': own } })).status, 200);
    // The same value, fetched anew at another version.
    const at = await edge.broker.publish({ key: 'title:wrapped' });
    const anew = await read('title:wrapped', { query: '?envelope=1', headers: { 'if-none-match': own }, after: at });
    assert.deepEqual([anew.status, anew.json.freshness.version], [200, at.version]);
  });

  await t.test('a value that is read again later: max-age is its age and what is left', async () => {
    origin.set('title:aged', 'v');
    const aged = await until(async () => {
      const answer = await read('title:aged');
      return Number(answer.headers.get('age')) >= 1 && answer;
    });
    const [, most] = /max-age=(\d+)/.exec(aged.headers.get('cache-control'));
    const left = Number(most) - Number(aged.headers.get('age'));
    const { lag } = freshness(aged);
    assert.ok(Math.abs(left - Math.floor((HOUR - lag) / 1_000)) <= 1, `${most} with ${aged.headers.get('age')}, lag ${lag}`);
    assert.match(tiers(aged).memory, /hit/);
  });
});

test('on workerd alone, an origin that answers with', async (t) => {
  const edge = await started(t, { start: startEdgeOnWorkerd });
  const { origin } = edge;
  const read = (key, options) => edge.read(key, options);
  const etag = async (key) => (await read(key)).headers.get('etag');

  for (const status of [301, 302, 303, 307, 308]) {
    await t.test(`${status}: the redirect is not followed, and its end is named`, async () => {
      const key = `title:moved-${status}`;
      origin.set('title:login', '<form>', { type: 'text/html' });
      origin.set(key, 'moved', { status, headers: { location: `${origin.url}/tv/title%3Alogin` } });
      const answer = await read(key);
      refused(answer, new RegExp(`${status}.*title%3Alogin`));
      assert.equal(origin.count('title:login'), 0);
      assert.deepEqual(await edge.storedIn(key), { inKv: false, inR2: false });
    });
  }

  for (const [coding, bytes] of [
    ['gzip', gzipSync(VALUE)], ['br', brotliCompressSync(VALUE)], ['deflate', deflateSync(VALUE)], ['x-gzip', gzipSync(VALUE)],
    ['GZIP', gzipSync(VALUE)], ['identity', VALUE], ['deflate, gzip', gzipSync(deflateSync(VALUE))], ['gzip, identity', gzipSync(VALUE)],
  ]) {
    await t.test(`the content coding ${coding}: it is undone`, async () => {
      const key = `title:coded-${coding.replaceAll(/\W/g, '-')}`;
      origin.set(key, bytes, { type: 'text/plain', headers: { 'content-encoding': coding } });
      const first = await read(key);
      assert.deepEqual([first.status, first.text, first.headers.get('content-encoding')], [200, VALUE, null]);
      assert.equal(String((await edge.inKv(key)).value), VALUE);
      assert.equal((await read(key, { isolate: 2 })).text, VALUE);
    });
  }

  for (const [coding, bytes] of [
    ['zstd', VALUE], ['compress', VALUE], ['br, gzip', gzipSync(brotliCompressSync(VALUE))], ['gzip', VALUE], ['gzip', gzipSync(VALUE).subarray(0, -9)],
    ['deflate', deflateRawSync(VALUE)], ['unknown', VALUE],
  ]) {
    await t.test(`the content coding ${coding} that cannot be undone: it is named`, async () => {
      const key = `title:uncoded-${coding.replaceAll(/\W/g, '-')}`;
      origin.set(key, bytes, { headers: { 'content-encoding': coding } });
      refused(await read(key), new RegExp(/br/.test(coding) ? 'br' : coding, 'i'));
      assert.deepEqual(await edge.storedIn(key), { inKv: false, inR2: false });
    });
  }

  await t.test('a thousand tags: they are kept, and a reader is sent none', async () => {
    const tags = Array.from({ length: 1_000 }, (_, n) => `tag:${String(n).padStart(14, '0')}`);
    origin.set('title:tagged', 'v', { tags: tags.slice(0, 500), headers: { 'surrogate-key': tags.slice(499).join(' ') } });
    const answer = await read('title:tagged');
    assert.deepEqual([answer.status, answer.headers.get('cache-tag')], [200, null]);
    assert.deepEqual((await edge.inKv('title:tagged')).envelope.tags, tags);
  });

  await t.test('an entity tag with a comma, spaces, weak: it is compared whole', async () => {
    // Node sends and reads a header as Latin-1, so this is `"é"` in the UTF-8 in which workerd reads headers.
    const accented = Buffer.from('"é"').toString('latin1');
    for (const [n, tag] of ['"rev,1"', 'W/"rev, 2"', '"a \\"', '""', accented].entries()) {
      const key = `title:tag-${n}`;
      origin.set(key, 'v', { etag: tag });
      const ask = async (wanted, more) => (await read(key, { headers: { 'if-none-match': wanted, ...more } })).status;
      assert.equal(await etag(key), tag);
      for (const same of [tag, `"x,y", ${tag}`, `${tag},"x"`, '*']) assert.equal(await ask(same), 304, `${same} is ${tag}`);
      for (const other of ['"rev"', '"1"', '"x", "rev", "1"', tag.replace(/"$/, '!"')]) assert.equal(await ask(other), 200, `${other} is not ${tag}`);
      const part = await read(key, { headers: { range: 'bytes=0-0', 'if-range': tag } });
      assert.equal(part.status, tag.startsWith('W/') ? 200 : 206, tag);
    }
  });

  await t.test('an entity tag in Latin-1, of which workerd hands on the ASCII alone: the value has one of its own', async () => {
    const own = async (key) => {
      origin.set(key, `the value of ${key}`, { etag: '"é"' });
      const tag = await etag(key);
      assert.match(tag, /^"[0-9a-f]{16}"$/);
      assert.equal((await read(key, { headers: { 'if-none-match': tag } })).status, 304);
      return tag;
    };
    assert.notEqual(await own('title:latin-1'), await own('title:latin-2'));
  });
});

test('a deployment that', async (t) => {
  const page = 'https://shop.example';
  const vars = { SEND_CACHE_TAG: 'true', TAGS_FOLD_CASE: 'true', ALLOWED_ORIGINS: page };
  const edge = await started(t, { vars });
  const { broker, origin } = edge;
  const read = (key, options) => edge.read(key, options);

  await t.test('folds tags: a tag in other letters is the same, at publish and at fill', async () => {
    origin.set('title:folded', { n: 1 }, { tags: ['Platform:Netflix', 'platform:netflix', 'b'] });
    const first = await read('title:folded');
    assert.equal(first.headers.get('cache-tag'), 'platform:netflix,b');
    origin.set('title:folded', { n: 2 }, { tags: ['PLATFORM:netflix'] });
    const at = await broker.publish({ changes: [{ tag: 'Platform:NETFLIX' }, { key: 'title:other', tags: ['B', 'b', 'C'] }] });
    assert.deepEqual((await read('title:folded', { after: at })).json, { n: 2 });
    const { versions } = (await broker.changes(`?since=${at.version - 1}&epoch=${at.epoch}`)).json;
    assert.deepEqual(versions[0].changes, [{ tag: 'platform:netflix' }, { key: 'title:other', tags: ['b', 'c'] }]);
    const twice = await broker.publishRaw(JSON.stringify({ changes: [{ tag: 'A' }, { tag: 'a' }] }));
    assert.deepEqual([twice.status, twice.json.code], [400, 'duplicate-target']);
  });

  await t.test('allows a page: it may read entries, and what they say', async () => {
    origin.set('title:page', 'v', { etag: '"x"' });
    for (const [key, headers, status] of [['title:page', {}, 200], ['title:page', { 'if-none-match': '"x"' }, 304], ['title:missing', {}, 404]]) {
      const answer = await read(key, { headers: { origin: page, ...headers } });
      assert.equal(answer.status, status);
      assert.equal(answer.headers.get('access-control-allow-origin'), page);
      assert.match(answer.headers.get('vary'), /Newsreel-Min-Version.*\bOrigin\b/i);
      for (const name of ['Newsreel-Version', 'Newsreel-Entry-Version', 'Newsreel-Freshness', 'Cache-Status', 'Age', 'ETag']) {
        assert.ok(answer.headers.get('access-control-expose-headers').split(/, */).includes(name), name);
      }
    }
    const plain = await read('title:page');
    assert.equal(plain.headers.get('access-control-allow-origin'), null);
    assert.match(plain.headers.get('vary'), /\bOrigin\b/, 'a cache in front does not give this answer to a page');
    const asked = { origin: page, 'access-control-request-method': 'GET', 'access-control-request-headers': 'cache-control,newsreel-min-version' };
    for (const path of ['/entries/title:page', '/entries']) {
      const preflight = await broker.call('OPTIONS', path, { headers: asked });
      assert.deepEqual([preflight.status, preflight.headers.get('access-control-allow-origin')], [204, page]);
      assert.match(preflight.headers.get('access-control-allow-headers'), /Cache-Control.*Newsreel-Min-Version/);
    }
  });

  await t.test('does not allow a page: its browser is not told otherwise', async () => {
    const headers = { origin: 'https://other.example' };
    const answer = await read('title:page', { headers });
    assert.deepEqual([answer.status, answer.headers.get('access-control-allow-origin')], [200, null]);
    const preflight = await broker.call('OPTIONS', '/entries/title:page', { headers: { ...headers, 'access-control-request-method': 'GET' } });
    assert.deepEqual([preflight.status, preflight.json?.code], [403, 'origin-not-allowed']);
  });
});

test('on workerd alone, a deployment that sends Cache-Tag cuts it at 16 KiB, where a tag ends', async (t) => {
  const { broker, origin } = await started(t, { start: startEdgeOnWorkerd, vars: { SEND_CACHE_TAG: 'true' } });
  const tags = Array.from({ length: 1_500 }, (_, n) => `tag:${n}`);
  origin.set('title:many', 'v', { tags: tags.slice(0, 700), headers: { 'surrogate-key': tags.slice(700).join(' ') } });
  /** The Cache-Tag of a key. Node's fetch has room for 16 KiB of headers in all. */
  const cacheTag = async (key) => {
    const [answer] = await once(get(broker.at(`/entries/${key}`), { maxHeaderSize: 64 << 10 }), 'response');
    answer.resume();
    return answer.headers['cache-tag'];
  };
  const sent = await cacheTag('title:many');
  assert.ok(sent.length <= 16 << 10, `${sent.length}`);
  assert.deepEqual(sent.split(','), tags.slice(0, sent.split(',').length));
  const long = Array.from({ length: 100 }, (_, n) => `tag:${String(n).padStart(200, '0')}`);
  origin.set('title:long', 'v', { tags: long.slice(0, 50), headers: { 'surrogate-key': long.slice(50).join(' ') } });
  const cut = await cacheTag('title:long');
  assert.ok(cut.length <= 16 << 10 && cut.length > (16 << 10) - 206 && cut.split(',').every((tag) => long.includes(tag)), `${cut.length}`);
});

test('on workerd alone, an origin that redirects the list of hot keys is not followed', async (t) => {
  const asked = [];
  const server = createServer((request, answer) => {
    asked.push(request.url);
    answer.writeHead(302, { location: '/elsewhere' }).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const url = `http://127.0.0.1:${server.address().port}`;
  const { broker } = await startEdgeOnWorkerd(t, { vars: { ORIGIN_URL: url, FILL_CATALOGS: 'tv', FILL_TOP: '10' } });
  for (const times of [1, 2]) {
    assert.equal((await fetch(`${broker.url}/cron`, { method: 'POST' })).status, 200);
    assert.deepEqual(asked, Array(times).fill('/tv?hot=10'));
  }
});

test('on workerd alone, an edge without a name of its own and without a location serves', async (t) => {
  const edge = await startEdgeOnWorkerd(t, { vars: { EDGE: undefined } });
  edge.origin.set('title:1', 'a');
  const first = await edge.read('title:1');
  assert.equal(first.status, 200, first.text);
  const hit = await edge.read('title:1');
  assert.deepEqual([hit.status, hit.text], [200, first.text]);
});

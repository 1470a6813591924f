// `withNewsreel` of the built npm package: whole pages of a site's handler, as entries.

import assert from 'node:assert/strict';
import test from 'node:test';

import { startSite } from './binding.mjs';
import { until } from './edge.mjs';

const OPTIONS = { timeout: 60_000 };

test('the pages of a handler are read through Newsreel', OPTIONS, async (t) => {
  const site = await startSite(t, { worker: 'pages.worker.mjs' });
  const { origin, worker } = site;
  const key = (path) => `page:${path}`;
  const set = (path, body, options) => origin.set(key(path), body, { type: 'text/html', ...options });
  const get = async (path, init) => {
    const response = await worker.fetch(`http://site${path}`, init);
    return { status: response.status, headers: response.headers, text: await response.text() };
  };
  const newsreel = (call, ...args) => site.call(call, ...args);
  /** Reads a page, once the edge has heard a receipt. */
  const after = (path, { epoch, version }, init = {}) =>
    get(path, { ...init, headers: { ...init.headers, 'Newsreel-Min-Version': `${epoch}:${version}` } });
  site.call = async (call, ...args) => {
    const response = await worker.fetch('http://site/call', { method: 'POST', body: JSON.stringify({ call, args }) });
    return (await response.json()).result;
  };

  await t.test('a page is made once, and again after a purge of its tag', async () => {
    set('/one', '<h1>one</h1>', { tags: ['layout'], headers: { 'x-own': 'kept', 'content-language': 'en' } });
    const first = await get('/one');
    assert.deepEqual([first.status, first.text], [200, '<h1>one</h1>']);
    const second = await get('/one');
    assert.deepEqual([second.text, second.headers.get('x-own'), second.headers.get('content-type')], ['<h1>one</h1>', 'kept', 'text/html']);
    assert.match(second.headers.get('cache-status'), /newsreel; hit; detail=memory/);
    assert.match(second.headers.get('newsreel-freshness'), /^fresh; age=/);
    assert.equal(second.headers.get('cache-tag'), null);
    assert.equal(origin.count(key('/one')), 1);
    set('/one', '<h1>two</h1>');
    const receipt = await newsreel('purgeTags', ['layout']);
    assert.equal((await after('/one', receipt)).text, '<h1>two</h1>');
  });

  await t.test('S2: a page that was made of old data is not kept when a purge comes meanwhile', async () => {
    set('/race', 'old', { tags: ['race'] });
    origin.hold(key('/race'));
    const read = get('/race');
    const answerOld = await origin.next(key('/race'));
    set('/race', 'new', { tags: ['race'] });
    const receipt = await newsreel('purgeTags', ['race']);
    await after('/one', receipt);
    answerOld();
    (await origin.next(key('/race')))();
    assert.equal((await read).text, 'new');
    assert.equal((await get('/race')).text, 'new');
    origin.releaseAll(key('/race'));
  });

  await t.test('HEAD, ranges and conditions are answered from what is kept', async () => {
    set('/range', '0123456789');
    const head = await get('/range', { method: 'HEAD' });
    assert.deepEqual([head.status, head.text, head.headers.get('content-length')], [200, '', '10']);
    const whole = await get('/range');
    const etag = whole.headers.get('etag');
    assert.match(etag, /^"/);
    for (const [headers, status, text, range] of [
      [{ Range: 'bytes=2-4' }, 206, '234', 'bytes 2-4/10'],
      [{ Range: 'bytes=-3' }, 206, '789', 'bytes 7-9/10'],
      [{ Range: 'bytes=8-' }, 206, '89', 'bytes 8-9/10'],
      [{ Range: 'bytes=10-' }, 416, '', 'bytes */10'],
      [{ Range: 'bytes=1-2,4-5' }, 200, '0123456789', null],
      [{ Range: 'bytes=2-4', 'If-Range': '"other"' }, 200, '0123456789', null],
      [{ Range: 'bytes=2-4', 'If-Range': etag }, 206, '234', 'bytes 2-4/10'],
      [{ 'If-None-Match': `"x", ${etag}` }, 304, '', null],
      [{ 'If-None-Match': '"x"' }, 200, '0123456789', null],
    ]) {
      const part = await get('/range', { headers });
      assert.deepEqual([part.status, part.text, part.headers.get('content-range')], [status, text, range], JSON.stringify(headers));
    }
    assert.equal(origin.count(key('/range')), 1);
  });

  await t.test('what is for one visitor, or an error, is not kept', async () => {
    for (const [path, options, status] of [
      ['/private', { headers: { 'cache-control': 'private, max-age=60' } }, 200],
      ['/no-store', { headers: { 'cache-control': 'no-store' } }, 200],
      ['/cookie', { headers: { 'set-cookie': 'a=1' } }, 200],
      ['/varies', { headers: { vary: 'Cookie' } }, 200],
      ['/teapot', { status: 418 }, 418],
      ['/failed', { status: 503 }, 503],
    ]) {
      set(path, 'mine', options);
      for (const times of [1, 2]) {
        const { status: got, text, headers } = await get(path);
        assert.deepEqual([got, text, origin.count(key(path))], [status, 'mine', times], path);
        assert.equal(headers.get('set-cookie'), options.headers?.['set-cookie'] ?? null);
      }
      assert.equal((await get(path, { method: 'HEAD' })).text, '');
    }
    const missing = await get('/missing');
    assert.deepEqual([missing.status, (await get('/missing')).status, origin.count(key('/missing'))], [404, 404, 2]);
  });

  await t.test('the site may say otherwise', async () => {
    set('/cookies/1', 'for all', { headers: { 'set-cookie': 'theme=dark' } });
    await get('/cookies/1');
    const kept = await get('/cookies/1');
    assert.deepEqual([kept.headers.get('set-cookie'), origin.count(key('/cookies/1'))], ['theme=dark', 1]);
    const receipt = await newsreel('purgeTags', ['path:/cookies/1']);
    await after('/cookies/1', receipt);
    assert.equal(origin.count(key('/cookies/1')), 2);
  });

  await t.test('a header that responses vary by has an entry for each value', async () => {
    set('/language/1', 'hello', { headers: { vary: 'Accept-Language' } });
    const ask = (language) => get('/language/1', { headers: { 'Accept-Language': language } });
    await ask('en');
    set('/language/1', 'hallo', { headers: { vary: 'Accept-Language' } });
    assert.deepEqual([(await ask('en')).text, (await ask('de')).text, (await ask('de')).text], ['hello', 'hallo', 'hallo']);
    assert.equal(origin.count(key('/language/1')), 2);
  });

  await t.test('requests that are for one caller, or change something, go to the handler', async () => {
    set('/one', 'asked');
    const times = origin.count(key('/one'));
    assert.equal((await get('/one', { headers: { Authorization: 'Bearer x' } })).text, 'asked');
    assert.equal((await get('/one', { method: 'POST', body: 'x' })).text, 'asked');
    assert.equal(origin.count(key('/one')), times + 2);
  });

  await t.test('a page past its time is served marked, and made anew behind the answer', async () => {
    set('/short/1', 'first');
    await get('/short/1');
    set('/short/1', 'second');
    const marked = await get('/short/1');
    assert.deepEqual([marked.text, marked.headers.get('newsreel-freshness').split(';')[0]], ['first', 'revalidating']);
    await until(async () => (await get('/short/1')).text === 'second');
  });

  await t.test('while the handler fails, an old page within its time stands in', async () => {
    set('/short/2', 'good');
    await get('/short/2');
    set('/short/2', 'bad', { status: 500 });
    assert.equal((await get('/short/2')).text, 'good');
  });

  await t.test('the error of a handler is thrown as it is', async () => {
    assert.deepEqual(await get('/throws').then(({ status, text }) => [status, text]), [599, 'RangeError: no such page']);
  });

  await t.test('a page is served without Newsreel when it is away', async () => {
    set('/away/1', 'still here');
    const { text, headers } = await get('/away/1');
    assert.deepEqual([text, headers.get('cache-status')], ['still here', 'newsreel; fwd=bypass; detail=internal']);
  });

  await t.test('shadow mode serves the old path, and reports what would have been different', async () => {
    const ask = (headers = {}) => get('/shadow/1', { headers });
    const reported = (count) => until(async () => {
      const reports = JSON.parse((await get('/reports')).text);
      return reports.length >= count && reports.map(({ outcome }) => outcome);
    });
    set('/shadow/1', 'one', { tags: ['shadow'] });
    assert.equal((await ask({ 'x-old': 'cache' })).text, 'one');
    assert.deepEqual(await reported(1), ['same']);
    set('/shadow/1', 'two', { tags: ['shadow'] });
    const receipt = await newsreel('purgeTags', ['shadow']);
    await after('/one', receipt);
    assert.equal((await ask({ 'x-old': 'cache' })).text, 'one', 'the old cache has not heard of it');
    assert.deepEqual(await reported(2), ['same', 'newer']);
    set('/shadow/1', 'three');
    assert.equal((await ask()).text, 'three', 'nobody published this one');
    assert.deepEqual(await reported(3), ['same', 'newer', 'older']);
  });
});

// Values as they leave: large ones, parts, only the headers, within JSON, and nothing when the reader has them.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';

import { servedBy, startEdge, stored, until } from './edge.mjs';

const MIB = 1 << 20;

test('values', async (t) => {
  const edge = await startEdge(t, { vars: { SEND_CACHE_TAG: 'true', POLICY: { gone: { ttl_ms: 1_900, lag_bound_ms: 60_000 } } } });
  const { broker, origin } = edge;
  const hash = (bytes) => createHash('sha256').update(bytes).digest('hex');
  const sum = async (read) => hash(Buffer.from(await read.arrayBuffer()));
  const small = Buffer.from('0123456789');
  const [five, thirty, chunked] = [5, 30, 26].map((size) => randomBytes(size * MIB));
  origin.set('embedding:small', small, { etag: '"small"', tags: ['s'] });
  origin.set('embedding:5', five, { etag: '"five"' });
  origin.set('embedding:30', thirty, { etag: '"thirty"', tags: ['large'] });
  origin.set('embedding:26', chunked, { chunked: true });
  const inR2 = async (key) => (await edge.r2.list({ include: ['customMetadata'] })).objects.find((one) => one.key.endsWith(`/${key}`));
  const values = { 'embedding:small': small, 'embedding:5': five, 'embedding:30': thirty };

  await t.test('5 MiB are kept in KV and R2 and not in memory', async () => {
    assert.equal(await sum(await edge.fetch('embedding:5')), hash(five));
    assert.equal(hash((await edge.inKv('embedding:5')).value), hash(five));
    assert.equal(hash((await edge.inR2('embedding:5')).value), hash(five));
    for (const isolate of [1, 2]) {
      const read = await edge.fetch('embedding:5', { isolate });
      assert.deepEqual([servedBy(read), await sum(read)], ['kv', hash(five)]);
    }
    await edge.kv.delete((await edge.inKv('embedding:5')).name);
    const byR2 = await edge.fetch('embedding:5');
    assert.deepEqual([servedBy(byR2), await sum(byR2)], ['r2', hash(five)]);
    assert.equal(origin.count('embedding:5'), 1);
  });

  await t.test('30 MiB are kept in R2 only, of whatever length the origin said they are', async () => {
    for (const [key, value] of [['embedding:30', thirty], ['embedding:26', chunked]]) {
      const first = await edge.fetch(key);
      assert.deepEqual([first.status, servedBy(first), await sum(first)], [200, 'origin', hash(value)], key);
      assert.ok((await inR2(key)).size > value.length);
      const read = await edge.fetch(key, { isolate: 2 });
      assert.deepEqual([servedBy(read), await sum(read)], ['r2', hash(value)]);
      assert.equal(read.headers.get('etag'), first.headers.get('etag'));
      assert.equal(origin.count(key), 1);
    }
    const names = (await edge.kv.list()).keys.map(({ name }) => name);
    assert.ok(!names.some((name) => /embedding:(30|26)@/.test(name)), names.join());
  });

  await t.test('a published change of a large value is served at once, from no tier', async () => {
    const next = randomBytes(26 * MIB);
    origin.set('embedding:30', next, { etag: '"next"' });
    const at = await broker.publish({ key: 'embedding:30' });
    const min = { 'newsreel-min-version': `${at.epoch}:${at.version}` };
    assert.equal(await sum(await edge.fetch('embedding:30', { headers: min })), hash(next));
    assert.equal((await inR2('embedding:30')).customMetadata.version, String(at.version));
    assert.equal(await sum(await edge.fetch('embedding:30', { headers: min, isolate: 2 })), hash(next));
    values['embedding:30'] = next;
  });

  for (const key of Object.keys(values)) {
    const ask = (headers, more) => edge.fetch(key, { headers, ...more });

    await t.test(`HEAD says what GET would: ${key}`, async () => {
      const [head, get] = [await ask({}, { method: 'HEAD' }), await ask({})];
      await get.arrayBuffer();
      assert.deepEqual([head.status, await head.text()], [200, '']);
      assert.equal(head.headers.get('content-length'), String(values[key].length));
      for (const name of ['content-type', 'etag', 'cache-tag', 'newsreel-entry-version', 'accept-ranges']) {
        assert.equal(head.headers.get(name), get.headers.get(name), name);
      }
    });

    await t.test(`a part: ${key}`, async () => {
      const value = values[key];
      const end = value.length;
      for (const [range, from, to] of [
        ['bytes=0-0', 0, 1], ['bytes=2-5', 2, 6], ['bytes=-3', end - 3, end], [`bytes=${end - 4}-`, end - 4, end],
        [`bytes=7-${end * 2}`, 7, end], [`bytes=-${end * 2}`, 0, end],
      ].slice(0, end > 5 * MIB ? -2 : 6)) {
        const read = await ask({ range });
        assert.equal(read.status, 206, range);
        assert.equal(read.headers.get('content-range'), `bytes ${from}-${to - 1}/${end}`);
        assert.equal(await sum(read), hash(value.subarray(from, to)), range);
      }
      for (const range of [`bytes=${end}-`, 'bytes=-0']) {
        const none = await ask({ range });
        assert.deepEqual([none.status, (await none.json()).code], [416, 'range-not-satisfiable']);
        assert.equal(none.headers.get('content-range'), `bytes */${end}`);
      }
      for (const range of end > MIB ? [] : ['bytes=5-2', 'bytes=0-1,4-5', 'lines=1-2']) {
        const whole = await ask({ range });
        assert.deepEqual([whole.status, await sum(whole)], [200, hash(value)], range);
      }
      const etag = (await ask({}, { method: 'HEAD' })).headers.get('etag');
      const same = await ask({ range: 'bytes=1-2', 'if-range': etag });
      assert.deepEqual([same.status, await sum(same)], [206, hash(value.subarray(1, 3))]);
      const other = await ask({ range: 'bytes=1-2', 'if-range': '"other"' });
      assert.deepEqual([other.status, await sum(other)], [200, hash(value)]);
    });

    await t.test(`nothing, when the reader has it: ${key}`, async () => {
      const etag = (await ask({}, { method: 'HEAD' })).headers.get('etag');
      for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
        const same = await ask({ 'if-none-match': known });
        assert.deepEqual([same.status, await same.text()], [304, ''], known);
        assert.equal(same.headers.get('etag'), etag);
        assert.match(same.headers.get('newsreel-freshness'), /^fresh; /);
      }
      const other = await ask({ 'if-none-match': '"other"' });
      assert.deepEqual([other.status, await sum(other)], [200, hash(values[key])]);
    });
  }

  await t.test('from memory, byte for byte: text, a BOM, no UTF-8, nothing, more than is kept ready', async () => {
    const odd = {
      text: Buffer.from('\u{feff}a "text" \u0000 \u{1f600}\r\n'), broken: Buffer.from([0x61, 0xff, 0xc3]), empty: Buffer.alloc(0),
      last: Buffer.alloc(64 << 10, 0x61), more: Buffer.alloc((64 << 10) + 1, 0x61),
    };
    for (const [name, body] of Object.entries(odd)) {
      const key = `title:odd-${name}`;
      origin.set(key, body, { type: 'text/x; a="b"', etag: `"${name}"` });
      const [first, second, third] = [await edge.fetch(key), await edge.fetch(key), await edge.fetch(key)];
      for (const hit of [second, third]) {
        assert.equal(servedBy(hit), 'memory', name);
        assert.equal(hash(Buffer.from(await hit.arrayBuffer())), hash(body), name);
        const stays = ['content-type', 'etag', 'vary', 'accept-ranges', 'newsreel-entry-version', 'cache-tag', 'content-length'];
        for (const header of stays) assert.equal(hit.headers.get(header), first.headers.get(header), `${name}: ${header}`);
        assert.ok(Number(hit.headers.get('age')) >= Number(first.headers.get('age')), name);
      }
      // Another value of the key takes nothing over from the one that was ready.
      origin.set(key, Buffer.from('new'), { type: 'text/y', etag: '"new"' });
      const at = await broker.publish({ key });
      const changed = await edge.read(key, { after: at });
      assert.deepEqual([changed.text, changed.headers.get('content-type'), changed.headers.get('etag')], ['new', 'text/y', '"new"']);
      const again = await edge.fetch(key);
      assert.deepEqual([await again.text(), again.headers.get('content-type'), again.headers.get('etag')], ['new', 'text/y', '"new"']);
    }
  });

  await t.test('within JSON: JSON as it is, text as a text, bytes in base64, what is too large left out', async () => {
    const json = '{"a": [1, "\u2028"],  "n": 12345678901234567890}';
    origin.set('title:json', json, { type: 'application/json; charset=utf-8', tags: ['j'], etag: '"j"' });
    origin.set('title:broken', '{"a":', { type: 'application/json' });
    origin.set('title:text', 'a "text"\n', { type: 'text/plain' });
    const at = await broker.publish({ key: 'title:json' });
    const wrapped = async (key) => edge.read(key, { query: '?envelope=1', after: at });
    const first = await wrapped('title:json');
    assert.ok(first.text.includes(`"value":${json},`), 'not read and written anew');
    const { value, freshness, ...rest } = first.json;
    assert.deepEqual(rest, {
      encoding: 'json', length: Buffer.byteLength(json), content_type: 'application/json; charset=utf-8', etag: '"j"', tags: ['j'],
    });
    assert.ok(value.n > 0);
    assert.deepEqual(
      [freshness.version, freshness.position, freshness.stale, freshness.confidence],
      [at.version, at.position, false, 1],
    );
    assert.deepEqual(
      [freshness.last_updated, freshness.next_update, freshness.expires_at - freshness.fetched_at],
      [freshness.fetched_at, freshness.expires_at, 7 * 24 * 3_600_000],
    );
    assert.equal(first.headers.get('content-type'), 'application/json');
    const text = (await wrapped('title:text')).json;
    assert.deepEqual([text.encoding, text.value], ['text', 'a "text"\n']);
    const broken = (await wrapped('title:broken')).json;
    assert.deepEqual([broken.encoding, broken.value], ['text', '{"a":']);
    const bytes = (await wrapped('embedding:5')).json;
    assert.deepEqual([bytes.encoding, hash(Buffer.from(bytes.value, 'base64'))], ['base64', hash(five)]);
    const large = (await wrapped('embedding:30')).json;
    assert.deepEqual([large.encoding, large.value, large.length], ['none', null, values['embedding:30'].length]);
    const missing = await wrapped('title:missing');
    assert.deepEqual([missing.status, missing.json.code], [404, 'not-found']);
    const head = await edge.fetch('title:text', { method: 'HEAD', query: '?envelope=1' });
    assert.deepEqual([head.status, await head.text()], [200, '']);
  });

  await t.test('S2: a large value that finds a newer one in R2 leaves it there, and is answered with that', async () => {
    const key = 'embedding:newer';
    origin.set(key, randomBytes(26 * MIB));
    const at = await broker.publish({ key: 'title:other' });
    await edge.read('title:other', { after: at });
    origin.hold(key);
    const reading = edge.fetch(key);
    const release = await origin.next(key);
    // Another reader was faster.
    const soon = Date.now() + 60_000;
    const envelope = {
      position: at.position, found: true, tags: [], fetched_at: soon, expires_at: soon + 60_000, stale_until: soon + 60_000,
      content_type: 'text/plain', etag: '"newer"',
    };
    const newer = randomBytes(26 * MIB);
    const customMetadata = { version: String(at.version), fetched_at: String(soon) };
    await edge.r2.put(`tv/${at.epoch}/${key}`, stored(envelope, newer, 'b'), { customMetadata });
    release();
    origin.releaseAll(key);
    const read = await reading;
    assert.deepEqual([read.status, await sum(read)], [200, hash(newer)]);
    assert.equal((await inR2(key)).customMetadata.fetched_at, customMetadata.fetched_at);
  });

  await t.test('a cached "not found" is reused no longer than it lives', async () => {
    const missing = await edge.fetch('gone:1');
    const limit = (read) => Number(/max-age=(\d+)/.exec(read.headers.get('cache-control'))[1]);
    assert.ok(limit(missing) <= 2);
    const late = await until(async () => {
      const read = await edge.fetch('gone:1');
      return Number(read.headers.get('age')) >= 1 && read;
    });
    assert.deepEqual([late.status, servedBy(late)], [404, 'memory']);
    assert.ok(limit(late) === 0, `${late.headers.get('cache-control')} with ${late.headers.get('newsreel-freshness')}`);
  });

  await t.test('a bulk read leaves out values above 1 MiB', async () => {
    const keys = ['embedding:30', 'embedding:5', 'embedding:small', 'embedding:five', 'title:text'];
    origin.set('embedding:five', five);
    const { json, text } = await edge.many(keys);
    assert.deepEqual(json.entries.map(({ status, encoding, length }) => [status, encoding, length]), [
      [200, 'none', 26 * MIB], [200, 'none', 5 * MIB], [200, 'text', 10], [200, 'none', 5 * MIB], [200, 'text', 9],
    ]);
    assert.equal(json.entries[3].value, null);
    assert.ok(text.length < 10_000);
  });
});

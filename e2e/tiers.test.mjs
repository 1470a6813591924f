// The tiers of a reader: what is stored where, what comes back from where, and that nothing changes on the way.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';

import { entryVersion, freshness, servedBy, startEdge, stored, tiers, until } from './edge.mjs';

const MIB = 1 << 20;

test('the tiers', async (t) => {
  const edge = await startEdge(t, { vars: { SEND_CACHE_TAG: 'true', POLICY: { quick: { lag_bound_ms: 300 } } } });
  t.beforeEach(() => edge.faults());
  const { broker, origin } = edge;

  await t.test('an entry goes from memory to KV, R2 and the origin and back up, its envelope unchanged', async () => {
    origin.set('title:1', { n: 1 }, { tags: ['a', 'b'] });
    const at = await broker.publish({ key: 'title:1', tags: ['a', 'b'] });
    const first = await edge.read('title:1', { after: at });
    assert.deepEqual([first.status, first.json, servedBy(first)], [200, { n: 1 }, 'origin']);
    const missed = ['r2', 'kv', 'memory'].map((tier) => `newsreel-${tier}; fwd=uri-miss; stored`);
    assert.equal(first.headers.get('cache-status'), missed.join(', ').replace('stored', 'stored; fwd-status=200'));
    const inKv = await edge.inKv('title:1', at.version);
    const inR2 = await edge.inR2('title:1', at.version);
    assert.deepEqual(inKv.envelope, inR2.envelope, 'the same bytes in both');
    const again = await edge.read('title:1');
    assert.equal(servedBy(again), 'memory');
    const byKv = await edge.read('title:1', { isolate: 2 });
    assert.equal(servedBy(byKv), 'kv');
    assert.match(tiers(byKv).memory, /fwd=uri-miss; stored/);
    assert.equal(servedBy(await edge.read('title:1', { isolate: 2 })), 'memory');
    for (const read of [again, byKv]) {
      assert.equal(read.headers.get('newsreel-entry-version'), first.headers.get('newsreel-entry-version'));
      assert.equal(read.headers.get('etag'), first.headers.get('etag'));
      assert.equal(read.headers.get('cache-tag'), 'a,b');
      assert.ok(freshness(read).age >= freshness(first).age);
    }
    assert.equal(origin.count('title:1'), 1);
  });

  await t.test('what KV lost comes back from R2, and what both lost from the origin', async () => {
    origin.set('title:2', 'two', { type: 'text/plain' });
    const first = await edge.read('title:2');
    const { name } = await edge.inKv('title:2');
    const inR2 = await edge.inR2('title:2');
    await edge.kv.delete(name);
    const byR2 = await edge.read('title:2', { isolate: 2 });
    assert.equal(servedBy(byR2), 'r2');
    assert.equal(byR2.headers.get('newsreel-entry-version'), first.headers.get('newsreel-entry-version'));
    const back = await edge.inKv('title:2');
    assert.deepEqual([back.name, back.envelope], [name, inR2.envelope], 'KV has it again, unchanged');

    origin.set('title:3', 'three');
    await edge.read('title:3');
    await edge.kv.delete((await edge.inKv('title:3')).name);
    await edge.r2.delete((await edge.inR2('title:3')).name);
    assert.equal(servedBy(await edge.read('title:3', { isolate: 2 })), 'origin');
    assert.deepEqual([origin.count('title:2'), origin.count('title:3')], [1, 2]);
  });

  await t.test('what is stored is what is documented', async () => {
    origin.set('title:4', 'ü', { type: 'text/plain; charset=utf-8', tags: ['x'], etag: '"e4"' });
    const before = Date.now();
    const at = await broker.publish({ key: 'title:4' });
    await edge.read('title:4', { after: at });
    const { name, metadata, expiration, kind, envelope, value } = await edge.inKv('title:4');
    assert.equal(name, `tv/${at.epoch}/title:4@${at.version}`);
    assert.deepEqual(Object.keys(metadata).sort(), ['popularity', 'version']);
    assert.equal(metadata.version, at.version);
    assert.ok(Math.abs(expiration * 1000 - envelope.stale_until) < 5_000, 'as long as it may be served');
    assert.deepEqual([kind, value.toString()], ['t', 'ü']);
    assert.deepEqual(
      { ...envelope, fetched_at: 0, expires_at: 0, stale_until: 0 },
      {
        position: at.position, found: true, tags: ['x'], fetched_at: 0, expires_at: 0, stale_until: 0,
        content_type: 'text/plain; charset=utf-8', etag: '"e4"',
      },
    );
    assert.ok(envelope.fetched_at >= before && envelope.fetched_at <= Date.now());
    const week = 7 * 24 * 3_600_000;
    assert.equal(envelope.expires_at - envelope.fetched_at, week);
    assert.equal(envelope.stale_until - envelope.expires_at, week);
    const r2 = await edge.inR2('title:4');
    assert.equal(r2.name, `tv/${at.epoch}/title:4`);
    assert.deepEqual(r2.metadata, { version: String(at.version), fetched_at: String(envelope.fetched_at) });
  });

  await t.test('values are opaque bytes, whatever they are', async () => {
    const values = {
      'embedding:0': Buffer.from(new Float32Array([0.1, -2.5, Number.NaN, 1e30]).buffer),
      'embedding:1': Buffer.from([0xff, 0xfe, 0x00, 0xc3, 0x28, 0x0a]),
      'embedding:2': Buffer.from('\ufeffwith a mark, \u2028 and \0'),
      'embedding:3': Buffer.alloc(0),
      'embedding:4': randomBytes(300_000),
    };
    for (const [key, value] of Object.entries(values)) {
      origin.set(key, value);
      for (const [isolate, tier] of [[1, 'origin'], [1, 'memory'], [2, 'kv'], [2, 'memory']]) {
        const read = await edge.fetch(key, { isolate });
        assert.equal(servedBy(read), tier, key);
        assert.equal(read.headers.get('content-type'), 'application/octet-stream');
        assert.ok(Buffer.from(await read.arrayBuffer()).equals(value), `${key} by ${tier}`);
        if (tier === 'origin') await edge.inKv(key);
      }
      await edge.inR2(key);
      const text = Buffer.from(value.toString()).equals(value);
      assert.equal((await edge.inKv(key)).kind, text ? 't' : 'b');
    }
  });

  await t.test('not found is an entry, in every tier, until it is undone', async () => {
    const missing = await edge.read('title:later');
    assert.deepEqual([missing.status, missing.json.code, servedBy(missing)], [404, 'not-found', 'origin']);
    assert.equal((await edge.inKv('title:later')).envelope.found, false);
    assert.equal((await edge.inR2('title:later')).envelope.found, false);
    assert.equal(servedBy(await edge.read('title:later')), 'memory');
    const byKv = await edge.read('title:later', { isolate: 2 });
    assert.deepEqual([byKv.status, servedBy(byKv)], [404, 'kv']);
    assert.equal(origin.count('title:later'), 1);
    origin.set('title:later', { n: 1 }, { tags: ['new'] });
    // A tag that it could come to carry, and no word of its key.
    const at = await broker.publish({ tag: 'new' });
    for (const isolate of [1, 2]) {
      const read = await edge.read('title:later', { isolate, after: at });
      assert.deepEqual([read.status, read.json], [200, { n: 1 }]);
      assert.ok(entryVersion(read) >= at.version);
    }
  });

  await t.test('what another program wrote under a name is a miss, and is replaced', async () => {
    origin.set('title:good', 'good');
    await edge.read('title:good');
    const { envelope } = await edge.inKv('title:good');
    const whole = stored(envelope, 'planted');
    const epoch = envelope.position.split(':')[0];
    const elsewhere = { ...envelope, position: envelope.position.replace(/^./, '7') };
    const planted = {
      empty: '', text: 'hello', head: 'NRE2', cut: whole.subarray(0, 60), older: Buffer.concat([Buffer.from('NRE1'), whole.subarray(4)]),
      endless: 'NRE2tffffffff{}', shapeless: stored({ ...envelope, position: 'x' }, 'planted'), large: randomBytes(2 * MIB),
      'of-another-epoch': stored(elsewhere, 'planted'),
    };
    for (const [what, bytes] of Object.entries(planted)) {
      const key = `planted:${what}`;
      origin.set(key, 'as it should be');
      await edge.kv.put(`tv/${epoch}/${key}@0`, bytes);
      await edge.r2.put(`tv/${epoch}/${key}`, bytes, { customMetadata: { version: '1' } });
      const read = await edge.read(key);
      assert.deepEqual([read.text, servedBy(read)], ['as it should be', 'origin'], what);
      const isReplaced = ({ value, envelope: now }) => now?.position === envelope.position && value.toString() === 'as it should be';
      await until(async () => isReplaced(await edge.inKv(key)) && isReplaced(await edge.inR2(key)), `${what} is replaced`);
      assert.equal((await edge.read(key, { isolate: 2 })).text, 'as it should be');
    }
    await edge.kv.put(`tv/${epoch}/planted:ours@0`, whole);
    assert.equal((await edge.read('planted:ours')).text, 'planted', 'so a right one would have been served');
  });

  await t.test('a tier that fails is passed by, and what it refuses to take is only missed there', async () => {
    origin.set('title:7', 'seven');
    await edge.faults({ throws: { 'kv.get title:7': 1, 'r2.get title:7': 1 } });
    const read = await edge.read('title:7');
    assert.deepEqual([read.text, servedBy(read), freshness(read).word], ['seven', 'origin', 'fresh']);
    for (const tier of ['kv', 'r2']) assert.match(tiers(read)[tier], /fwd=bypass; detail=failed/);
    await edge.inR2('title:7');
    await edge.faults({ throws: { 'kv.get title:7': 1 } });
    assert.equal(servedBy(await edge.read('title:7', { isolate: 2 })), 'r2');
    await edge.faults({ throws: { 'r2.put title:8': 99 } });
    origin.set('title:8', 'eight');
    assert.equal((await edge.read('title:8')).text, 'eight');
    await edge.inKv('title:8');
    await edge.faults();
    assert.equal(servedBy(await edge.read('title:8', { isolate: 2 })), 'kv');
  });

  await t.test('KV refuses a write (429): it is tried again, and only the newest of what came meanwhile', async () => {
    const key = 'title:9';
    origin.set(key, { n: 0 }, { tags: ['nine'] });
    await edge.faults({ throws: { [`kv.put ${key}`]: 1 } });
    await edge.read(key);
    let at;
    // Each change of the tag makes the entry anew, under the same name.
    for (let n = 1; n <= 10; n += 1) {
      origin.set(key, { n }, { tags: ['nine'] });
      at = await broker.publish({ tag: 'nine' });
      assert.deepEqual((await edge.read(key, { after: at })).json, { n });
    }
    await until(async () => (await edge.inKv(key)).version >= at.version, 'KV has the newest');
    assert.deepEqual(JSON.parse((await edge.inKv(key)).value), { n: 10 });
    const { calls } = await edge.told();
    assert.ok(calls['kv.put'] <= 4, `${calls['kv.put']} writes of one name`);
  });

  await t.test('S1: what a slow KV gives is judged by floors that are within the bound when it comes', async () => {
    const key = 'quick:slow';
    origin.set(key, { n: 1 }, { tags: ['ten'] });
    await edge.read(key);
    await edge.inKv(key);
    await edge.faults({ holds: [`kv.get ${key}`] });
    const reading = edge.read(key, { isolate: 2 });
    await edge.untilTold(({ waiting }) => waiting[`kv.get ${key}`] === 1);
    origin.set(key, { n: 2 }, { tags: ['ten'] });
    const at = await broker.publish({ tag: 'ten' });
    const acknowledged = Date.now();
    await until(() => Date.now() - acknowledged > 600, 'twice the bound is over');
    await edge.faults();
    const read = await reading;
    assert.deepEqual([read.json, freshness(read).word], [{ n: 2 }, 'fresh']);
    assert.match(tiers(read).kv, /below-floor-of-tag/);
    assert.ok(entryVersion(read) >= at.version);
  });

  await t.test('Cache-Status names no tier that did not take the value', async () => {
    origin.set('title:large', randomBytes(2 * MIB));
    const first = await edge.fetch('title:large');
    await first.arrayBuffer();
    assert.match(tiers(first).kv, /stored/);
    assert.doesNotMatch(tiers(first).memory, /stored/);
  });
});

// The service binding and the leases beneath it: a Worker reads through Newsreel what it fetches or renders itself.

import assert from 'node:assert/strict';
import test from 'node:test';

import { Site, startSite } from './binding.mjs';
import { until } from './edge.mjs';
import { TOKENS } from './system.mjs';

const OPTIONS = { timeout: 60_000 };

test('a binding reads, publishes and fills without a token', OPTIONS, async (t) => {
  const site = await startSite(t);
  const { origin } = site;

  await t.test('a miss is filled by the site, the next read is a hit, and a change is seen by the read after it', async () => {
    origin.set('title:1', { name: 'Alien' }, { tags: ['year:1979'] });
    const first = await site.read('title:1');
    assert.deepEqual([first.value, first.from, first.tags], [{ name: 'Alien' }, 'origin', ['year:1979']]);
    const second = await site.read('title:1');
    assert.deepEqual([second.value, second.from, second.freshness], [{ name: 'Alien' }, 'memory', 'fresh']);
    assert.equal(origin.count('title:1'), 1);
    origin.set('title:1', { name: 'Aliens' });
    const receipt = await site.call('publish', { key: 'title:1' });
    const third = await site.read('title:1', Site.after(receipt));
    assert.deepEqual([third.value, third.version], [{ name: 'Aliens' }, receipt.position]);
  });

  await t.test('the publisher is the one of the props', async () => {
    const receipt = await site.call('publish', 'title:named', { idempotencyKey: 'once' });
    const again = await site.call('publish', 'title:named', { idempotencyKey: 'once' });
    assert.equal(again.version, receipt.version);
    const other = await site.broker.publish({ key: 'title:named' }, { headers: { 'idempotency-key': 'once' } });
    assert.notEqual(other.version, receipt.version, 'keys are each publisher’s own');
  });

  await t.test('S2: a change during the fill makes the site fill again, and the old value is never stored', async () => {
    origin.set('title:2', 'old', { type: 'text/plain' });
    origin.hold('title:2');
    const read = site.read('title:2');
    const answerOld = await origin.next('title:2');
    origin.set('title:2', 'new', { type: 'text/plain' });
    const receipt = await site.call('publish', 'title:2');
    await site.call('get', 'title:2', { ...Site.after(receipt) });
    answerOld();
    (await origin.next('title:2'))();
    assert.equal((await read).value, 'new');
    assert.equal((await site.call('get', 'title:2', Site.after(receipt))), 'new');
    origin.releaseAll('title:2');
  });

  await t.test('reads of a key that is being filled wait for that fill', async () => {
    origin.set('title:3', 'one', { type: 'text/plain' });
    origin.hold('title:3');
    const reads = Array.from({ length: 20 }, () => site.read('title:3'));
    (await origin.next('title:3'))();
    const entries = await Promise.all(reads);
    assert.deepEqual(new Set(entries.map((entry) => entry.value)), new Set(['one']));
    assert.equal(origin.count('title:3'), 1);
    origin.releaseAll('title:3');
  });

  await t.test('every kind of value comes back as it was', async () => {
    for (const [key, returns, contentType] of [
      ['kind:json', { a: [1, null] }, 'application/json'],
      ['kind:text', 'täxt', 'text/plain; charset=utf-8'],
      ['kind:number', 0, 'application/json'],
    ]) {
      const entry = await site.call('read', key, { fill: { returns } });
      assert.deepEqual([entry.value, entry.contentType, entry.found], [returns, contentType, true], key);
      assert.deepEqual(await site.call('get', key), returns);
    }
    const { lease } = await site.call('begin', 'kind:bytes');
    assert.deepEqual(await site.call('put', 'kind:bytes', lease, { bytes: [255, 0, 7] }), { stored: true });
    assert.deepEqual(await site.call('get', 'kind:bytes'), { bytes: [255, 0, 7] });
    const many = await site.call('getMany', ['kind:text', 'kind:absent', 'kind:bytes', 'kind:text']);
    assert.deepEqual(many, ['täxt', null, { bytes: [255, 0, 7] }, 'täxt']);
  });

  await t.test('nothing is an entry too, and a change of any tag ends it', async () => {
    const entry = await site.call('read', 'title:none', { fill: { returns: null } });
    assert.deepEqual([entry.found, entry.value], [false, null]);
    const kept = await site.call('read', 'title:none', { fill: { throws: 'it was asked' } });
    assert.equal(kept.found, false);
    const receipt = await site.call('purgeTags', ['some:tag']);
    const after = await site.call('read', 'title:none', { fill: { returns: 'there' } }, Site.after(receipt));
    assert.equal(after.value, 'there');
  });

  await t.test('the error of a fill reaches the site as it was thrown', async () => {
    await assert.rejects(site.call('read', 'title:broken', { fill: { throws: 'out of stock' } }), {
      name: 'RangeError',
      message: 'out of stock',
    });
  });

  await t.test('a removed key is not filled', async () => {
    const receipt = await site.call('publish', { key: 'title:gone', op: 'remove' });
    const entry = await site.call('read', 'title:gone', { fill: { throws: 'it was asked' } }, Site.after(receipt));
    assert.equal(entry.found, false);
  });

  await t.test('tags of the options join those of the value, and purgeTags ends the entry', async () => {
    origin.set('title:4', 'tagged', { type: 'text/plain', tags: ['own'] });
    const entry = await site.read('title:4', { tags: ['given'] });
    assert.deepEqual(entry.tags, ['own', 'given']);
    origin.set('title:4', 'newer', { type: 'text/plain' });
    const receipt = await site.call('purgeTags', ['given']);
    assert.equal((await site.read('title:4', Site.after(receipt))).value, 'newer');
  });

  await t.test('a soft purge serves the old value marked, and refresh brings the new one', async () => {
    origin.set('title:5', 'first', { type: 'text/plain', tags: ['shelf'] });
    await site.read('title:5');
    origin.set('title:5', 'second', { type: 'text/plain' });
    await site.call('purgeTags', ['shelf'], { soft: true });
    const marked = await until(async () => {
      const entry = await site.read('title:5');
      return entry.freshness === 'revalidating' && entry;
    });
    assert.equal(marked.value, 'first');
    assert.equal((await site.call('refresh', 'title:5', site.fill('title:5'))).value, 'second');
    assert.deepEqual(await site.read('title:5').then(({ value, freshness }) => [value, freshness]), ['second', 'fresh']);
  });

  await t.test('the policy of a read is that of the entry it fills', async () => {
    origin.set('title:6', 'short-lived', { type: 'text/plain' });
    const policy = { ttl_ms: 1, stale_for_ms: 0 };
    await site.read('title:6', { policy });
    await site.read('title:6', { policy });
    assert.equal(origin.count('title:6'), 2, 'it had expired');
    await assert.rejects(site.read('title:6', { policy: { ttl: 1 } }), /bad-request: Newsreel-Policy.*ttl_ms/);
    await assert.rejects(site.read('title:6', { policy: { ttl_ms: 2_000_000_000 } }), /the log forgets after/);
  });

  await t.test('what the caller did wrong is said', async () => {
    await assert.rejects(site.call('get', 'no-class'), { name: 'NewsreelError', message: /^bad-key:/ });
    await assert.rejects(site.call('read', 'title:1', 'no function'), /the function that has the value/);
    await assert.rejects(site.call('publish', []), /^NewsreelError: no-changes:/);
    await assert.rejects(site.call('get', 'title:1', { catalog: 'No' }), /bad-catalog/);
    assert.match((await site.call('status')).position, /^[0-9A-Z]{26}:\d+:/);
  });
});

test('a lease stores what its holder fetched, unless a change came meanwhile', OPTIONS, async (t) => {
  const site = await startSite(t);

  await t.test('begin, put, hit', async () => {
    const { lease } = await site.call('begin', 'page:1');
    assert.match(lease, /^[0-9A-Z]{26}:\d+:[0-9a-f]{16}@\d+$/);
    assert.deepEqual(await site.call('put', 'page:1', lease, { html: 'one' }, { tags: ['a'] }), { stored: true });
    const { entry } = await site.call('begin', 'page:1');
    assert.deepEqual([entry.value, entry.tags, entry.from], [{ html: 'one' }, ['a'], 'memory']);
  });

  await t.test('S2: a change since the lease refuses the value and says so', async () => {
    for (const change of [{ key: 'page:2' }, { tag: 'b' }, { prefix: 'page:' }, { all: true }]) {
      const { lease } = await site.call('begin', 'page:2');
      const receipt = await site.call('publish', change);
      await site.call('get', 'page:2', Site.after(receipt));
      const put = await site.call('put', 'page:2', lease, 'old', { tags: ['b'] });
      assert.deepEqual(put, { stored: false, why: 'overtaken' }, JSON.stringify(change));
      assert.equal(await site.call('get', 'page:2'), null);
    }
  });

  await t.test('a lease for any key, and what changed since', async () => {
    const lease = await site.call('stamp');
    assert.equal(await site.call('judge', lease, ['c', 'd']), 'fresh');
    assert.deepEqual(await site.call('put', 'page:3', lease, 'three', { tags: ['c'] }), { stored: true });
    const soft = await site.call('purgeTags', ['c'], { soft: true });
    await site.call('get', 'page:3', Site.after(soft));
    assert.equal(await site.call('judge', lease, ['c', 'd']), 'soft');
    const hard = await site.call('purgeTags', ['d']);
    await site.call('get', 'page:3', Site.after(hard));
    assert.equal(await site.call('judge', lease, ['c', 'd']), 'hard');
    assert.equal(await site.call('judge', lease, []), 'fresh');
    const own = await site.call('publish', 'page:9');
    await site.call('get', 'page:3', Site.after(own));
    assert.equal(await site.call('judge', lease, [], { key: 'page:9' }), 'hard');
  });

  await t.test('over HTTP, with a token that may fill', async () => {
    const { broker } = site;
    const put = (lease, { token = TOKENS.fill, headers = {}, body = 'x' } = {}) =>
      broker.call('PUT', '/entries/page%3Ahttp', { token, body, headers: { ...(lease && { 'newsreel-lease': lease }), ...headers } });
    const begun = await broker.call('POST', '/entries/page%3Ahttp', { token: TOKENS.fill });
    assert.equal(begun.status, 202);
    const { lease } = begun.json;
    assert.equal((await put(lease, { token: null })).status, 401);
    assert.equal((await put(lease, { token: TOKENS.publish })).status, 403, 'a publisher sets no values');
    assert.equal((await put(undefined)).json.code, 'bad-request');
    assert.equal((await put('x')).json.code, 'bad-request');
    const old = lease.replace(/\d+$/, (at) => String(Number(at) - 600_001));
    assert.equal((await put(old)).json.code, 'lease-expired');
    assert.equal((await put(lease, { headers: { 'cache-control': 'private' } })).json.code, 'not-storable');
    assert.equal((await put(lease, { headers: { 'newsreel-status': '301' } })).json.code, 'bad-request');
    assert.equal((await put(lease, { headers: { 'content-type': 'text/html', etag: '"v1"', 'cache-tag': 'h' } })).status, 204);
    const read = await broker.call('POST', '/entries/page%3Ahttp', { token: TOKENS.fill });
    assert.deepEqual([read.status, read.text, read.headers.get('etag')], [200, 'x', '"v1"']);
    assert.equal((await broker.call('DELETE', '/entries/page%3Ahttp', { token: TOKENS.admin })).headers.get('allow'), 'GET, POST, PUT');
    const floors = (body) => broker.call('POST', '/floors', { token: TOKENS.fill, body: JSON.stringify(body) });
    assert.equal((await floors({ lease, tags: ['h'] })).json.floor, 'none');
    assert.equal((await floors({ lease, tag: 'h' })).json.code, 'bad-json');
    assert.equal((await broker.call('POST', '/leases', { token: TOKENS.fill })).status, 200);
  });
});

test('a binding without an origin, a catalog or a capability says so', OPTIONS, async (t) => {
  const site = await startSite(t, { props: '{}' });
  await assert.rejects(site.call('get', 'title:1'), /bad-request: no catalog is named: write props/);
  const read = await site.broker.read('title:1');
  assert.equal(read.json.code, 'misconfigured', 'a plain read needs an origin');
  assert.equal(await site.call('get', 'title:1', { catalog: 'tv' }), null);
});

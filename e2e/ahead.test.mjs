// The prefetches of a replica: hot values that a change has ended, and the origin's hot list.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { counters } from './counters.mjs';
import { startSystem } from './system.mjs';

test('a class that refreshes has the new value of what was read lately in KV and R2 before it is read again', async (t) => {
  const POLICY = { title: { on_bump: 'refresh' } };
  const { broker, origin, kv, worker } = await startSystem(t, { vars: { POLICY } });
  const r2 = (await worker.getEnv()).COPIES;
  const write = async (key, n) => {
    await origin.put(key, { n }, ['platform:quay']);
    for (let version = 0; ; ) {
      const { json, headers } = await broker.read(key, { after: version ? { epoch: epochOf(headers), version } : undefined });
      if (json?.n === n) return headers.get('newsreel-entry-version');
    }
  };
  await write('title:1', 1);
  await write('note:1', 1);
  // The replica knows of reads once they are reported, which happens before the counters are shown.
  assert.equal((await counters(broker)).get('newsreel_reads_total{class="note"}') > 0, true);

  await t.test('after a change of the key', async () => {
    await Promise.all([origin.put('title:1', { n: 2 }, ['platform:quay']), origin.put('note:1', { n: 2 })]);
    const stored = await storedAs(kv, 'title:1', { n: 2 });
    assert.ok(stored.version >= Number(stored.name.split('@')[1]), 'under its generation');
    const copy = await r2.get(stored.name.split('@')[0]);
    assert.match(await copy.text(), /\{"n":2\}$/);
    const read = await broker.read('title:1');
    assert.deepEqual(read.json, { n: 2 });
    assert.match(read.headers.get('cache-status'), /newsreel-kv; hit/, 'it is there when it is read');
  });

  await t.test('after a change of its tag, and nothing of a class that only deletes', async () => {
    const before = (await kv.list({ prefix: 'tv/' })).keys.filter(({ name }) => name.includes('/title:1@'));
    const receipt = await broker.publish({ changes: [{ tag: 'platform:quay' }, { prefix: 'note:' }] });
    const fresh = await until(async () => {
      const { keys } = await kv.list({ prefix: `tv/${receipt.epoch}/title:1@` });
      return keys.find(({ metadata }) => metadata.version >= receipt.version);
    });
    assert.equal(before.at(-1).name, fresh.name, 'a tag does not change the generation');
    const { keys } = await kv.list({ prefix: `tv/${receipt.epoch}/note:1@` });
    assert.ok(keys.every(({ metadata }) => metadata.version < receipt.version));
  });

  await t.test('a removed key is left alone', async () => {
    await origin.remove('title:1');
    const receipt = await broker.publish({ key: 'note:2' });
    assert.equal((await broker.read('title:1', { after: receipt })).status, 404);
    assert.equal((await until(async () => names(kv, 'title:1').then((found) => found.length === 0 && [found])))[0].length, 0);
  });
});

test('by the clock the hottest keys of the origin are fetched ahead, and what KV has is left alone', async (t) => {
  const { broker, origin, kv, worker } = await startSystem(t, { vars: { FILL_CATALOGS: 'tv', FILL_TOP: 2 } });
  await origin.putMany(['title:1', 'title:2', 'title:3'].map((key) => ({ key, value: { key } })));
  // The origin counts what it is asked for.
  for (const key of ['title:3', 'title:3', 'title:2']) await origin.get(key);
  const head = await until(async () => (await broker.status()).version === 1 && broker.status());
  await worker.scheduled({ cron: '0 4 * * *', scheduledTime: new Date() });
  const filled = await until(async () => {
    const { keys } = await kv.list({ prefix: `tv/${head.epoch}/` });
    return keys.length === 2 && keys;
  });
  assert.deepEqual(filled.map(({ name }) => name.split('/')[2].split('@')[0]), ['title:2', 'title:3']);
  const read = await broker.read('title:3');
  assert.match(read.headers.get('cache-status'), /newsreel-kv; hit/);

  const asked = async () => (await (await fetch(`${origin.url}?hot=3`)).text()).split('\n').map((line) => line && JSON.parse(line).reads);
  const before = await asked();
  await worker.scheduled({ cron: '0 4 * * *', scheduledTime: new Date() });
  await broker.publish({ key: 'title:1' });
  const receipt = await broker.publish({ key: 'title:2' });
  assert.deepEqual((await broker.read('title:2', { after: receipt })).json, { key: 'title:2' });
  assert.equal((await asked()).reduce((sum, reads) => sum + (reads || 0), 0) - before.reduce((sum, reads) => sum + (reads || 0), 0), 1);
});

const epochOf = (headers) => headers.get('newsreel-version').split(':')[0];

/** Waits until something is there, and returns it. */
async function until(there) {
  for (;;) {
    const found = await there();
    if (found) return found;
  }
}

async function names(kv, key) {
  return (await kv.list({ prefix: 'tv/' })).keys.map(({ name }) => name).filter((name) => name.includes(`/${key}@`));
}

/** Waits until KV has this value under a name of the key; returns the name and the version. */
async function storedAs(kv, key, value) {
  return until(async () => {
    for (const name of await names(kv, key)) {
      const { value: text, metadata } = await kv.getWithMetadata(name);
      if (text?.endsWith(JSON.stringify(value))) return { name, version: metadata.version };
    }
    return undefined;
  });
}

//! newsreel-unstorage in unstorage itself: what unstorage asks of any driver, and two storages over one store.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';

import { startLine } from '../proxy.mjs';
import { startSystem, TOKENS } from '../system.mjs';
import { until } from './site.mjs';

const { resolve } = createRequire(join(process.env.FRAMEWORKS, 'unstorage/package.json'));
const { createStorage, restoreSnapshot } = await import(pathToFileURL(resolve('unstorage')));
const { default: memory } = await import(pathToFileURL(resolve('unstorage/drivers/memory')));
const { default: newsreel } = await import(pathToFileURL(join(process.env.FRAMEWORKS, 'unstorage/node_modules/newsreel-unstorage/src/index.js')));

/** A driver below, whose reads are counted. */
function counted() {
  const driver = memory();
  const reads = [];
  return { reads, driver: { ...driver, getItem: (key) => (reads.push(key), driver.getItem(key)) } };
}

function open(t, below, url, catalog, more = {}) {
  const driver = newsreel({ driver: below.driver, url, catalog, followToken: TOKENS.follow, publishToken: TOKENS.publish, ...more });
  const storage = createStorage({ driver });
  t.after(() => storage.dispose());
  return storage;
}

test('a storage over another', async (t) => {
  const { broker } = await startSystem(t, { origin: false });

  await t.test('does what any driver does', async (t) => {
    const storage = open(t, counted(), broker.url, 'any');
    await restoreSnapshot(storage, { initial: 'works' });
    assert.equal(await storage.getItem('initial'), 'works');
    await storage.clear();
    assert.deepEqual([await storage.hasItem('s1:a'), await storage.getItem('s2:a'), await storage.getKeys()], [false, null, []]);
    for (const key of ['s1:a', 's2:a', 's3:a?q=1']) await storage.setItem(key, 'text');
    assert.deepEqual([await storage.hasItem('s1:a'), await storage.getItem('s1:a'), await storage.getItem('s3:a?q=2')], [true, 'text', 'text']);
    assert.deepEqual((await storage.getKeys()).sort(), ['s1:a', 's2:a', 's3:a']);
    assert.deepEqual(await storage.getKeys('s1'), ['s1:a']);
    for (const value of [{ json: 'works' }, true, 0, false, 'SERIALIZED']) {
      await storage.setItem('/data/test.json', value);
      assert.deepEqual(await storage.getItem('/data/test.json'), value);
    }
    await assert.rejects(storage.setItem('/data/bad.json', new (class Test {})()), /Cannot stringify/);
    await storage.setItemRaw('/data/raw.bin', new Uint8Array([1, 2, 3]));
    assert.deepEqual(await storage.getItemRaw('/data/raw.bin'), new Uint8Array([1, 2, 3]));
    await storage.setItems([{ key: 't:1', value: 'one' }, { key: 't:2', value: 'two' }]);
    assert.deepEqual(await storage.getItems(['t:1', { key: 't:2' }, 't:none']), [
      { key: 't:1', value: 'one' }, { key: 't:2', value: 'two' }, { key: 't:none', value: null },
    ]);
    await storage.removeItem('t:1');
    assert.deepEqual([await storage.hasItem('t:1'), await storage.getItem('t:1')], [false, null]);
    await storage.clear();
    assert.deepEqual([await storage.getKeys(), await storage.getItem('t:2')], [[], null]);
    await storage.clear();
    await storage.setItem('t:1', 'again');
    assert.equal(await storage.getItem('t:1'), 'again');
  });

  await t.test('an item is read below once, until any process writes it; the other one hears of it', async (t) => {
    const below = counted();
    const slow = await startLine(t, Number(new URL(broker.url).port));
    slow.delay(50);
    const [a, b] = [open(t, below, broker.url, 'two'), open(t, below, slow.url, 'two')];
    for (const value of ['one', 'two', 'three']) {
      const [writer, reader] = value === 'two' ? [b, a] : [a, b];
      await writer.setItem('k', value);
      below.reads.length = 0;
      for (const storage of [reader, writer, reader, writer]) assert.equal(await storage.getItem('k'), value);
      assert.ok(below.reads.length <= 2, `read ${below.reads.length} times`);
    }
    await a.removeItem('k');
    assert.equal(await b.getItem('k'), null);
    await a.setItem('x:1', 'one');
    assert.equal(await b.getItem('x:1'), 'one');
    await a.clear();
    assert.equal(await b.getItem('x:1'), null);
    await below.driver.setItem('x:1', 'past the driver');
    await broker.publish({ prefix: 'storage:x:' }, { catalog: 'two' });
    await until(async () => (await b.getItem('x:1')) === 'past the driver');
  });

  await t.test('watch tells of what every process changes', async (t) => {
    const below = counted();
    const [a, b] = [open(t, below, broker.url, 'watched'), open(t, below, broker.url, 'watched')];
    const seen = [];
    const unwatch = await b.watch((event, key) => seen.push(`${event} ${key}`));
    await a.setItem('k', 'one');
    await b.setItem('y:1', 'two');
    await a.removeItem('k');
    await broker.publish({ key: 'storage:z' }, { catalog: 'watched' });
    await until(() => seen.length === 4);
    assert.deepEqual(seen.splice(0), ['update k', 'update y:1', 'remove k', 'update z']);
    assert.equal(await b.getItem('y:1'), 'two');
    await a.clear();
    await until(() => seen.includes('remove y:1'));
    await unwatch();
    await a.setItem('k', 'unseen');
    assert.equal(await b.getItem('k'), 'unseen');
    assert.ok(!seen.includes('update k'));
  });

  await t.test('without the broker the driver below is asked', async (t) => {
    const below = counted();
    const line = await startLine(t, Number(new URL(broker.url).port));
    const storage = open(t, below, line.url, 'cut', { policy: { lagBoundMs: 250 } });
    await storage.setItem('k', 'one');
    assert.equal(await storage.getItem('k'), 'one');
    line.cut('close');
    await below.driver.setItem('k', 'two');
    await until(async () => (await storage.getItem('k')) === 'two');
  });
});

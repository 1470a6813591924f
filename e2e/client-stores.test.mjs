// The package's position stores when they fail: a kill in the middle of a write, a full disk, what is no position.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';

import { filePosition } from '../target/client/package/dist/file.js';
import { Recorder, connect, durableObjectPosition, localStoragePosition, memoryPosition } from './client.mjs';
import { FakeBroker, changesOf, positionOf } from './fake-broker.mjs';
import { ROOT, temporaryFolder } from './system.mjs';

/** Connects to nowhere; returns what that was refused with. */
async function refusal(store) {
  const connecting = connect('http://127.0.0.1:9', { catalog: 'tv', store });
  return connecting.then((feed) => feed.close(), (error) => error);
}

function assertStoreFailed(error, pattern) {
  assert.deepEqual([error?.name, error?.code, error?.terminal], ['NewsreelError', 'store-failed', true], String(error));
  assert.match(error.message, pattern);
}

/** Follows version 1 with a store of the caller's. */
async function followOne(t, store, options = {}) {
  const broker = await FakeBroker.start(t);
  const recorder = await Recorder.follow(t, broker, { store, ...options });
  const connection = await broker.live();
  broker.head = 1;
  connection.send(changesOf(0, 1));
  return { broker, recorder };
}

test('a file keeps the position, and the next feed begins there', async (t) => {
  const path = join(temporaryFolder(t), 'position');
  const { recorder } = await followOne(t, filePosition(path));
  await recorder.feed.waitFor(1);
  assert.equal(readFileSync(path, 'utf8'), `${positionOf(1)}\n`);
  await recorder.feed.close();
  const broker = await FakeBroker.start(t);
  await Recorder.follow(t, broker, { store: filePosition(path) });
  const { query } = await broker.connection();
  assert.deepEqual([query.get('epoch'), query.get('version')], positionOf(1).split(':').slice(0, 2));
});

test('a process that is killed while it writes leaves a position that was written', async (t) => {
  const path = join(temporaryFolder(t), 'position');
  const script = `
    import { filePosition } from ${JSON.stringify(join(ROOT, 'target/client/package/dist/file.js'))};
    const store = filePosition(${JSON.stringify(path)});
    const first = Number(((await store.read()) ?? 'e:0').split(':')[1]);
    for (let version = first + 1; ; version++) {
      await store.write('e:' + version + ':' + 'f'.repeat(1 << 16));
      console.log(version);
    }`;
  for (let nth = 1, last = 0; nth <= 6; nth++) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const closed = once(child, 'close');
    let told = 0;
    for await (const line of createInterface({ input: child.stdout })) {
      told = Number(line);
      // While it is at the next one.
      if (told >= last + 3 * nth && child.exitCode === null) child.kill('SIGKILL');
    }
    await closed;
    const [, version, filling] = (await filePosition(path).read()).split(':');
    assert.equal(filling.length, 1 << 16);
    assert.ok(Number(version) >= told && told > last, `${version} is kept, ${told} was written`);
    last = Number(version);
  }
});

test('what a killed write left beside is no position, and in nobody\'s way', async (t) => {
  const path = join(temporaryFolder(t), 'position');
  const store = filePosition(path);
  await store.write('one');
  writeFileSync(`${path}.new`, 'tw');
  assert.equal(await store.read(), 'one');
  await store.write('two');
  assert.equal(await store.read(), 'two');
  assert.deepEqual(readdirSync(join(path, '..')), ['position']);
});

test('what is no position is said to be none, and stays', async (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, 'position');
  for (const content of ['garbage', 'now', 'start', '{"version":1}', `${positionOf(1)}\n${positionOf(2)}`, '\0\0\0']) {
    writeFileSync(path, content);
    assertStoreFailed(await refusal(filePosition(path)), /position.*remove it from the store to begin anew/s);
    assert.equal(readFileSync(path, 'utf8'), content);
  }
  writeFileSync(path, '\n');
  assert.equal(await refusal(filePosition(path)), undefined, 'an empty file is no position at all');
  assertStoreFailed(await refusal(filePosition(folder)), /cannot read the position: EISDIR/);
  assertStoreFailed(await refusal(memoryPosition('garbage')), /remove it from the store/);
  const storage = { get: async () => 3, put: async () => {} };
  assertStoreFailed(await refusal(durableObjectPosition(storage, 'mine')), /cannot read the position: mine is not a text/);
});

test('a folder that is gone is waited for', async (t) => {
  const folder = join(temporaryFolder(t), 'later');
  const { broker, recorder } = await followOne(t, filePosition(join(folder, 'position')));
  const { error } = await recorder.state('waiting');
  assert.deepEqual([error.code, error.terminal, error.cause.code], ['store-failed', false, 'ENOENT']);
  mkdirSync(folder);
  (await broker.live(1)).send(changesOf(0, 1));
  await recorder.feed.waitFor(1);
  assert.equal(readFileSync(join(folder, 'position'), 'utf8'), `${positionOf(1)}\n`);
});

test('a page that may not store is told so before it connects', async () => {
  assert.equal(globalThis.localStorage, undefined, 'Node has none unless it is asked to');
  assertStoreFailed(await refusal(localStoragePosition('news')), /cannot read the position: there is no localStorage here/);
  const denied = {
    getItem() {
      throw new DOMException('Access is denied for this document.', 'SecurityError');
    },
  };
  assertStoreFailed(await refusal(localStoragePosition('news', denied)), /cannot read the position: Access is denied/);
});

test('a storage that is full holds nothing up for good', async (t) => {
  const kept = new Map();
  let isFull = true;
  const storage = {
    getItem: (key) => kept.get(key) ?? null,
    setItem(key, value) {
      if (isFull) throw new DOMException('The quota has been exceeded.', 'QuotaExceededError');
      kept.set(key, value);
    },
  };
  const { broker, recorder } = await followOne(t, localStoragePosition('news', storage));
  const { error } = await recorder.state('waiting');
  assert.deepEqual([error.name, error.code, error.terminal], ['NewsreelError', 'store-failed', false]);
  assert.match(error.message, /cannot write the position: The quota has been exceeded/);
  assert.equal(error.cause.name, 'QuotaExceededError');
  isFull = false;
  (await broker.live(1)).send(changesOf(0, 1));
  await recorder.feed.waitFor(1);
  assert.equal(kept.get('news'), positionOf(1));
});

// The WASM client before the real broker: follows, is killed and resumes, outlives the broker, polls.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Recorder, TestStore, QUICK, connect } from './client.mjs';
import { Served } from './served.mjs';
import { startSystem, temporaryFolder, TOKENS } from './system.mjs';

const token = TOKENS.follow;
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

async function publish(broker, catalog, count, { after = 0, tags } = {}) {
  const lines = range(1, count).map((line) => JSON.stringify({ key: `title:${after + line}`, tags }));
  const headers = { 'content-type': 'application/x-ndjson' };
  const { status, text } = await broker.publishRaw(lines.join('\n'), { catalog, headers });
  assert.equal(status, 200);
  return JSON.parse(text.trimEnd().split('\n').at(-1));
}

test('against the real broker', async (t) => {
  const { broker } = await startSystem(t, { origin: false });

  await t.test('five lines follow a catalog', async () => {
    const receipts = await publish(broker, 'five', 3);
    const feed = await connect(broker.url, { catalog: 'five', token, from: 'start' });
    const seen = [];
    for await (const event of feed) {
      seen.push([event.version, event.changes]);
      if (event.version === receipts.version) break;
    }
    assert.deepEqual(seen, [1, 2, 3].map((version) => [version, [{ key: `title:${version}` }]]));
  });

  await t.test('a long replay comes whole and in order, by socket and by polling', async (t) => {
    const catalog = 'long';
    for (const nth of range(0, 2)) await publish(broker, catalog, 1_500, { after: 1_500 * nth });
    const { version } = await broker.status(catalog);
    for (const transport of ['websocket', 'polling']) {
      const store = new TestStore();
      const recorder = await Recorder.follow(t, broker, { catalog, token, from: 'start', transport, store });
      await recorder.feed.live();
      assert.deepEqual(recorder.versions, range(1, version), transport);
      const { position } = await broker.status(catalog);
      assert.equal(store.position, position);
      assert.equal(recorder.feed.position, position);
      await recorder.feed.close();
    }
  });

  await t.test('an ack stands for a handler that has settled', async (t) => {
    const catalog = 'acked';
    let settle;
    const handle = () => new Promise((resolve) => (settle = resolve));
    const recorder = await Recorder.follow(t, broker, { catalog, token, handle, name: 'slow' });
    await recorder.feed.live();
    const publishing = broker.call('POST', '/changes?wait=applied', {
      catalog, token: TOKENS.publish, body: JSON.stringify({ key: 'title:1' }),
    });
    await recorder.until(() => recorder.events.length === 1);
    const { followers } = (await broker.call('GET', '/followers', { token: TOKENS.admin, catalog })).json;
    assert.deepEqual(followers.map(({ name, acked }) => [name, acked]), [['slow', 0]]);
    settle();
    const { json } = await publishing;
    assert.deepEqual(json.followers, { acked: 1, pending: 0 });
  });

  await t.test('topics hide what nobody asked for, and the feed is current all the same', async (t) => {
    const catalog = 'topics';
    const recorder = await Recorder.follow(t, broker, { catalog, token, topics: ['title:'] });
    await recorder.feed.live();
    for (const key of ['title:1', 'live:1', 'title:2']) await broker.publish({ key }, { catalog });
    const { version } = await broker.publish({ tag: 'hulu' }, { catalog });
    await recorder.feed.waitFor(version);
    assert.deepEqual(recorder.versions, [1, 3, 4]);
  });

  await t.test('a new epoch is a reset, on a socket and in a poll', async (t) => {
    for (const transport of ['websocket', 'polling']) {
      const catalog = `epochs-${transport}`;
      await broker.publish({ key: 'title:1' }, { catalog });
      const recorder = await Recorder.follow(t, broker, { catalog, token, transport });
      await recorder.feed.live();
      const begun = (await broker.call('POST', '/epochs', { token: TOKENS.admin, catalog })).json;
      const after = await broker.publish({ key: 'title:2' }, { catalog });
      await recorder.feed.waitFor(`${after.epoch}:1`);
      assert.deepEqual(recorder.events.map(({ type, version }) => [type, version]), [['reset', 0], ['version', 1]], transport);
      assert.equal(recorder.events[0].position, begun.position);
    }
  });

  await t.test('a token that is not known, or may not, ends the feed with the code of the broker', async (t) => {
    for (const [wrong, code] of [[undefined, 'unauthorized'], ['guess', 'unauthorized'], [TOKENS.publish, 'forbidden']]) {
      for (const transport of ['auto', 'polling']) {
        const { feed } = await Recorder.follow(t, broker, { token: wrong, transport });
        const error = await feed.closed;
        assert.deepEqual([error?.code, error?.terminal], [code, true], `${wrong} by ${transport}`);
      }
    }
  });

  await t.test('a process that is killed in its handler repeats what it did not finish, and skips nothing', async (t) => {
    const catalog = 'killed';
    const folder = temporaryFolder(t);
    const log = join(folder, 'handled');
    const store = join(folder, 'position');
    const total = 400;
    // So large that a frame has some 25 versions.
    const tags = range(1, 40).map((nth) => `${nth}-${'x'.repeat(240)}`);
    const publishing = (async () => {
      for (const nth of range(0, 39)) await publish(broker, catalog, 10, { after: 10 * nth, tags });
    })();
    let kills = 0;
    const handled = () => readFileSync(log, { encoding: 'utf8', flag: 'a+' }).split('\n').filter(Boolean).map(Number);
    for (let reached = 0; reached < total; reached = handled().at(-1) ?? 0) {
      const child = spawn(process.execPath, [fileURLToPath(new URL('client-killed.mjs', import.meta.url))], {
        env: { ...process.env, BROKER: broker.url, CATALOG: catalog, TOKEN: token, LOG: log, STORE: store, DIE_AFTER: '60', TOTAL: total },
        stdio: ['ignore', 'inherit', 'inherit'],
      });
      const [code, signal] = await once(child, 'close');
      if (signal === 'SIGKILL') kills += 1;
      else assert.equal(code, 0);
    }
    await publishing;
    assert.ok(kills >= 3, `killed ${kills} times`);
    const all = handled();
    let expected = 1;
    for (const version of all) {
      assert.ok(version <= expected, `${version} came before ${expected}`);
      if (version === expected) expected += 1;
    }
    assert.equal(expected, total + 1);
    assert.ok(all.length < total + 40 * kills, 'only what was not finished is repeated');
  });
});

test('the broker is killed and comes back: the feed goes on where it was', async (t) => {
  const served = await Served.at(t);
  const { broker } = await served.start();
  const recorder = await Recorder.follow(t, broker, { token, timing: { ...QUICK, backoffCapMs: 200 } });
  await recorder.feed.live();
  const receipt = await broker.publish({ key: 'title:1' });
  await recorder.feed.waitFor(receipt.position);
  const waiting = recorder.next('waiting');
  await served.kill();
  const { error, reason } = await waiting;
  assert.ok(reason !== '' || error);
  await served.start();
  const { version } = await broker.publish({ key: 'title:2' });
  await recorder.feed.waitFor(version);
  assert.deepEqual(recorder.versions, [1, 2]);
  assert.deepEqual(recorder.events.map(({ type }) => type), ['version', 'version']);
});

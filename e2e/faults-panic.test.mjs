// A panic in the Worker as it is deployed: it costs the event that it happens in, and nothing else.
//
// The wasm is the production build; `panic.worker.mjs` makes one of its imports fail where Rust takes it for granted.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { freshness, until } from './edge.mjs';
import { Follower } from './follower.mjs';
import { startValues } from './origin.mjs';
import { Publisher } from './publisher.mjs';
import { startSystem, TOKENS, wrapped } from './system.mjs';

test('a panic', { timeout: 120_000 }, async (t) => {
  const origin = await startValues(t);
  const vars = { ORIGIN_URL: origin.url, POLICY: JSON.stringify({ title: { lag_bound_ms: 3_600_000 } }) };
  const { broker, worker } = await startSystem(t, { origin: false, vars, config: wrapped(t, 'panic.worker.mjs') });
  const arm = (point) => fetch(`${broker.url}/panic`, { method: 'POST', body: point });
  const met = async (point) => (await (await fetch(`${broker.url}/panic`)).json())[point] ?? 0;
  const publish = (key, catalog) =>
    broker.publishRaw(JSON.stringify({ key }), { catalog, headers: { 'idempotency-key': key } });
  const names = async (catalog) =>
    (await broker.call('GET', '/followers', { token: TOKENS.admin, catalog })).json.followers.map(({ name }) => name).sort();
  const followed = async (catalog) => {
    const all = await Promise.all(['one', 'two'].map((name) => new Follower(broker, { catalog, name }).connect()));
    return [...all, await new Publisher(broker, { catalog, token: TOKENS.publish }).connect()];
  };
  const failed = (answer) => {
    assert.equal(answer.status, 500, answer.text);
    assert.doesNotMatch(answer.text, /"version":/);
  };
  /** Every follower is still connected, and hears the next publish; versions have no gap, and each key is there once. */
  const goesOn = async (catalog, sockets, keys) => {
    const [one, two, publisher] = sockets;
    const { version } = await publisher.publish({ key: 'after:1' });
    assert.equal(version, keys + 1, 'no version was given out and lost');
    await Promise.all([one.reached(version), two.reached(version)]);
    const { json } = await broker.changes('?since=0', { catalog });
    assert.deepEqual(json.versions, one.versions);
    assert.deepEqual(two.versions, one.versions);
    const heard = one.versions.map(({ changes }) => changes[0].key);
    assert.equal(new Set(heard).size, heard.length, 'each once');
    assert.deepEqual([one.closed, two.closed, publisher.closed], [undefined, undefined, undefined], 'the sockets stay');
    assert.deepEqual(await names(catalog), ['one', 'two']);
    await Promise.all(sockets.map((socket) => socket.close()));
  };

  await t.test('D1, D3: between a commit and its answer: that publisher hears 500, those beside it their versions', async () => {
    const catalog = 'answer';
    const sockets = await followed(catalog);
    await arm('answer after fault:x');
    const [before, other, after] = await Promise.all(['a:1', 'fault:x', 'a:2'].map((key) => publish(key, catalog)));
    assert.equal(await met('answer'), 1);
    const answers = [before, other, after];
    assert.equal(answers.filter(({ status }) => status === 500).length, 1);
    assert.equal(answers.filter(({ status }) => status === 200).length, 2);
    const again = await Promise.all(['a:1', 'fault:x', 'a:2'].map((key) => publish(key, catalog)));
    assert.deepEqual(again.map(({ json }) => json.version).sort(), [1, 2, 3], 'sent again, each has its one version');
    await goesOn(catalog, sockets, 3);
  });

  await t.test('G3, D3: a commit that seems to have failed: it is found by its key, nobody was told, and everybody learns it', async () => {
    const catalog = 'fan-out';
    const sockets = await followed(catalog);
    const [one, two] = sockets;
    await arm('commit after fault:x');
    // The broker tries the publish again, and the key tells it that the first time was written.
    assert.equal((await publish('fault:x', catalog)).json.version, 1);
    assert.equal(await met('commit'), 1);
    for (const follower of [one, two]) {
      // The pong is how a follower without topics learns that it was left out.
      assert.match(await follower.ping(), /:1:/);
      await follower.close();
      await follower.connect();
    }
    await goesOn(catalog, sockets, 1);
  });

  await t.test('before a commit: its publishers are told so, and are not left waiting', async () => {
    const catalog = 'flush';
    const sockets = await followed(catalog);
    await arm('timer');
    // A flush waits, and so needs the timer, where the object reads the bodies of other publishes.
    const keys = Array.from({ length: 8 }, (_, n) => `a:${n}`);
    const lines = { catalog, headers: { 'content-type': 'application/x-ndjson' } };
    const answers = await Promise.all(keys.map((key) => broker.publishRaw(JSON.stringify({ key, idempotency_key: key }), lines)));
    assert.equal(await met('timer'), 1);
    const told = answers.filter(({ status }) => status !== 200);
    assert.ok(told.length > 0);
    told.forEach(failed);
    const written = keys.length - told.length;
    assert.equal((await broker.status(catalog)).version, written, 'what failed was not written');
    for (const key of keys) assert.equal((await publish(key, catalog)).status, 200);
    await goesOn(catalog, sockets, keys.length);
  });

  await t.test('while a follower is heard: it and the others stay', async () => {
    const catalog = 'heard';
    const sockets = await followed(catalog);
    // The tags of a socket are read when it is first heard, which may be for the ack that the publish asks for.
    await arm('tags');
    const beside = publish('a:1', catalog);
    sockets[0].socket.send('{"type":"ack","version":0}');
    await until(async () => (await met('tags')) === 1);
    assert.equal((await beside).json.version, 1);
    await goesOn(catalog, sockets, 1);
  });

  await t.test('while a follower connects: it is refused and leaves nothing behind', async () => {
    const catalog = 'opened';
    const sockets = await followed(catalog);
    await arm('accept');
    await assert.rejects(new Follower(broker, { catalog, name: 'three' }).connect());
    assert.equal(await met('accept'), 1);
    assert.deepEqual(await names(catalog), ['one', 'two']);
    await goesOn(catalog, sockets, 0);
  });

  await t.test('D1, D3: while an object wakes: the next event wakes it, and nothing is lost', async () => {
    const catalog = 'woken';
    const [follower] = await followed(catalog);
    await publish('a:1', catalog);
    await follower.reached(1);
    await worker.evictDurableObject('Broker', { name: catalog, webSockets: 'hibernate' });
    await arm('rows');
    failed(await publish('a:2', catalog));
    assert.equal(await met('rows'), 1);
    assert.equal((await publish('a:2', catalog)).json.version, 2);
    // The platform ends the sockets of an object that cannot be made.
    if (follower.socket.readyState !== WebSocket.OPEN) {
      await follower.until(() => follower.closed);
      await follower.connect();
    }
    await follower.reached(2);
    assert.equal(follower.resets, 0);
    await follower.close();
  });

  await t.test('S2: in a read: that read hears 500, those under way beside it are answered, and what is kept is whole', async () => {
    for (const n of [1, 2, 3]) origin.set(`title:${n}`, { n });
    const at = await broker.publish({ key: 'title:1' });
    assert.deepEqual((await broker.read('title:1', { after: at })).json, { n: 1 });
    origin.hold('title:2');
    origin.hold('title:3');
    const beside = ['title:2', 'title:3'].map((key) => broker.read(key));
    await origin.wasAsked('title:2', 1);
    await origin.wasAsked('title:3', 1);
    for (let times = 1; times <= 3; times += 1) {
      await arm('response');
      assert.equal((await broker.call('HEAD', '/entries/title:1')).status, 500);
      assert.equal(await met('response'), times);
    }
    const before = await met('answer');
    await arm('answer');
    assert.deepEqual((await broker.read('title:1')).json, { n: 1 }, 'an answer that cannot be made at once is made again');
    assert.equal(await met('answer'), before + 1);
    const again = await broker.read('title:1');
    assert.deepEqual([again.json, freshness(again).word], [{ n: 1 }, 'fresh']);
    for (const key of ['title:2', 'title:3']) origin.releaseAll(key);
    for (const [nth, read] of (await Promise.all(beside)).entries()) {
      assert.deepEqual([read.status, read.json], [200, { n: nth + 2 }], read.text);
    }
    assert.deepEqual([origin.count('title:1'), origin.count('title:2')], [1, 1], 'what was kept is kept, in the same isolate');
    origin.set('title:1', { n: 9 });
    const next = await broker.publish({ key: 'title:1' });
    assert.deepEqual((await broker.read('title:1', { after: next })).json, { n: 9 });
  });
});

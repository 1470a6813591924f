// Followers that are slow, silent, rude or left out, and that the others never notice.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Follower } from './follower.mjs';
import { startBroker } from './served.mjs';
import { startSystem, TOKENS, wrapped } from './system.mjs';

const NDJSON = { 'content-type': 'application/x-ndjson' };
const followers = async (broker, catalog) =>
  (await broker.call('GET', '/followers', { token: TOKENS.admin, catalog })).json.followers;

test('one follower of 200 is stuck: it is closed 4008 and the others never notice', async (t) => {
  const broker = await startBroker(t, { SLOW_AFTER_MS: '1500' });
  const catalog = 'stuck';
  const stuck = new Follower(broker, { catalog, name: 'stuck', mute: true });
  await stuck.connect();
  const others = await Promise.all(
    Array.from({ length: 199 }, (_, n) => new Follower(broker, { catalog, name: `f${n}` }).connect()),
  );
  let version = 0;
  while (!stuck.isLeft) ({ version } = await broker.publish({ key: `a:${version}` }, { catalog }));
  await stuck.until(() => stuck.closed);
  assert.equal(stuck.closed.code, 4008);
  for (const other of others) await other.reached(version);
  assert.equal(others.filter((other) => other.closed).length, 0);
  assert.equal((await followers(broker, catalog)).length, 199);
  stuck.mute = false;
  await stuck.connect();
  assert.equal(stuck.position.version, version, 'it catches up by replay');
  await Promise.all([stuck, ...others].map((one) => one.close()));
});

test('too many unacknowledged bytes are too slow as well', async (t) => {
  const broker = await startBroker(t, { SLOW_BYTES: '200000' });
  const catalog = 'swamped';
  const stuck = await new Follower(broker, { catalog, mute: true }).connect();
  const other = await new Follower(broker, { catalog }).connect();
  const tags = Array.from({ length: 40 }, (_, n) => `${n}-${'x'.repeat(240)}`);
  let version = 0;
  while (!stuck.isLeft) ({ version } = await broker.publish({ key: `a:${version}`, tags }, { catalog }));
  await stuck.until(() => stuck.closed);
  assert.equal(stuck.closed.code, 4008);
  assert.match(stuck.closed.reason, /too much is unacknowledged/);
  await other.reached(version);
  await other.close();
});

test('whose pings have ended is closed 4008 by the next look, without the broker having woken for it', async (t) => {
  const broker = await startBroker(t, { SILENT_AFTER_MS: '1000' });
  for (const [catalog, look] of [
    ['listed', (catalog) => followers(broker, catalog)],
    ['published', (catalog) => broker.publish({ key: 'a:1' }, { catalog })],
  ]) {
    const silent = await new Follower(broker, { catalog, name: 'silent' }).connect();
    const never = await new Follower(broker, { catalog, name: 'never pinged' }).connect();
    await silent.ping();
    const deadline = Date.now() + 30_000;
    while (!silent.isLeft) {
      assert.ok(Date.now() < deadline, 'closed in time');
      await look(catalog);
    }
    await silent.until(() => silent.closed);
    assert.equal(silent.closed.code, 4008);
    assert.match(silent.closed.reason, /no ping in time/);
    assert.deepEqual((await followers(broker, catalog)).map((one) => one.name), ['never pinged']);
    await never.close();
  }
});

test('a fan-out that dies half-way', async (t) => {
  const vars = { SLOW_AFTER_MS: '2000' };
  const { broker } = await startSystem(t, { origin: false, vars, config: wrapped(t, 'half-way.worker.mjs') });

  await t.test('is found by the next ping of whoever was left out', async () => {
    const catalog = 'cut';
    const all = [];
    for (let n = 0; n < 4; n += 1) all.push(await new Follower(broker, { catalog, name: `f${n}` }).connect());
    const { position } = await broker.publish({ key: 'fault:cut-2' }, { catalog });
    await all[0].reached(1);
    await all[1].reached(1);
    for (const left of all.slice(2)) {
      assert.equal(await left.ping(), position, 'the pong tells the head');
      assert.equal(left.position.version, 0, 'which it was not told of');
      await left.close();
      await left.connect();
      assert.deepEqual(left.versions.map((row) => row.version), [1], 'resumed, it has it once');
    }
    await broker.publish({ key: 'a:1' }, { catalog });
    for (const one of all) {
      await one.reached(2);
      await one.close();
    }
  });

  await t.test('by an error that is thrown: nothing is lost, and the object goes on', async () => {
    const catalog = 'thrown';
    const everything = await new Follower(broker, { catalog }).connect();
    const filtered = await new Follower(broker, { catalog, topics: ['fault:'] }).connect();
    const tags = ['x'.repeat(250)];
    const large = (first) => ({ changes: [{ key: first }, ...Array.from({ length: 999 }, (_, n) => ({ key: `a:${n}`, tags }))] });
    // Two versions, each a frame of its own: the error comes after the first frame.
    const body = [large('fault:throw'), large('fault:then')].map((one) => JSON.stringify(one)).join('\n');
    const answer = await broker.publishRaw(body, { catalog, headers: NDJSON });
    assert.ok(!/"version":/.test(answer.text), `nobody was told that it was done: ${answer.status}`);
    await everything.reached(1);
    const pong = await everything.ping();
    assert.match(pong, /:2:/, 'the log has both');
    // No pong tells a filtered follower, and nothing else happens: the alarm finds it.
    await filtered.reached(2);
    await everything.close();
    await everything.connect();
    assert.equal(everything.position.version, 2);
    const { version } = await broker.publish({ key: 'fault:later' }, { catalog });
    assert.equal(version, 3);
    await filtered.until(() => filtered.versions.at(-1)?.version === 3);
    assert.deepEqual(filtered.versions.map((row) => row.version), [1, 2, 3], 'a filtered one is told from the log');
    await everything.reached(3);
    await Promise.all([everything.close(), filtered.close()]);
  });
});

test('connections', async (t) => {
  const { broker, worker } = await startSystem(t, { origin: false });
  const hibernate = (catalog) => worker.evictDurableObject('Broker', { name: catalog, webSockets: 'hibernate' });

  await t.test('a frame that is too large or that nobody asked for closes its follower only', async () => {
    const catalog = 'rude';
    const [large, chatty, polite] = [1, 2, 3].map(() => new Follower(broker, { catalog }));
    for (const one of [large, chatty, polite]) await one.connect();
    large.socket.send(JSON.stringify({ type: 'ack', version: 0, padding: 'x'.repeat(5000) }));
    await large.until(() => large.closed);
    assert.equal(large.closed.code, 4500);
    assert.equal(large.error.code, 'bad-frame');
    for (let n = 0; n < 400; n += 1) chatty.socket.send('{"type":"ack","version":0}');
    await chatty.until(() => chatty.closed);
    assert.equal(chatty.closed.code, 4009);
    assert.equal(chatty.error.code, 'busy');
    assert.ok(chatty.error.retry_after_ms > 0);
    await broker.publish({ key: 'a:1' }, { catalog });
    await polite.reached(1);
    await polite.close();
  });

  await t.test('the list of followers is right after hibernation', async () => {
    const catalog = 'list';
    const [one, two, rude] = ['one', 'two', 'rude'].map((name) => new Follower(broker, { catalog, name }));
    for (const follower of [one, two, rude]) await follower.connect();
    const { version, position } = await broker.publish({ key: 'a:1' }, { catalog });
    await Promise.all([one.reached(version), two.reached(version)]);
    rude.socket.send('what');
    await rude.until(() => rude.closed);
    await two.close();
    await one.ping();
    await hibernate(catalog);
    const list = await followers(broker, catalog);
    assert.deepEqual(list.map((follower) => follower.name), ['one']);
    assert.equal(list[0].acked, version);
    assert.equal(list[0].position, position);
    assert.equal(list[0].lag, 0);
    assert.ok(list[0].last_ping >= list[0].since, 'its ping was answered without waking the object');
    await one.close();
  });

  await t.test('G4: a version larger than a page goes alone and whole', async () => {
    const catalog = 'whole';
    const tags = ['x'.repeat(250), 'y'.repeat(250)];
    const large = { changes: Array.from({ length: 900 }, (_, n) => ({ key: `a:${n}`, tags })) };
    for (const publish of [{ key: 'a:1' }, large, { key: 'a:2' }, large]) await broker.publish(publish, { catalog });
    const follower = await new Follower(broker, { catalog }).connect();
    assert.deepEqual(follower.versions.map((row) => row.changes.length), [1, 900, 1, 900]);
    await follower.close();
    const pages = [];
    for (let at = { to: 0, epoch: '', hash: '' }; at.to !== at.head; ) {
      at = (await broker.changes(`?epoch=${at.epoch}&since=${at.to}&hash=${at.hash}`, { catalog })).json;
      pages.push(at.versions.map((row) => row.changes.length));
    }
    assert.deepEqual(pages, [[1, 900], [1, 900]], 'a page ends with the first version past 256 KiB');
  });
});

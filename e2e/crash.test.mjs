// Killed without a word: workerd in the middle of a stream of publishes, the origin between commit and publish.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { Follower } from './follower.mjs';
import { Served, startBroker } from './served.mjs';
import { freePort, newsreel, startOrigin, temporaryFolder, TOKENS } from './system.mjs';

test('D1: workerd killed in the middle of publishes keeps every acknowledged version, none twice', async (t) => {
  const originPort = await freePort();
  const served = await Served.at(t, { vars: { ORIGIN_URL: `http://127.0.0.1:${originPort}` } });
  const { broker } = await served.start();
  const folder = temporaryFolder(t);
  const origin = await startOrigin(t, { port: originPort, db: join(folder, 'origin.sqlite'), broker: broker.url });
  const follower = await new Follower(broker).connect();

  // The replica and the reader hold something from before the crash.
  await origin.put('title:1', { round: 0 });
  await follower.reached(1);
  assert.deepEqual((await broker.read('title:1', { after: follower.position })).json, { round: 0 });

  const acknowledged = new Map();
  const publishUntilCut = async (publisher) => {
    for (let n = 0; ; n += 1) {
      const key = `a:${publisher}-${n}`;
      const headers = { 'idempotency-key': key };
      try {
        const { epoch, version } = await broker.publish({ key }, { headers });
        acknowledged.set(key, { epoch, version });
      } catch {
        return { key, headers };
      }
    }
  };
  const publishers = Array.from({ length: 4 }, (_, publisher) => publishUntilCut(publisher));
  await follower.reached(100);
  await served.kill();
  const cut = await Promise.all(publishers);
  assert.ok(acknowledged.size > 50, `${acknowledged.size} publishes were acknowledged`);
  await follower.until(() => follower.closed);

  await served.start();
  await follower.connect();
  assert.equal(follower.resets, 0, 'the log goes on where it stopped');
  for (const { key, headers } of cut) {
    const { epoch, version } = await broker.publish({ key }, { headers });
    acknowledged.set(key, { epoch, version });
  }
  const head = await broker.status();
  await follower.reached(head.version);

  const heard = new Map();
  for (const row of follower.versions) {
    for (const { key } of row.changes) {
      assert.ok(!heard.has(key), `${key} is there once`);
      heard.set(key, row.version);
    }
  }
  for (const [key, { epoch, version }] of acknowledged) {
    assert.equal(epoch, head.epoch);
    assert.equal(heard.get(key), version, `${key} has the version its publisher was told`);
  }

  // The replica was killed too: it resumes from its own rows, and no entry that changed meanwhile is served old.
  await origin.put('title:1', { round: 1 });
  await follower.reached(head.version + 1);
  const read = await broker.read('title:1', { after: follower.position });
  assert.deepEqual(read.json, { round: 1 });
  const { epoch, version, hash } = follower.position;
  assert.equal(read.headers.get('newsreel-version'), `${epoch}:${version}:${hash}`);
  await follower.close();
});

test('an origin killed between commit and publish: the change still arrives, once', async (t) => {
  const originPort = await freePort();
  const broker = await startBroker(t, { ORIGIN_URL: `http://127.0.0.1:${originPort}` });
  const place = { port: originPort, db: join(temporaryFolder(t), 'origin.sqlite'), broker: broker.url };
  const follower = await new Follower(broker).connect();

  // Held for longer than the test runs: the commit is answered, the publish is never sent.
  const held = await startOrigin(t, { ...place, holdPublishMs: 600_000 });
  await held.put('title:7', { survived: true }, ['platform:quay']);
  await held.put('title:8', { survived: true });
  assert.equal((await broker.status()).version, 0);
  await held.kill();

  const origin = await startOrigin(t, place);
  await follower.reached(2);
  assert.deepEqual(follower.versions.map((row) => row.changes), [
    [{ key: 'title:7', tags: ['platform:quay'] }],
    [{ key: 'title:8' }],
  ]);
  assert.deepEqual(await origin.get('title:7'), { survived: true });
  assert.deepEqual((await broker.read('title:7', { after: follower.position })).json, { survived: true });

  // Killed again at once and started again: nothing is published twice.
  await origin.kill();
  const again = await startOrigin(t, place);
  await again.put('title:9', {});
  await follower.reached(3);
  assert.equal((await broker.status()).version, 3);
  await follower.close();
});

test('the command line follows over a crash: replay from its resume file, then live', async (t) => {
  const served = await Served.at(t);
  const { broker } = await served.start();
  const flags = ['--broker', broker.url, '--catalog', 'tv'];
  const publish = async (key) => {
    const { code, stdout } = await newsreel('publish', ...flags, '--token', TOKENS.publish, '--key', key);
    assert.equal(code, 0);
    return JSON.parse(stdout).version;
  };
  const resume = join(temporaryFolder(t), 'position');
  const tail = async (until) => {
    const { stdout } = await newsreel('tail', ...flags, '--token', TOKENS.follow, '--from', 'start', '--json',
      '--resume', resume, '--until', String(until));
    return stdout.trim().split('\n').map((line) => JSON.parse(line).version);
  };
  await publish('a:1');
  await publish('a:2');
  assert.deepEqual(await tail(2), [1, 2]);
  await served.kill();
  await served.start();
  await publish('a:3');
  await publish('a:4');
  assert.deepEqual(await tail(4), [3, 4]);
  const status = await newsreel('status', ...flags, '--token', TOKENS.follow, '--json');
  assert.equal(JSON.parse(status.stdout).version, 4);
  const refused = await newsreel('status', ...flags, '--token', 'wrong');
  assert.equal(refused.code, 4);
});

// A follower that was away, asleep or evicted gets exactly the versions that it missed, in order, once.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Follower } from './follower.mjs';
import { startSystem, TOKENS } from './system.mjs';

test('away and back', async (t) => {
  const { broker, worker, origin } = await startSystem(t);
  const hibernate = (catalog = 'tv') => worker.evictDurableObject('Broker', { name: catalog, webSockets: 'hibernate' });

  await t.test('a hibernated broker keeps its sockets and delivers the next publish', async () => {
    const followers = await Promise.all(Array.from({ length: 3 }, () => new Follower(broker).connect()));
    const filtered = await new Follower(broker, { topics: ['title:'] }).connect();
    await broker.publish({ key: 'title:1' });
    const before = await broker.status();
    await hibernate();
    assert.deepEqual({ ...(await broker.status()) }, before, 'log, head and followers are unchanged');
    await hibernate();
    assert.equal(await followers[0].ping(), before.position);
    await assert.rejects(hibernate(), /not currently running/, 'the ping did not wake it');
    const { version } = await broker.publish({ changes: [{ key: 'title:2' }, { key: 'live:1' }] });
    for (const follower of [...followers, filtered]) await follower.reached(version);
    assert.deepEqual(filtered.versions.at(-1).changes, [{ key: 'title:2' }], 'its interest survived');
    for (const follower of [...followers, filtered]) await follower.close();
  });

  await t.test('G5: a follower that was away replays exactly what it missed', async () => {
    const catalog = 'missed';
    const follower = await new Follower(broker, { catalog }).connect();
    await broker.publish({ key: 'a:1' }, { catalog });
    await follower.reached(1);
    await follower.close();
    for (let n = 2; n <= 30; n += 1) await broker.publish({ key: `a:${n}` }, { catalog });
    await hibernate(catalog);
    await follower.connect();
    assert.equal(follower.frames[0].resume, 'replay');
    assert.deepEqual(follower.versions.map((row) => row.changes[0].key), Array.from({ length: 30 }, (_, n) => `a:${n + 1}`));
    await follower.close();
  });

  await t.test('G5: a replay of many pages goes on while publishes and evictions happen', async () => {
    const catalog = 'long';
    const tags = Array.from({ length: 30 }, (_, n) => `tag-${n}-${'x'.repeat(200)}`);
    const changes = (n) => ({ changes: Array.from({ length: 20 }, (_, i) => ({ key: `a:${n}-${i}`, tags })) });
    for (let n = 0; n < 40; n += 4) {
      await Promise.all([0, 1, 2, 3].map((more) => broker.publish(changes(n + more), { catalog })));
    }
    const follower = new Follower(broker, { catalog });
    const connected = follower.connect();
    const later = [];
    for (let n = 0; n < 5; n += 1) {
      await follower.until(() => follower.frames.length > n);
      await hibernate(catalog);
      later.push(await broker.publish({ key: `later:${n}` }, { catalog }));
    }
    await connected;
    await follower.reached(later.at(-1).version);
    assert.equal(follower.versions.length, 45);
    assert.ok(follower.frames.filter((frame) => frame.type === 'changes').length > 8, 'it came in pages');
    await follower.close();
  });

  await t.test('publishes that arrive together share frames and keep their own versions', async () => {
    const catalog = 'together';
    const follower = await new Follower(broker, { catalog }).connect();
    const receipts = await Promise.all(
      Array.from({ length: 100 }, (_, n) => broker.publish({ key: `a:${n}` }, { catalog })),
    );
    await follower.reached(100);
    assert.deepEqual(receipts.map((one) => one.version).sort((a, b) => a - b), follower.versions.map((row) => row.version));
    for (const [n, { version }] of receipts.entries()) {
      assert.equal(follower.versions[version - 1].changes[0].key, `a:${n}`, 'each got the version of its own change');
    }
    assert.ok(follower.frames.filter((frame) => frame.type === 'changes').length < 100);
    await follower.close();
  });

  await t.test('a replica whose broker was evicted hears what happened meanwhile', async () => {
    await origin.put('title:77', { n: 1 });
    const follower = await new Follower(broker).connect();
    await follower.until(() => follower.versions.some((row) => row.changes[0].key === 'title:77'));
    assert.deepEqual((await broker.read('title:77', { after: follower.position })).json, { n: 1 });
    await worker.evictDurableObject('Broker', { name: 'tv', webSockets: 'close' });
    await follower.until(() => follower.closed);
    await origin.put('title:77', { n: 2 });
    await follower.connect();
    await follower.until(() => follower.versions.filter((row) => row.changes[0].key === 'title:77').length === 2);
    assert.deepEqual((await broker.read('title:77', { after: follower.position })).json, { n: 2 });
    const { json } = await broker.call('GET', '/followers', { token: TOKENS.admin });
    assert.equal(json.followers.filter((one) => one.replica).length, 1);
    await follower.close();
  });
});

// The log over time: sealed, folded, forgotten, restored, begun anew; and hundreds of thousands of versions of it.

import assert from 'node:assert/strict';
import { cpSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';

import { Events } from './events.mjs';
import { Follower } from './follower.mjs';
import { freePort, newsreel, startDev, startSystem, temporaryFolder, TOKENS, wrapped } from './system.mjs';

const NDJSON = { 'content-type': 'application/x-ndjson' };
/** A log that folds early, so that a few thousand versions show what years would. */
const SHORT = { LOG_SEGMENT_BYTES: '8192', LOG_KEEP_BYTES: '65536' };

/** How long a question waits that is asked until an alarm has done its work. */
const POLL_MS = 50;

/** How long the longest log is. `scripts/test long` plays a million versions. */
const VERSIONS = process.env.NEWSREEL_LONG ? 1_000_000 : 200_000;

/** Publishes one version per line; returns the receipts. */
async function publishMany(broker, lines, catalog) {
  const body = lines.map((line) => JSON.stringify(line)).join('\n');
  const { status, text } = await broker.publishRaw(body, { headers: NDJSON, catalog });
  assert.equal(status, 200, text.slice(0, 300));
  return text.trim().split('\n').map((line) => JSON.parse(line));
}

/** Asks for the status until it is as wanted: no event announces the work of the alarm. */
async function untilStatus(broker, catalog, wanted, within = 60_000) {
  const deadline = Date.now() + within;
  for (;;) {
    const status = await broker.status(catalog);
    if (wanted(status)) return status;
    assert.ok(Date.now() < deadline, `not in time: ${JSON.stringify(status)}`);
    await setTimeout(POLL_MS);
  }
}

/** Returns the version of the last line of each key; the lines are versions from `first` on. */
function newestOf(lines, first) {
  return new Map(lines.map(({ key }, index) => [key, first + index]));
}

/** Walks the pages from a position, folds and all; returns what they said and where they ended. */
async function walk(broker, catalog, { epoch = '', version = 0, hash = '' } = {}) {
  let at = { epoch, version, hash };
  const heard = { versions: [], folded: [] };
  for (let fold = ''; ; ) {
    const query = `?epoch=${at.epoch}&since=${at.version}&hash=${at.hash}&fold=${fold}`;
    const { status, json, text } = await broker.changes(query, { catalog });
    assert.equal(status, 200, text);
    heard.versions.push(...json.versions);
    heard.folded.push(...(json.changes ?? []));
    fold = json.next ?? '';
    if (json.more) continue;
    at = { epoch: json.epoch, version: json.to, hash: json.hash };
    if (json.to === json.head) return { ...heard, at };
  }
}

test('a log that folds', async (t) => {
  const { broker, worker } = await startSystem(t, { origin: false, vars: SHORT });
  const evict = (catalog) => worker.evictDurableObject('Broker', { name: catalog, webSockets: 'hibernate' });

  await t.test('G5: whoever comes from before the tail gets the fold, then the rest', async () => {
    const catalog = 'folds';
    const early = await new Follower(broker, { catalog }).connect();
    const positions = [];
    const lines = Array.from({ length: 3000 }, (_, n) => ({ key: `title:${n % 50}`, tags: [`t-${n % 7}`] }));
    for (let from = 0; from < lines.length; from += 500) {
      await publishMany(broker, lines.slice(from, from + 500), catalog);
      await early.reached(from + 500);
      positions.push({ ...early.position });
    }
    await untilStatus(broker, catalog, (status) => status.oldest > 1000);
    const expected = newestOf(lines, 1);
    for (const topics of [[], ['title:1'], ['nothing:']]) {
      const follower = await new Follower(broker, { catalog, topics }).connect();
      await follower.reached(3000);
      const passing = [...expected].filter(([key]) => topics.every((topic) => key.startsWith(topic)));
      assert.deepEqual(follower.newest(), new Map(passing.sort(([, a], [, b]) => a - b)), `${topics}`);
      assert.equal(follower.resets, 0);
      await follower.close();
    }
    for (const position of positions) {
      const follower = new Follower(broker, { catalog });
      follower.position = position;
      // The log may go on folding meanwhile.
      const tails = [(await broker.status(catalog)).oldest];
      await follower.connect();
      tails.push((await broker.status(catalog)).oldest);
      assert.equal(follower.resets, 0, `${position.version} is on the log`);
      const folded = follower.frames.some((frame) => frame.type === 'fold');
      const allowed = tails.map((oldest) => position.version < oldest - 1);
      assert.ok(allowed.includes(folded), `${position.version}, the tail was ${tails}: ${folded}`);
      for (const [key, version] of expected) {
        if (version > position.version) assert.equal(follower.newest().get(key), version);
      }
      await follower.close();
    }
    const wrong = new Follower(broker, { catalog });
    wrong.position = { ...positions[0], hash: positions[1].hash };
    await wrong.connect();
    assert.equal(wrong.resets, 1, 'G7: a folded position is checked by its hash too');
    await wrong.close();
    const events = new Events(broker, { catalog });
    const { epoch, version } = positions[0];
    events.last = `${epoch}:${version}:${positions[1].hash}`;
    await events.connect();
    await events.until(() => events.events.length > 0);
    assert.deepEqual([events.events[0].type, events.version], ['reset', 3000], 'and so it is of events');
    events.leave();
    await early.close();
  });

  await t.test('pages have the fold too', async () => {
    const { versions, folded, at } = await walk(broker, 'folds');
    assert.equal(at.version, 3000);
    assert.equal(versions.at(-1).version, 3000);
    assert.ok(folded.length > 0 && folded.length <= 50);
    assert.ok(versions[0].version > 1000 && versions[0].version <= (await broker.status('folds')).oldest);
    const reset = await broker.changes(`?epoch=${at.epoch}&since=7&hash=0011223344556677`, { catalog: 'folds' });
    assert.equal(reset.json.code, 'reset');
  });

  await t.test('hard, soft and remove are kept apart, and a wide change covers what is below it', async () => {
    const catalog = 'kinds';
    const kinds = [
      { key: 'title:1', tags: ['a'] }, { key: 'title:1', tags: ['b'] }, { key: 'title:1', soft: true },
      { key: 'title:2', op: 'remove' }, { key: 'live:1' }, { tag: 'x' }, { prefix: 'live:' }, { key: 'live:2' },
    ];
    await publishMany(broker, kinds, catalog);
    for (let round = 0; round < 4; round += 1) {
      const filler = Array.from({ length: 500 }, (_, n) => ({ key: `filler:${n % 10}`, tags: ['x'.repeat(80)] }));
      await publishMany(broker, filler, catalog);
    }
    await untilStatus(broker, catalog, (status) => status.oldest > kinds.length);
    const { folded } = await walk(broker, catalog);
    assert.deepEqual(folded.filter(({ key }) => !key?.startsWith('filler:')), [
      { version: 2, key: 'title:1', tags: ['a', 'b'] },
      { version: 3, key: 'title:1', soft: true, tags: ['a', 'b'] },
      { version: 4, key: 'title:2', op: 'remove' },
      { version: 6, tag: 'x' },
      { version: 7, prefix: 'live:' },
      { version: 8, key: 'live:2' },
    ]);
  });

  await t.test('G5: the fold of many targets comes in parts, each of so many changes at most', async () => {
    const catalog = 'wide';
    const targets = 18_000;
    const lines = Array.from({ length: targets }, (_, n) => ({ key: `title:${n}` }));
    for (const from of [0, 9_000]) await publishMany(broker, lines.slice(from, from + 9_000), catalog);
    await untilStatus(broker, catalog, (status) => status.oldest > 16_000);
    const follower = await new Follower(broker, { catalog }).connect();
    const parts = follower.frames.filter((frame) => frame.type === 'fold').map((frame) => frame.changes.length);
    assert.ok(parts.every((changes) => changes <= 4_000), `${parts}`);
    assert.equal(follower.folded.length + follower.versions.length, targets, 'each once, whatever part it is in');
    assert.equal(follower.newest().size, targets);
    await follower.close();
    const { folded, versions, at } = await walk(broker, catalog);
    assert.equal(folded.length + versions.length, targets, 'and by pages');
    assert.equal(at.version, targets);
  });

  await t.test('E1: a page that goes on with a fold of the epoch before is a reset', async () => {
    const catalog = 'wide';
    const begun = await broker.changes('?since=0', { catalog });
    assert.ok(begun.json.more);
    const { json: anew } = await broker.call('POST', '/epochs', { token: TOKENS.admin, catalog });
    const { status, json } = await broker.changes(`?since=0&fold=${begun.json.next}`, { catalog });
    assert.equal(status, 410, 'whoever holds a part of it has to forget that');
    assert.deepEqual([json.code, json.reason, json.epoch], ['reset', 'another epoch', anew.epoch]);
    assert.equal((await broker.changes('?since=0', { catalog })).status, 200);
  });

  await t.test('G1 to G6 while publishes, evictions and folding happen', async () => {
    const catalog = 'churn';
    const followers = [await new Follower(broker, { catalog }).connect(), new Follower(broker, { catalog, topics: ['b:'] })];
    await followers[1].connect();
    const lines = [];
    for (let round = 0; round < 30; round += 1) {
      const more = Array.from({ length: 200 }, (_, n) => ({ key: `${'ab'[n % 2]}:${(round * 7 + n) % 90}` }));
      lines.push(...more);
      await Promise.all([publishMany(broker, more, catalog), round % 3 === 0 ? evict(catalog).catch(() => {}) : undefined]);
      if (round % 4 === 1) {
        // One leaves in the middle and comes back from where it was.
        await followers[0].close();
        await followers[0].connect();
      }
      if (round % 5 === 2) followers.push(await new Follower(broker, { catalog }).connect());
    }
    const { position, oldest } = await broker.status(catalog);
    assert.ok(oldest > 1, 'it folded meanwhile');
    const last = await broker.publish({ all: true }, { catalog });
    for (const follower of followers) {
      await follower.reached(last.version);
      assert.equal(follower.resets, 0);
      const expected = newestOf(lines, 1);
      for (const [key, version] of expected) {
        if (follower.topics.every((topic) => key.startsWith(topic))) {
          assert.equal(follower.newest().get(key), version, key);
        }
      }
      await follower.close();
    }
    assert.match(position, /:6000:/);
  });
});

/** A log that forgets at once, with entries that live even shorter. */
const FORGETFUL = {
  ...SHORT,
  LOG_KEEP_BYTES: '8192',
  FORGET_AFTER_MS: '1000',
  POLICY: JSON.stringify(
    Object.fromEntries(
      ['embedding', 'availability', 'trending', 'live', 'other'].map((name) => [name, { ttl_ms: 500, stale_for_ms: 0 }]),
    ),
  ),
};

for (const [what, vars, statements] of [
  ['sealing and folding', SHORT, 7],
  ['forgetting', FORGETFUL, 9],
]) {
  test(`${what} that fails at any statement leaves a log that can be read, and goes on`, async (t) => {
    const { broker, worker } = await startSystem(t, { origin: false, vars, config: wrapped(t, 'upkeep.worker.mjs') });
    const catalog = 'fails';
    const object = (await worker.getEnv()).BROKER.getByName(catalog);
    const keys = [];
    for (let failed = []; failed.length < statements; ) {
      assert.ok(keys.length < 30_000, `only these have failed: ${failed}`);
      // Some keys come again and again, some only now and then: those are found in the fold.
      // A soft change leaves the fold when a later one of its key is folded.
      const lines = Array.from({ length: 300 }, (_, n) => ({
        key: `title:${n % 7 === 0 ? (keys.length + n) % 900 : n % 9}`,
        soft: n % 10 === 3,
      }));
      await publishMany(broker, lines, catalog);
      keys.push(...lines.map(({ key }) => key));
      failed = await (await object.fetch('http://broker/alarm')).json();
      const { versions, folded, at } = await walk(broker, catalog);
      assert.equal(at.version, keys.length);
      const to = at.version - versions.length;
      assert.deepEqual(versions.map(({ changes: [{ key }] }) => key), keys.slice(to), 'the tail is whole');
      const newest = newestOf(keys.slice(0, to).map((key) => ({ key })), 1);
      // The broker may go on folding during the walk: of each key the newest version counts.
      const heard = new Map(folded.map(({ key, version }) => [key, version]));
      for (const [key, version] of heard) assert.equal(version, newest.get(key), key);
      if (vars === SHORT) assert.equal(heard.size, newest.size, 'and so is the fold');
    }
    await object.fetch('http://broker/alarm');
    const { oldest } = await broker.status(catalog);
    assert.ok(oldest > 1, 'it went on');
  });
}

test('a log forgets past its horizon', async (t) => {
  const { broker } = await startSystem(t, { origin: false, vars: FORGETFUL });
  const catalog = 'forgets';
  const follower = await new Follower(broker, { catalog }).connect();
  await publishMany(broker, [{ key: 'old:1' }, { key: 'old:2' }], catalog);
  await follower.reached(2);
  await follower.close();
  const filler = (n) => ({ key: `title:${n % 10}`, tags: ['x'.repeat(100)] });
  for (let n = 0; n < 3; n += 1) await publishMany(broker, Array.from({ length: 500 }, (_, i) => filler(i)), catalog);
  // The alarm forgets in its own time; from then on the position is of nothing that is kept.
  const { epoch, hash } = follower.position;
  const gone = async () => (await broker.changes(`?epoch=${epoch}&since=2&hash=${hash}`, { catalog })).status;
  const deadline = Date.now() + 60_000;
  while ((await gone()) !== 410) {
    assert.ok(Date.now() < deadline, 'forgotten in time');
    await setTimeout(POLL_MS);
  }
  await follower.connect();
  assert.equal(follower.resets, 1, 'G7: a reset, never silence');
  assert.match(follower.frames.find((frame) => frame.type === 'reset').reason, /older than anything kept/);
  const fresh = await new Follower(broker, { catalog }).connect();
  assert.ok(!fresh.newest().has('old:1'), 'and what only it knew is gone');
  assert.equal(fresh.position.version, 1502);
  await Promise.all([follower.close(), fresh.close()]);
});

for (const [what, name, value] of [
  ['a horizon that is shorter than an entry lives', 'FORGET_AFTER_MS', '1000'],
  ['a segment of nothing', 'LOG_SEGMENT_BYTES', '0'],
  ['a number that is none', 'SLOW_BYTES', '4 MiB'],
  ['a number that is not whole, without quotes', 'LOG_KEEP_BYTES', 0.5],
]) {
  test(`${what} is refused`, async (t) => {
    const { broker } = await startSystem(t, { origin: false, vars: { [name]: value } });
    const { status, json } = await broker.publishRaw('{"key":"a:1"}');
    assert.equal(status, 500);
    assert.equal(json.code, 'misconfigured');
    assert.match(json.detail, new RegExp(name));
  });
}

test('new epochs', async (t) => {
  const { broker, worker } = await startSystem(t, { origin: false });
  const newEpoch = (catalog, token = TOKENS.admin) => broker.call('POST', '/epochs', { token, catalog });

  await t.test('E1: an operator begins one: the log is empty and everyone is reset', async () => {
    const catalog = 'anew';
    const before = await broker.publish({ key: 'a:1' }, { catalog });
    const followers = [new Follower(broker, { catalog }), new Follower(broker, { catalog, topics: ['a:'] })];
    for (const follower of followers) await follower.connect();
    assert.equal((await newEpoch(catalog, TOKENS.publish)).status, 403);
    const { status, json } = await newEpoch(catalog);
    assert.equal(status, 200);
    assert.equal(json.previous, before.position);
    assert.equal(json.version, 0);
    assert.ok(json.epoch > before.epoch, 'the greater epoch is the newer');
    for (const follower of followers) {
      await follower.until(() => follower.resets === 1);
      assert.equal(follower.position.epoch, json.epoch);
      assert.equal(follower.position.version, 0);
    }
    await worker.evictDurableObject('Broker', { name: catalog, webSockets: 'hibernate' });
    const after = await broker.publish({ key: 'a:2' }, { catalog });
    assert.equal(after.epoch, json.epoch);
    assert.equal(after.version, 1);
    for (const follower of followers) {
      await follower.reached(1);
      await follower.close();
      const [epoch, version, hash] = before.position.split(':');
      follower.position = { epoch, version: Number(version), hash };
      await follower.connect();
      assert.equal(follower.resets, 2, 'a position of the epoch before');
      assert.equal(follower.position.version, 1);
      await follower.close();
    }
    const page = await broker.changes(`?epoch=${before.epoch}&since=1`, { catalog });
    assert.equal(page.status, 410);
  });

  await t.test('D3: a key used before the epoch still has its one effect', async () => {
    const catalog = 'kept';
    const headers = { 'idempotency-key': 'once' };
    const first = await broker.publish({ key: 'a:1' }, { catalog, headers });
    await newEpoch(catalog);
    assert.deepEqual(await broker.publish({ key: 'a:1' }, { catalog, headers }), first);
    assert.equal((await broker.status(catalog)).version, 0);
  });

  await t.test('`newsreel admin new-epoch` does the same', async () => {
    const flags = ['--broker', broker.url, '--catalog', 'by-hand', '--token', TOKENS.admin];
    const before = await broker.publish({ key: 'a:1' }, { catalog: 'by-hand' });
    const { code, stdout, stderr } = await newsreel(...flags, 'admin', 'new-epoch');
    assert.equal(code, 0, stderr);
    const { position, epoch } = await broker.status('by-hand');
    assert.equal(stdout.trim(), position);
    assert.ok(epoch > before.epoch);
  });
});

test('G7, E1: a log that was restored to an older state', async (t) => {
  const [port, originPort] = [await freePort(), await freePort()];
  const place = { state: temporaryFolder(t), port, originPort };
  const copy = join(temporaryFolder(t), 'older');
  let { broker, kill } = await startDev(t, place);
  const restart = async () => ({ broker, kill } = await startDev(t, place));
  const storage = join(place.state, 'v3/do', readdirSync(join(place.state, 'v3/do')).find((name) => /Broker/.test(name)));
  for (let n = 1; n <= 5; n += 1) await broker.publish({ key: `a:${n}` });
  await kill();
  cpSync(storage, copy, { recursive: true });

  await restart();
  const follower = new Follower(broker);
  for (let n = 6; n <= 9; n += 1) await broker.publish({ key: `before:${n}` });
  await follower.connect();
  assert.equal(follower.position.version, 9);
  // The replica hears it all too.
  const held = await broker.status();
  await broker.read('title:1', { after: held });
  await kill();
  await follower.until(() => follower.closed);

  rmSync(storage, { recursive: true });
  cpSync(copy, storage, { recursive: true });
  await restart();
  follower.broker = broker;
  for (let n = 6; n <= 12; n += 1) await broker.publish({ key: `after:${n}` });
  const page = await broker.changes(`?epoch=${held.epoch}&since=9&hash=${follower.position.hash}`);
  assert.equal(page.status, 410, 'a page says so');
  assert.equal(page.json.reason, 'another history');
  await follower.connect();
  assert.equal(follower.resets, 1, 'the same version of another history is no position');
  assert.equal(follower.position.version, 12);

  // A replica is believed: its position proves that the log is not the one it was.
  const { epoch } = await broker.status();
  await broker.read('title:1');
  await follower.until(() => follower.position.epoch > epoch);
  const after = await broker.status();
  assert.ok(after.epoch > epoch);
  const receipt = await broker.publish({ key: 'title:1' });
  await follower.reached(receipt.version);
  // There is no origin here; that the reader knows the version is enough.
  const read = await broker.read('title:1', { after: receipt });
  assert.equal(read.json.code, 'origin-failed', read.text);
  await follower.close();
});

test(`${VERSIONS} versions over ten thousand targets: what is stored grows with the targets`, async (t) => {
  const keep = 16 * VERSIONS;
  const { broker } = await startSystem(t, { origin: false, vars: { LOG_KEEP_BYTES: String(keep) } });
  const catalog = 'years';
  const body = (from) => Array.from({ length: 10_000 }, (_, n) => `{"key":"title:${(from + n * 7919) % 10_000}"}`).join('\n');
  const sizes = [];
  const batches = VERSIONS / 10_000;
  for (let batch = 1; batch <= batches; batch += 1) {
    const { status, text } = await broker.publishRaw(body(batch), { headers: NDJSON, catalog });
    assert.equal(status, 200, text.slice(0, 200));
    if (batch % (batches / 4) === 0) sizes.push((await broker.status(catalog)).bytes);
  }
  const { version, bytes } = await untilStatus(broker, catalog, (status) => status.oldest > 0.7 * VERSIONS);
  assert.equal(version, VERSIONS);
  t.diagnostic(`MiB after each quarter: ${sizes.map((size) => (size / 2 ** 20).toFixed(1))}; at rest ${(bytes / 2 ** 20).toFixed(1)}`);
  // The versions kept in full, each target, 8 bytes a version until the horizon; and room for SQLite's free pages.
  const most = keep + 10_000 * 300 + version * 8 + (4 << 20);
  assert.ok(bytes < most, `${bytes} bytes, not ${most}`);
  const follower = await new Follower(broker, { catalog }).connect();
  assert.equal(follower.position.version, VERSIONS);
  assert.equal(follower.newest().size, 10_000);
  const { to } = follower.frames.findLast((frame) => frame.type === 'fold');
  assert.equal(follower.versions.length, VERSIONS - to, 'the rest came in full');
  await follower.close();
});

// The cache of the WASM client: drops exactly what changed, never gives a late fill for a fresh answer, and says how good
// each answer is. Before a scripted broker; its rules are the core's, tested there.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { EdgeCache, NewsreelError, QUICK, connect, entry } from './client.mjs';
import { EPOCH, FakeBroker, NEWER, hashOf } from './fake-broker.mjs';
import { randomFrom } from './random.mjs';

/** A feed that is live at version 3, a cache on it, and an origin whose values say how often each key was fetched. */
async function cached(t, { policy, cache: options, ...connectOptions } = {}) {
  const broker = await FakeBroker.start(t);
  const feed = await connect(broker.url, { catalog: 'tv', timing: QUICK, transport: 'websocket', ...connectOptions });
  t.after(() => feed.close());
  const cache = new EdgeCache({ feed, policy, ...options });
  const connection = await broker.live(3);
  await feed.live();
  const fetched = new Map();
  const tagsOf = new Map();
  const fetcher = (key) => {
    fetched.set(key, (fetched.get(key) ?? 0) + 1);
    return entry(`${key} ${fetched.get(key)}`, { tags: tagsOf.get(key) });
  };
  return { broker, feed, cache, connection, fetcher, fetched, tagsOf, publish: publisher(broker, feed, connection) };
}

/** Returns what publishes one version with these changes, and waits until it is heard. */
function publisher(broker, feed, connection) {
  return async (...changes) => {
    const from = broker.head;
    broker.head += 1;
    const versions = [{ version: broker.head, at: 1, changes }];
    connection.send({ type: 'changes', from, to: broker.head, hash: hashOf(broker.head), versions });
    await feed.waitFor(broker.head);
    return broker.head;
  };
}

/** A fetcher whose calls a test settles. */
function slow() {
  const calls = [];
  const wanted = [];
  const fetcher = (key, { signal }) =>
    new Promise((resolve, reject) => {
      const call = { key, signal, resolve, reject };
      if (wanted.length > 0) wanted.shift()(call);
      else calls.push(call);
    });
  const call = () => (calls.length > 0 ? Promise.resolve(calls.shift()) : new Promise((resolve) => wanted.push(resolve)));
  return { fetcher, call, calls };
}

test('what changed is fetched again, and nothing else', async (t) => {
  const { cache, fetcher, publish, tagsOf } = await cached(t);
  const keys = ['title:1', 'title:12', 'title:2', 'live:1'];
  tagsOf.set('title:2', ['hulu']).set('live:1', ['hulu', 'quay']);
  const times = async () => {
    const values = await Promise.all(keys.map((key) => cache.get(key, fetcher)));
    return values.map((value) => Number(value.split(' ')[1]));
  };
  assert.deepEqual(await times(), [1, 1, 1, 1]);
  assert.deepEqual(await times(), [1, 1, 1, 1]);
  await publish({ key: 'title:1' });
  assert.deepEqual(await times(), [2, 1, 1, 1]);
  await publish({ tag: 'hulu' });
  assert.deepEqual(await times(), [2, 1, 2, 2]);
  await publish({ prefix: 'title:1' });
  assert.deepEqual(await times(), [3, 2, 2, 2]);
  await publish({ all: true });
  assert.deepEqual(await times(), [4, 3, 3, 3]);
  await publish({ key: 'title:3' }, { tag: 'netflix' }, { prefix: 'title:9' });
  assert.deepEqual(await times(), [4, 3, 3, 3]);
  const { refused } = cache.stats();
  assert.deepEqual(refused, { key: 1, tag: 2, prefix: 2, everything: 4, soft: 0, expired: 0 });
});

test('S2: a fill that a change overtook is neither kept nor given to whoever reads after it', async (t) => {
  const { cache, publish } = await cached(t);
  for (const [nth, change] of [{ key: 'title:1' }, { tag: 'hulu' }, { prefix: 'title:' }, { all: true }].entries()) {
    const { fetcher, call } = slow();
    cache.clear();
    const before = cache.get('title:1', fetcher);
    const first = await call();
    await publish(change);
    const after = cache.get('title:1', fetcher);
    first.resolve(entry('old', { tags: ['hulu'] }));
    (await call()).resolve(entry(`new ${nth}`, { tags: ['hulu'] }));
    const values = await Promise.all([before, after]);
    assert.deepEqual(values, [`new ${nth}`, `new ${nth}`], JSON.stringify(change));
    assert.equal((await cache.read('title:1', fetcher)).value, `new ${nth}`);
  }
});

test('reads at once share a fetch; who leaves takes nobody with it, and the last one ends it', async (t) => {
  const { cache } = await cached(t);
  const { fetcher, call, calls } = slow();
  const leaves = new AbortController();
  const left = cache.get('title:1', fetcher, { signal: leaves.signal });
  const stays = cache.read('title:1', fetcher);
  const one = await call();
  while (cache.stats().shared === 0) await new Promise(setImmediate);
  leaves.abort(new Error('enough'));
  await assert.rejects(left, { message: 'enough' });
  assert.equal(one.signal.aborted, false);
  one.resolve('value');
  const { value, shared } = await stays;
  assert.deepEqual([value, shared, calls.length, cache.stats().fetches], ['value', true, 0, 1]);

  const last = new AbortController();
  const given = cache.get('title:2', fetcher, { signal: last.signal });
  const { signal } = await call();
  last.abort(new Error('enough'));
  await assert.rejects(given, { message: 'enough' });
  assert.equal(signal.aborted, true);
});

test('a soft change and a life that is over: served, marked, and fetched behind the answer', async (t) => {
  const { cache, fetcher, publish } = await cached(t);
  await cache.get('title:1', fetcher);
  await publish({ key: 'title:1', soft: true });
  const { value, freshness, tier } = await cache.read('title:1', fetcher);
  assert.deepEqual([value, freshness, tier], ['title:1 1', 'revalidating', 'memory']);
  while ((await cache.read('title:1', fetcher)).freshness !== 'fresh') await new Promise(setImmediate);
  assert.equal(await cache.get('title:1', fetcher), 'title:1 2');

  const short = () => entry('short', { ttlMs: 1 });
  await cache.get('title:2', short);
  let answer;
  do {
    await new Promise(setImmediate);
    answer = await cache.read('title:2', short);
  } while (answer.freshness === 'fresh');
  assert.deepEqual([answer.freshness, answer.value], ['revalidating', 'short']);
  await cache.get('title:3', () => entry('none', { ttlMs: 0 }));
  assert.equal(cache.stats().entries, 2, 'what has no life is not kept');
});

test('a fetcher that fails: its error, and the old value only where the class says so', async (t) => {
  const { cache, fetcher, publish } = await cached(t, { policy: { fare: { beyondBound: 'fail' } } });
  const fails = () => Promise.reject(new Error('the origin sleeps'));
  await assert.rejects(cache.get('title:1', fails), { message: 'the origin sleeps' });
  assert.equal(cache.size, 0);
  for (const key of ['title:1', 'fare:1']) await cache.get(key, fetcher);
  await publish({ all: true });
  const { value, freshness } = await cache.read('title:1', fails);
  assert.deepEqual([value, freshness], ['title:1 1', 'stale']);
  await assert.rejects(cache.get('fare:1', fails), { message: 'the origin sleeps' });
  await publish({ key: 'title:1', op: 'remove' }, { key: 'fare:1' });
  assert.equal(await cache.get('title:1', fails), undefined, 'the log says that it is gone');
  assert.equal(await cache.get('fare:1', fetcher), 'fare:1 2');
  assert.deepEqual([cache.stats().fetchesFailed, cache.stats().originFailed], [3, 2]);
});

test('a removal is the answer without a fetch, until the key is published again', async (t) => {
  const { cache, fetcher, fetched, publish } = await cached(t);
  await cache.get('title:1', fetcher);
  await publish({ key: 'title:1', op: 'remove' });
  const { value, tier } = await cache.read('title:1', fetcher);
  assert.deepEqual([value, tier, fetched.get('title:1')], [undefined, 'log', 1]);
  await publish({ key: 'title:1' });
  assert.equal(await cache.get('title:1', fetcher), 'title:1 2');
});

test('what is not found is kept too, and ends with any tag', async (t) => {
  const { cache, publish } = await cached(t);
  let asked = 0;
  const nothing = () => ((asked += 1), undefined);
  for (let reads = 0; reads < 3; reads++) assert.equal(await cache.get('title:1', nothing), undefined);
  assert.equal(asked, 1);
  await publish({ tag: 'whatever' });
  await cache.get('title:1', nothing);
  assert.equal(asked, 2);
  const values = [0, '', false, null, entry(null, { found: true })];
  for (const [nth, value] of values.entries()) assert.equal(await cache.get(`odd:${nth}`, () => value), value?.value === undefined ? value : null);
});

test('E1: a reset forgets everything, also what is on its way', async (t) => {
  const { broker, feed, cache, connection, fetcher } = await cached(t);
  await cache.get('title:1', fetcher);
  const { fetcher: late, call } = slow();
  const waiting = cache.get('title:2', late);
  const first = await call();
  [broker.epoch, broker.head] = [NEWER, 0];
  connection.send({ type: 'reset', epoch: NEWER, version: 0, hash: hashOf(0), reason: 'a new epoch' });
  await feed.waitFor(`${NEWER}:0`);
  assert.equal(cache.size, 0);
  first.resolve('of the old epoch');
  (await call()).resolve('of the new one');
  assert.equal(await waiting, 'of the new one');
  assert.equal(await cache.get('title:1', fetcher), 'title:1 2');
});

test('a bound that cannot be kept: marked, failed or fetched anew, as the class says', async (t) => {
  const policy = {
    stale: { lagBoundMs: 250, beyondBound: 'stale' },
    fail: { lagBoundMs: 250, beyondBound: 'fail' },
    fetch: { lagBoundMs: 250, beyondBound: 'fetch' },
  };
  const { broker, feed, cache, connection, fetcher } = await cached(t, { policy, cache: { waitMs: 20 } });
  const keys = ['stale:1', 'fail:1', 'fetch:1'];
  for (const key of keys) await cache.get(key, fetcher);
  broker.refuse = () => 'cut';
  connection.cut();
  let marked;
  do {
    await new Promise(setImmediate);
    marked = await cache.read('stale:1', fetcher);
  } while (marked.freshness === 'fresh');
  assert.deepEqual([marked.value, marked.freshness], ['stale:1 1', 'stale']);
  assert.ok(marked.lagMs > 250);
  await assert.rejects(cache.get('fail:1', fetcher), { code: 'bound-not-kept' });
  assert.equal(await cache.get('fetch:1', fetcher), 'fetch:1 2');
  broker.refuse = () => undefined;
  await broker.live(3);
  await feed.live();
  const { value, freshness } = await cache.read('fail:1', fetcher, { waitMs: 5_000 });
  assert.deepEqual([value, freshness], ['fail:1 1', 'fresh']);
});

test('bound 0 asks the broker before each answer, once for all who wait', async (t) => {
  const { cache, connection, fetcher } = await cached(t);
  await cache.get('title:1', fetcher);
  const { proofs } = cache.stats();
  const answers = await Promise.all(Array.from({ length: 50 }, () => cache.read('title:1', fetcher, { boundMs: 0 })));
  assert.ok(answers.every(({ tier, freshness, lagMs }) => tier === 'memory' && freshness === 'fresh' && lagMs < 1_000));
  assert.equal(cache.stats().proofs, proofs + 50);
  connection.pongs = false;
  await assert.rejects(cache.get('title:1', fetcher, { boundMs: 0, beyondBound: 'fail', waitMs: 10 }), { code: 'bound-not-kept' });
});

test('a version that was published is waited for, or the read fails', async (t) => {
  const { cache, fetcher, publish } = await cached(t);
  await cache.get('title:1', fetcher);
  const waiting = cache.get('title:1', fetcher, { minVersion: `${EPOCH}:4` });
  await publish({ key: 'title:1' });
  assert.equal(await waiting, 'title:1 2');
  await assert.rejects(cache.get('title:1', fetcher, { minVersion: `${EPOCH}:9`, waitMs: 5 }), { code: 'min-version' });
  await assert.rejects(cache.get('title:1', fetcher, { minVersion: 'nine' }), { code: 'bad-options' });
  await assert.rejects(cache.get('no class', fetcher), { code: 'bad-key' });
});

test('without a feed everything is fetched anew, and once there is one, kept', async (t) => {
  const { feed, fetcher } = await cached(t);
  const cache = new EdgeCache();
  assert.equal(await cache.get('title:1', fetcher), 'title:1 1');
  const { value, tier, lagMs } = await cache.read('title:1', fetcher);
  assert.deepEqual([value, tier, lagMs, cache.size], ['title:1 2', 'origin', Infinity, 0]);
  cache.attach(feed);
  assert.equal(await cache.get('title:1', fetcher), 'title:1 3');
  assert.equal(await cache.get('title:1', fetcher), 'title:1 3');
});

test('of a feed with topics only what it hears of is kept', async (t) => {
  const { cache, fetcher } = await cached(t, { topics: ['title:'] });
  for (const key of ['title:1', 'live:1', 'title:1', 'live:1']) await cache.get(key, fetcher);
  assert.deepEqual([await cache.get('title:1', fetcher), await cache.get('live:1', fetcher)], ['title:1 1', 'live:1 3']);
});

test('bounded by entries and by bytes: what was used longest ago goes first', async (t) => {
  const { feed, cache, fetcher } = await cached(t, { cache: { maxEntries: 3 } });
  for (const id of [1, 2, 3, 1, 4]) await cache.get(`title:${id}`, fetcher);
  assert.equal(cache.stats().evicted, 1);
  assert.deepEqual([await cache.get('title:1', fetcher), await cache.get('title:2', fetcher)], ['title:1 1', 'title:2 2']);
  const small = new EdgeCache({ feed, maxBytes: 100_000 });
  for (let id = 0; id < 100; id++) await small.get(`title:${id}`, () => 'x'.repeat(5_000));
  const { bytes, entries } = small.stats();
  assert.ok(bytes <= 100_000 && entries > 5, `${entries} of ${bytes} bytes`);
  await small.get('large:1', () => entry('tiny', { size: 200_000 }));
  assert.equal(small.stats().entries, entries, 'what has no room is not kept, and drives nobody out');
});

test('what is deleted or cleared is void on its way too', async (t) => {
  const { cache } = await cached(t);
  for (const [key, drop] of [['title:1', () => cache.delete('title:1')], ['title:2', () => cache.clear()]]) {
    const { fetcher, call } = slow();
    const waiting = cache.get(key, fetcher);
    const first = await call();
    drop();
    first.resolve('before');
    (await call()).resolve('after');
    assert.equal(await waiting, 'after');
  }
  assert.deepEqual([cache.delete('title:2'), cache.delete('title:2'), cache.delete('title:1')], [true, false, false]);
});

test('floors rise before any handler runs, for every cache, and do not grow with time', async (t) => {
  const seen = [];
  let cache;
  let fetcher;
  const onChanges = async () => seen.push(await cache.get('title:1', fetcher));
  const all = await cached(t, { onChanges });
  ({ cache, fetcher } = all);
  const other = new EdgeCache({ feed: all.feed });
  await cache.get('title:1', fetcher);
  await other.get('title:1', fetcher);
  await all.publish({ key: 'title:1' });
  assert.deepEqual(seen, ['title:1 3']);
  assert.equal(await other.get('title:1', fetcher), 'title:1 4');
  for (let round = 0; round < 20; round++) {
    await all.publish(...Array.from({ length: 500 }, (_, id) => ({ key: `many:${round}-${id}` })));
  }
  assert.ok(other.stats().floors < 1_100, `${other.stats().floors} floors`);
});

test('a cache that is disposed answers nobody, and the feed goes on', async (t) => {
  const { feed, cache, fetcher, publish } = await cached(t);
  const { fetcher: late, call } = slow();
  const waiting = cache.get('title:1', late);
  const { signal } = await call();
  cache.dispose();
  cache.dispose();
  await assert.rejects(waiting, { code: 'closed' });
  await assert.rejects(cache.get('title:1', fetcher), { code: 'closed' });
  assert.equal(signal.aborted, true);
  const another = new EdgeCache({ feed });
  await publish({ key: 'title:1' });
  assert.equal(await another.get('title:1', fetcher), 'title:1 1');
});

test('ten thousand keys at once are fetched once each', async (t) => {
  const { cache, fetcher, fetched } = await cached(t);
  const keys = Array.from({ length: 10_000 }, (_, id) => `title:${id}`);
  await Promise.all([...keys, ...keys].map((key) => cache.get(key, fetcher)));
  assert.equal(fetched.size, 10_000);
  assert.ok([...fetched.values()].every((times) => times === 1));
});

test('options that cannot be are refused by name', () => {
  const refused = [
    [{ maxEntries: 0 }, /maxEntries/], [{ maxBytes: NaN }, /maxBytes/], [{ policy: { 'a:b': {} } }, /a:b/],
    [{ policy: { title: { ttlMs: -1 } } }, /ttlMs/], [{ policy: { title: { lagBoundMs: 3 } } }, /at least 250/],
    [{ policy: { title: { beyondBound: 'maybe' } } }, /maybe/], [{ policy: { title: { ttl: 3 } } }, /ttl/],
  ];
  for (const [options, says] of refused) {
    assert.throws(() => new EdgeCache(options), (error) => error instanceof NewsreelError && error.code === 'bad-options' && says.test(error.message));
  }
});

// --- At random ---

const KEYS = ['a:1', 'a:2', 'a:11', 'b:1', 'b:2'];
const TAGS = { 'a:1': ['x'], 'a:2': [], 'a:11': ['y'], 'b:1': ['x', 'y'], 'b:2': [] };

/** An origin that is obvious: the value of a key is how often it changed; and what of that was heard. */
class Model {
  values = new Map(KEYS.map((key) => [key, 0]));
  heard = new Map(KEYS.map((key) => [key, 0]));

  /** Changes the values that a change covers, and returns what is then heard with it. */
  change({ key, tag, prefix, all, soft }) {
    const covers = (one) => all || key === one || TAGS[one].includes(tag) || (prefix && one.startsWith(prefix));
    const covered = KEYS.filter(covers);
    for (const one of covered) this.values.set(one, this.values.get(one) + 1);
    const told = covered.map((one) => [one, this.values.get(one)]);
    return () => told.forEach(([one, value]) => soft || this.heard.set(one, Math.max(value, this.heard.get(one))));
  }
}

function randomChange(random) {
  const pick = (list) => list[Math.floor(random() * list.length)];
  const change = pick([{ key: pick(KEYS) }, { key: pick(KEYS) }, { tag: pick(['x', 'y', 'z']) }, { prefix: pick(['a:', 'a:1', 'b:2']) }, { all: true }]);
  return random() < 0.25 ? { ...change, soft: true } : change;
}

/** Reads, slow fills, changes, resets and drops in any order; checks each answer against the model. */
async function play(t, seed) {
  const random = randomFrom(seed);
  const { broker, feed, connection, cache } = await cached(t, { policy: { other: { lagBoundMs: 60_000 } } });
  const model = new Model();
  const pending = [];
  const fetcher = (key) => {
    // The worst an origin may do: it reads when it is asked, and answers whenever.
    const value = entry(model.values.get(key), { tags: TAGS[key], found: true });
    return new Promise((resolve, reject) => pending.push({ resolve: () => resolve(value), reject }));
  };
  const reads = [];
  const read = (key) => {
    const least = model.heard.get(key);
    const answer = cache.read(key, fetcher).then(
      ({ value, freshness }) => {
        const why = `seed ${seed}: ${key} is ${value} and ${freshness}, ${least} was heard before`;
        if (freshness === 'fresh') assert.ok(value >= least, why);
        else assert.ok(freshness === 'revalidating' ? value >= least : true, why);
      },
      (error) => assert.match(error.message, /down|overtook/),
    );
    reads.push(answer);
  };
  let version = broker.head;
  const say = async (frame, heard) => {
    connection.send(frame);
    await feed.waitFor(`${broker.epoch}:${version}`);
    heard();
  };
  const publish = (change) => {
    const heard = model.change(change);
    const from = version;
    broker.head = version += 1;
    const versions = [{ version, at: 1, changes: [change] }];
    return say({ type: 'changes', from, to: version, hash: hashOf(version), versions }, heard);
  };
  const settle = (nth) => {
    const [call] = pending.splice(nth, 1);
    if (random() < 0.1) call.reject(new Error('the origin is down'));
    else call.resolve();
  };
  for (let step = 0; step < 150; step++) {
    const dice = random();
    if (dice < 0.45) read(KEYS[Math.floor(random() * KEYS.length)]);
    else if (dice < 0.7 && pending.length > 0) settle(Math.floor(random() * pending.length));
    else if (dice < 0.9) await publish(randomChange(random));
    else if (dice < 0.93) cache.delete(KEYS[0]);
    else if (dice < 0.95) cache.clear();
    else if (dice < 0.97) {
      for (const key of KEYS) model.heard.set(key, model.values.get(key));
      await say({ type: 'reset', epoch: broker.epoch, version: (broker.head = version += 5), hash: hashOf(version) }, () => {});
    } else await new Promise(setImmediate);
  }
  let open = reads.length;
  void Promise.allSettled(reads).then(() => (open = 0));
  while (open > 0) {
    while (pending.length > 0) pending.shift().resolve();
    await new Promise(setImmediate);
  }
  await Promise.all(reads);
  return { cache, model, publish };
}

test('S2: whatever the order of reads, slow fills and changes, no answer is older than what was heard', { timeout: 60_000 }, async (t) => {
  const [first, count] = [Number(process.env.SEED ?? 1), Number(process.env.SEEDS ?? 20)];
  for (let seed = first; seed < first + count; seed++) {
    const { cache, model, publish } = await play(t, seed);
    // And when all is quiet: every kept entry is right, and one change costs one fetch.
    let fetches = 0;
    const now = (key) => ((fetches += 1), entry(model.values.get(key), { tags: TAGS[key], found: true }));
    const all = () => Promise.all(KEYS.map((key) => cache.get(key, now)));
    await publish({ all: true });
    await all();
    fetches = 0;
    await all();
    assert.equal(fetches, 0, `seed ${seed}: all is kept`);
    await publish({ key: 'a:1' });
    assert.deepEqual(await all(), KEYS.map((key) => model.values.get(key)));
    assert.equal(fetches, 1, `seed ${seed}: one was fetched`);
  }
});

// A whole catalogue and its history, while followers come and go: every follower ends where the origin is.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { catalogue, hundreds } from './catalogue.mjs';
import { Follower } from './follower.mjs';
import { newsreel, startSystem, temporaryFolder } from './system.mjs';

test('a catalogue and its history reach every follower and the edge', async (t) => {
  const { name, file, titles, days: all } = await catalogue(temporaryFolder(t));
  // `scripts/test long` plays every day.
  const days = process.env.NEWSREEL_LONG ? all : all.slice(-700);
  t.diagnostic(`${name}: ${titles} titles, ${days.length} days`);
  const { broker, origin, worker } = await startSystem(t);

  const steady = await new Follower(broker, { name: 'steady' }).connect();
  const loaded = await newsreel('load', file, '--origin', origin.url.replace('/tv', ''), '--catalog', 'tv');
  assert.equal(loaded.code, 0, loaded.stderr);
  const keys = new Set();
  await steady.until(() => {
    for (const row of steady.versions.splice(0)) for (const { key } of row.changes) keys.add(key);
    return keys.size >= titles;
  });
  assert.equal((await origin.list()).size, titles);
  const start = steady.position.version;

  // Three more followers: one connects anew now and then, one sleeps until the end, one starts from nothing at the end.
  const restless = await new Follower(broker, { name: 'restless' }).connect({ from: steady.position });
  const sleeper = await new Follower(broker, { name: 'sleeper' }).connect({ from: steady.position });
  await sleeper.close();
  const readers = [...keys].filter((_, n) => n % 97 === 0);
  const expected = new Map();
  for (const [index, [day, events]] of days.entries()) {
    const lines = new Map();
    for (const { id, tags, platforms } of events) {
      lines.set(`title:${id}`, { key: `title:${id}`, tags, value: { id, day, platforms } });
    }
    for (const [key, line] of lines) expected.set(key, line.value);
    await origin.putMany([...lines.values()]);
    if (index % 50 === 10) await restless.close();
    if (index % 50 === 20) await restless.connect();
    if (index % 40 === 5) await broker.read(readers[(index / 5) % readers.length | 0]);
    if (index % 400 === 300) {
      await steady.reached(start + index + 1);
      await worker.evictDurableObject('Broker', { name: 'tv', webSockets: 'hibernate' });
    }
  }
  const head = start + days.length;
  await steady.reached(head);
  assert.equal((await broker.status()).version, head, 'one version a day');
  if (restless.closed) await restless.connect();
  await restless.reached(head);
  await sleeper.connect();
  const late = await new Follower(broker, { name: 'late' }).connect();

  // Every follower's account of the days is the same, and it is what was published.
  const account = (follower) => follower.versions.filter((row) => row.version > start);
  assert.equal(account(steady).length, days.length);
  for (const follower of [restless, sleeper, late]) {
    assert.deepEqual(account(follower), account(steady), follower.name);
    assert.deepEqual(follower.position, steady.position, follower.name);
  }
  for (const [index, row] of account(steady).entries()) {
    const [, events] = days[index];
    const wanted = new Set(events.map(({ id }) => `title:${id}`));
    assert.deepEqual(new Set(row.changes.map(({ key }) => key)), wanted);
  }

  // The edge answers as the origin does: a part of what changed, and of what did not.
  const unchanged = readers.filter((key) => !expected.has(key));
  const changed = [...expected.keys()].filter((_, n) => n % 3 === 0);
  const asked = [...changed, ...unchanged];
  const check = async (key, value) => {
    assert.deepEqual(value, await origin.get(key), key);
    if (expected.has(key)) assert.deepEqual(value, expected.get(key), key);
  };
  // A hundred at once, and some of them alone.
  await inParallel(2, hundreds(asked), async (some) => {
    const { entries } = await broker.readMany(some, { after: steady.position });
    assert.deepEqual(entries.map(({ key, status }) => [key, status]), some.map((key) => [key, 200]));
    await inParallel(8, entries, ({ key, value }) => check(key, value));
  });
  await inParallel(8, asked.filter((_, n) => n % 20 === 0), async (key) => {
    const edge = await broker.read(key, { after: steady.position });
    assert.equal(edge.status, 200, key);
    await check(key, edge.json);
  });
  t.diagnostic(`${head} versions, ${asked.length} reads compared with the origin`);
  for (const follower of [steady, restless, sleeper, late]) await follower.close();
});

async function inParallel(workers, items, work) {
  const queue = items[Symbol.iterator]();
  const run = async () => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: workers }, run));
}

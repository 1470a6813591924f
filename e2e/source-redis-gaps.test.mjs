// `newsreel source redis` where something may have been missed, cannot be mapped, or is read by several.

import { deepStrictEqual as same, match, ok, strictEqual } from 'node:assert';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { until, versions } from './source.mjs';
import { Redis, RedisSource, servers } from './redis.mjs';
import { startBroker } from './served.mjs';
import { newsreel, temporaryFolder } from './system.mjs';

const MAP = `[[map]]
from = "catalog"
key = "title:{titleId}"
when = { type = ["TITLE_UPDATED", "TITLE_ADDED"] }
removed_when = { type = ["TITLE_REMOVED"] }
`;
const CHANNELS = MAP.replace('"catalog"', '"catalog:netflix:*"');
const EVENT = (titleId, type = 'TITLE_UPDATED') => JSON.stringify({ type, titleId: String(titleId), version: 47, platforms: ['netflix', 'hulu'] });

const add = (redis, id, stream = 'catalog', type = 'TITLE_UPDATED') => redis.run('XADD', stream, '*', 'type', type, 'titleId', String(id));
const wides = (source) => source.versions.filter(({ wide }) => wide).length;
const pending = async (redis) => (await redis.run('XPENDING', 'catalog', 'newsreel'))[0];
const keysOf = (all) => all.flatMap(({ changes }) => changes.map(({ key, prefix }) => key ?? prefix));

/** A source that has read what there is, on a stream with one entry. */
async function reading(t, bin, flags = []) {
  const [broker, redis] = [await startBroker(t), await Redis.start(t, bin)];
  const source = new RedisSource(t, { url: redis.url, broker: broker.url, map: MAP, flags: ['--stream', 'catalog', ...flags] }).start();
  await source.said(/following/);
  const first = await add(redis, 1);
  await source.published(({ id }) => id === first);
  await until(async () => (await pending(redis)) === 0, 'everything acknowledged');
  return { broker, redis, source, wide: wides(source) };
}

for (const { name, bin } of servers()) {
  const options = { timeout: 90_000 };

  test(`${name}: entries that were trimmed before they were read are published wide`, options, async (t) => {
    const { redis, source, wide } = await reading(t, bin);
    await source.kill('SIGTERM');
    for (let n = 0; n < 50; n += 1) await add(redis, n);
    await redis.run('XTRIM', 'catalog', 'MAXLEN', '10');
    source.start();
    const last = await add(redis, 'last');
    await source.published(({ id }) => id === last);
    strictEqual(wides(source), wide + 1);
    match(source.log, /trimmed before they were read/);
    await source.kill('SIGTERM');
    strictEqual(await pending(redis), 0, 'what is durable was acknowledged before the end');
    await add(redis, 'one more');
    await redis.run('XTRIM', 'catalog', 'MAXLEN', '0');
    source.start();
    await source.said(/trimmed before/, 2);
    await until(() => wides(source) === wide + 2, 'a second wide change');
  });

  test(`${name}: a trim of what was read, and a start of the source alone, publish nothing wide`, options, async (t) => {
    const { redis, source, wide } = await reading(t, bin);
    for (let n = 0; n < 20; n += 1) await add(redis, n);
    const read = await add(redis, 'read');
    await source.published(({ id }) => id === read);
    // What is trimmed before it is acknowledged counts as lost, also where it was published.
    await until(async () => (await pending(redis)) === 0, 'everything acknowledged');
    await redis.run('XTRIM', 'catalog', 'MAXLEN', '2');
    await source.kill('SIGKILL');
    source.start();
    const last = await add(redis, 'last');
    await source.published(({ id }) => id === last);
    strictEqual(wides(source), wide);
  });

  test(`${name}: a stream that was flushed, deleted or made anew is published wide, and its ids count again`, options, async (t) => {
    const { broker, redis, source, wide } = await reading(t, bin);
    await redis.run('FLUSHALL');
    await redis.run('XADD', 'catalog', '5-1', 'type', 'TITLE_UPDATED', 'titleId', 'a');
    await source.published(({ id }) => id === '5-1');
    await until(() => wides(source) === wide + 1, 'a wide change');
    await source.kill('SIGTERM');
    await redis.run('DEL', 'catalog');
    source.versions = [];
    source.start();
    await source.said(/deleted and made anew|first time/, 2);
    await redis.run('XADD', 'catalog', '5-1', 'type', 'TITLE_UPDATED', 'titleId', 'a');
    await source.published(({ id }) => id === '5-1');
    strictEqual(wides(source), 1);
    const all = keysOf(await versions(broker, 0));
    strictEqual(all.filter((key) => key === 'title:a').length, 2, 'the same id and content again are another version');
    ok(all.lastIndexOf('title:a') > all.lastIndexOf('title:'), 'behind the wide change');
  });

  test(`${name}: entries that were deleted unread, and a server that lost its data, are published wide`, options, async (t) => {
    const { redis, source, wide } = await reading(t, bin);
    await source.kill('SIGTERM');
    const [gone] = [await add(redis, 'gone'), await add(redis, 'there')];
    await redis.run('XDEL', 'catalog', gone);
    source.start();
    const last = await add(redis, 'last');
    await source.published(({ id }) => id === last);
    const isTold = !name.startsWith('Redis 6');
    strictEqual(wides(source), wide + (isTold ? 1 : 0), 'Redis 6.2 knows of no deleted entry');
    await redis.kill();
    await redis.begin();
    await source.said(/following/, 3);
    await until(() => wides(source) > wide + 1 - (isTold ? 0 : 1), () => `a wide change for the restart\n${source.log}`);
    const again = await add(redis, 'again');
    await source.published(({ id }) => id === again);
  });

  test(`${name}: what a dead consumer was given comes first, and what it lost is published wide`, options, async (t) => {
    const [broker, redis] = [await startBroker(t), await Redis.start(t, bin)];
    await redis.run('XGROUP', 'CREATE', 'catalog', 'newsreel', '0', 'MKSTREAM');
    const ids = [];
    for (let n = 0; n < 6; n += 1) ids.push(await add(redis, n));
    await redis.run('XREADGROUP', 'GROUP', 'newsreel', 'dead', 'COUNT', '4', 'STREAMS', 'catalog', '>');
    await redis.run('XDEL', 'catalog', ids[1]);
    const source = new RedisSource(t, { url: redis.url, broker: broker.url, map: MAP, flags: ['--stream', 'catalog'] }).start();
    await source.published(({ id }) => id === ids[5]);
    same(source.versions.filter(({ id }) => id).map(({ id }) => id), ids.filter((id) => id !== ids[1]));
    ok(wides(source) >= 1);
    await until(async () => (await pending(redis)) === 0, 'nothing pending');
  });

  test(`${name}: several processes of one group publish each entry once, in order, whoever dies or sleeps`, options, async (t) => {
    const [broker, redis] = [await startBroker(t), await Redis.start(t, bin)];
    const one = () => new RedisSource(t, { url: redis.url, broker: broker.url, map: MAP, flags: ['--stream', 'catalog'] }).start();
    const sources = [one(), one(), one()];
    await until(() => sources.some(({ log }) => /waiting to take over/.test(log)), 'somebody waits');
    let n = 0;
    const addSome = async (count) => {
      for (const end = n + count; n < end; n += 1) await add(redis, n % 7, 'catalog', n % 3 ? 'TITLE_UPDATED' : 'TITLE_REMOVED');
    };
    const reader = async () => {
      const token = await redis.run('GET', 'catalog:newsreel:newsreel:lease');
      return token && sources.find(({ versions: lines }) => lines.length > 0 && lines.at(-1).at > Date.now() - 2000);
    };
    for (let round = 0; round < 4; round += 1) {
      await addSome(150);
      await until(reader, 'somebody reads');
      const source = await reader();
      if (round % 2) {
        await source?.kill();
        source?.start();
      } else if (source) {
        process.kill(source.pid, 'SIGSTOP');
        await addSome(50);
        await new Promise((resolve) => setTimeout(resolve, 900));
        process.kill(source.pid, 'SIGCONT');
      }
    }
    const last = await add(redis, 'last');
    await until(() => sources.some(({ versions: lines }) => lines.some(({ id }) => id === last)), () => sources.map(({ log }) => log).join('\n---\n'), 60_000);
    await until(async () => (await pending(redis)) === 0, 'everything acknowledged');
    const entries = await redis.run('XRANGE', 'catalog', '-', '+');
    const wanted = entries.map(([, [, type, , id]]) => `${type === 'TITLE_REMOVED' ? '-' : '+'}title:${id}`);
    const all = (await versions(broker, 0)).flatMap(({ changes }) => changes).filter(({ key }) => key);
    same(all.map(({ key, op }) => `${op === 'remove' ? '-' : '+'}${key}`), wanted, 'every entry once, in the order of the stream');
  });

  test(`${name}: what cannot be mapped is a dead letter with its reason, and stops nothing`, options, async (t) => {
    const { broker, redis, source } = await reading(t, bin, ['--metrics', '0']);
    await redis.run('XADD', 'catalog', '*', 'type', 'TITLE_UPDATED', 'name', 'no id');
    await redis.run('XADD', 'catalog', '*', 'junk', Buffer.from([0xff, 0xfe]));
    const last = await add(redis, 2);
    await source.published(({ id }) => id === last);
    await until(async () => (await pending(redis)) === 0, 'everything acknowledged');
    const letters = (await redis.run('XRANGE', 'newsreel:dead', '-', '+')).map(([, fields]) => Object.fromEntries(fields.flatMap((_, at) => (at % 2 ? [] : [[fields[at], fields[at + 1]]]))));
    same(letters.map(({ from, kind }) => [from, kind]), [['catalog', 'unnamed'], ['catalog', 'form']]);
    match(letters[0].reason, /titleId is not known/);
    strictEqual(letters[0]['field:name'], 'no id');
    const [, address] = /metrics at (\S+)/.exec(source.log);
    const metrics = await (await fetch(address)).text();
    match(metrics, /newsreel_source_dead_letters_total\{reason="unnamed"\} 1/);
    match(metrics, /newsreel_source_connected\{side="redis"\} 1/);
    same(keysOf(await versions(broker, 0)).slice(-1), ['title:2']);
    const status = await newsreel('source', 'redis', '--redis', redis.url, '--stream', 'catalog', 'status');
    match(status.stdout, /dead letters {4}2/);
  });

  test(`${name}: Pub/Sub begins each connection with a wide change, unless it is told not to`, options, async (t) => {
    const [broker, redis] = [await startBroker(t), await Redis.start(t, bin)];
    const dead = join(temporaryFolder(t), 'dead.ndjson');
    const flags = ['--pattern', 'catalog:netflix:*', '--channel', 'catalog:netflix:extra', '--dead-letters-file', dead];
    const source = new RedisSource(t, { url: redis.url, broker: broker.url, map: CHANNELS, flags }).start();
    await source.published(({ wide }) => wide);
    await redis.run('PUBLISH', 'catalog:netflix:title', EVENT(5));
    await redis.run('PUBLISH', 'catalog:hulu:title', EVENT(6));
    await redis.run('PUBLISH', 'catalog:netflix:title', '{"type":');
    await redis.run('PUBLISH', 'catalog:netflix:title', EVENT(7, 'TITLE_REMOVED'));
    await until(() => source.versions.length === 3, () => JSON.stringify(source.versions));
    same((await versions(broker, 0)).flatMap(({ changes }) => changes), [{ prefix: 'title:' }, { key: 'title:5' }, { key: 'title:7', op: 'remove' }]);
    const [letter] = readFileSync(dead, 'utf8').trim().split('\n').map((line) => JSON.parse(line));
    same([letter.kind, letter.payload, letter.from], ['not-json', '{"type":', 'catalog:netflix:title']);
    await redis.run('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await until(() => wides(source) === 2, () => `a wide change for the new connection\n${source.log}`);
    await source.kill('SIGTERM');
    const trusting = new RedisSource(t, { url: redis.url, broker: broker.url, map: CHANNELS, flags: [...flags, '--no-resync'] }).start();
    await trusting.said(/following/);
    await until(async () => (await redis.run('PUBSUB', 'NUMPAT')) === 1, 'a subscription');
    await redis.run('PUBLISH', 'catalog:netflix:title', EVENT(8));
    await trusting.published(({ channel }) => channel === 'catalog:netflix:title');
    strictEqual(wides(trusting), 0);
    match(trusting.log, /--no-resync: what is sent .* stays stale/);
  });
}

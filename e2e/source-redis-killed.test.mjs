// Two processes of `newsreel source redis` and Redis itself, killed amid messages: in the end every entry is one version,
// in the order of its stream, and the edge reads what the origin says.

import { deepStrictEqual as same, strictEqual } from 'node:assert';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'node:test';

import { kills, until, versions } from './source.mjs';
import { randomFrom } from './random.mjs';
import { Redis, RedisSource, servers } from './redis.mjs';
import { startBroker } from './served.mjs';

const STREAMS = ['catalog', 'catalog-2'];
const IDS = 20;
// The tag tells each entry from any other.
const MAP = `[[map]]
from = "catalog*"
key = "title:{id}"
also = [{ tag = "n:{n}" }]
when = { type = "changed" }
removed_when = { type = "removed" }
widen = { prefix = "title:" }
`;

/** An origin that has a number for each key, or nothing. */
async function startOrigin(t, titles) {
  const server = createServer((request, response) => {
    const key = decodeURIComponent(request.url.split('/').at(-1));
    const value = titles.get(key);
    response.writeHead(value === undefined ? 404 : 200, { 'content-type': 'application/json' });
    response.end(value === undefined ? '' : JSON.stringify({ value }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return `http://127.0.0.1:${server.address().port}`;
}

/** Changes titles at the origin and tells of each by an entry, until it is told to stop. */
async function write(redis, titles, random, stopped) {
  for (let n = 0; !stopped(); n += 1) {
    const of = Math.floor(random() * STREAMS.length);
    const id = `${of}-${Math.floor(random() * IDS)}`;
    const type = random() < 0.2 ? 'removed' : 'changed';
    if (type === 'removed') titles.delete(`title:${id}`);
    else titles.set(`title:${id}`, n);
    const words = ['XADD', STREAMS[of], '*', 'type', type, 'id', id, 'n', String(n)];
    // An entry whose answer was lost may be there twice, which is no harm.
    while (!(await redis.run(...words).catch(() => undefined))) await new Promise((resolve) => setTimeout(resolve, 20));
    if (n % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function read(broker, stopped) {
  let count = 0;
  for (let n = 0; !stopped(); n += 1) {
    const { entries } = await broker.readMany(Array.from({ length: IDS }, (_, id) => `title:${n % STREAMS.length}-${id}`)).catch(() => ({ entries: [] }));
    count += entries.length;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return count;
}

for (const [newer, { name, bin }] of servers().toReversed().entries()) {
  const times = kills(newer === 0 ? 50 : 10);
  test(`${name}: killed ${times} times, every entry is one version in the order of its stream`, { timeout: 300_000 }, async (t) => {
    const seed = Number(process.env.SEED ?? Date.now() % 1e6);
    t.diagnostic(`SEED=${seed}`);
    const [random, titles] = [randomFrom(seed), new Map()];
    const redis = await Redis.start(t, bin, { words: ['--appendonly', 'yes', '--appendfsync', 'always'] });
    const broker = await startBroker(t, { ORIGIN_URL: await startOrigin(t, titles) });
    const flags = STREAMS.flatMap((stream) => ['--stream', stream]);
    const sources = [0, 1].map(() => new RedisSource(t, { url: redis.url, broker: broker.url, map: MAP, flags: [...flags, '--max-failures', '0'] }).start());
    let stop = false;
    const [writing, reading] = [write(redis, titles, random, () => stop), read(broker, () => stop)];
    for (let kill = 0; kill < times; kill += 1) {
      await new Promise((resolve) => setTimeout(resolve, random() * 250));
      if (kill % 12 === 7) {
        await redis.kill();
        await redis.begin();
      }
      const source = sources[Math.floor(random() * 2)];
      await source.kill();
      source.start();
    }
    stop = true;
    await writing;
    const told = () => sources.map(({ log }) => log.slice(-1500)).join('\n---\n');
    for (const stream of STREAMS) {
      const done = async () => {
        const [count] = await redis.run('XPENDING', stream, 'newsreel');
        const last = (await redis.run('XREVRANGE', stream, '+', '-', 'COUNT', 1))[0][0];
        const groups = await redis.run('XINFO', 'GROUPS', stream);
        return count === 0 && groups[0][groups[0].indexOf('last-delivered-id') + 1] === last;
      };
      await until(done, told, 60_000);
    }
    const all = (await versions(broker, 0)).flatMap(({ changes }) => changes);
    for (const [at, stream] of STREAMS.entries()) {
      const entries = await redis.run('XRANGE', stream, '-', '+');
      const wanted = entries.map(([, [, , , id, , n]]) => `${id} ${n}`);
      const marks = all.flatMap(({ tag }, place) => (tag?.startsWith('n:') ? [`${all[place - 1].key.slice(6)} ${tag.slice(2)}`] : []));
      same(marks.filter((mark) => mark.startsWith(`${at}-`)), wanted, `${stream}: every entry once, in order`);
    }
    const after = await broker.status();
    for (const at of STREAMS.keys()) {
      const keys = Array.from({ length: IDS }, (_, id) => `title:${at}-${id}`);
      const { entries } = await broker.readMany(keys, { after });
      const wanted = keys.map((key) => (titles.has(key) ? [200, { value: titles.get(key) }] : [404, undefined]));
      same(entries.map(({ status, value }) => [status, value]), wanted, 'the edge reads what the origin says');
    }
    strictEqual(typeof (await reading), 'number');
    t.diagnostic(`${all.length} changes, ${await reading} reads of the edge meanwhile`);
  });
}

// Messages of a stream of Redis until they are durable: how many a second from a backlog, and after which delay at a steady
// rate. Usage: node e2e/bench/source-redis.mjs [MESSAGES] [RATE]
//
// Redis, broker, source and this script share the machine. A delay is from the time in the entry's id, which is Redis's
// clock, until the line of the version is read here.

import { loadavg } from 'node:os';

import { Redis, RedisSource, servers } from '../redis.mjs';
import { startBroker } from '../served.mjs';

const [messages, rate] = [Number(process.argv[2] ?? 20_000), Number(process.argv[3] ?? 200)];
const MAP = '[[map]]\nfrom = "catalog"\nkey = "title:{titleId}"\ntags = ["platform:{platforms[]}"]\nwhen = { type = "TITLE_UPDATED" }\n';
const fields = (n) => ['type', 'TITLE_UPDATED', 'titleId', String(n % 5_000), 'version', String(n), 'platforms', '["netflix","hulu"]'];

const ends = [];
const t = { after: (end) => ends.unshift(end) };
const found = servers();
if (found.length === 0) throw new Error('no redis-server here');
const { name, bin } = found.at(-1);

const redis = await Redis.start(t, bin);
const broker = await startBroker(t);
const add = async (from, count) => {
  for (let at = from; at < from + count; at += 500) {
    const page = Array.from({ length: Math.min(500, from + count - at) }, (_, n) => redis.run('XADD', 'catalog', '*', ...fields(at + n)));
    await Promise.all(page);
  }
};
await add(0, messages);
const source = new RedisSource(t, { url: redis.url, broker: broker.url, map: MAP, flags: ['--stream', 'catalog'] });
const entries = () => source.versions.filter(({ id }) => id);
const began = performance.now();
source.start();
while (entries().length < messages) await new Promise((resolve) => setTimeout(resolve, 10));
const seconds = (performance.now() - began) / 1000;
console.log(`${name}: ${messages} messages of a backlog durable in ${seconds.toFixed(2)} s: ${Math.round(messages / seconds)} a second`);

const delays = [];
const push = source.versions.push.bind(source.versions);
source.versions.push = (line) => (line.id && delays.push(Date.now() - line.sent_at), push(line));
const count = rate * 10;
const start = performance.now();
for (let n = 0; n < count; n += 1) {
  const due = start + (n * 1000) / rate;
  while (performance.now() < due) await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
  void redis.run('XADD', 'catalog', '*', ...fields(n));
}
while (delays.length < count) await new Promise((resolve) => setTimeout(resolve, 10));
delays.sort((a, b) => a - b);
const at = (share) => delays[Math.min(count - 1, Math.floor(count * share))];
console.log(`${rate} messages a second: delay until durable p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, most ${at(1)} ms; load ${loadavg()[0].toFixed(1)}`);
for (const end of ends) await end();
process.exit(0);

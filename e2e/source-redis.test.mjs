// `newsreel source redis` on real servers: streams by a consumer group, and Pub/Sub.

import { deepStrictEqual as same, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';

import { until, versions } from './postgres.mjs';
import { Redis, RedisSource, servers, skipped } from './redis.mjs';
import { startBroker } from './served.mjs';
import { newsreel } from './system.mjs';

const MAP = `[[map]]
from = "catalog"
key = "title:{titleId}"
tags = ["platform:{platforms[]}"]
when = { type = ["TITLE_UPDATED", "TITLE_ADDED"] }
removed_when = { type = ["TITLE_REMOVED"] }
`;

const add = (redis, stream, fields) => redis.run('XADD', stream, '*', ...Object.entries(fields).flat());
const updated = (titleId, more = {}) => ({ type: 'TITLE_UPDATED', titleId: String(titleId), ...more });
const pending = async (redis, stream = 'catalog') => (await redis.run('XPENDING', stream, 'newsreel'))[0];

for (const { name, bin } of servers()) {
  test(`${name}: entries are versions in their order, and acknowledged when they are durable`, { timeout: 60_000 }, async (t) => {
    const [broker, redis] = [await startBroker(t), await Redis.start(t, bin)];
    const before = await add(redis, 'catalog', updated(1, { platforms: '["netflix","hulu"]' }));
    const source = new RedisSource(t, { url: redis.url, broker: broker.url, map: MAP, flags: ['--stream', 'catalog'] }).start();
    const { sent_at: sentAt } = await source.published(({ id }) => id === before);
    strictEqual(sentAt, Number(before.split('-')[0]));
    await add(redis, 'catalog', { type: 'USER_JOINED', titleId: '9' });
    await add(redis, 'catalog', { type: 'TITLE_REMOVED', titleId: '1' });
    const last = await add(redis, 'catalog', updated(2));
    await source.published(({ id }) => id === last);
    const changes = (await versions(broker, 0)).map((version) => version.changes);
    same(changes, [
      [{ prefix: 'title:' }],
      [{ key: 'title:1', tags: ['platform:netflix', 'platform:hulu'] }],
      [{ key: 'title:1', op: 'remove' }],
      [{ key: 'title:2' }],
    ]);
    await until(async () => (await pending(redis)) === 0, 'every entry acknowledged');
    strictEqual(await source.kill('SIGTERM'), 0);
    const status = JSON.parse((await newsreel('source', 'redis', '--redis', redis.url, '--stream', 'catalog', 'status', '--json')).stdout);
    same(
      { ...status.streams[0], last_delivered: status.streams[0].last_delivered === last, lag: status.streams[0].lag ?? 0 },
      { stream: 'catalog', length: 4, reader: null, last_delivered: true, lag: 0, pending: 0, pending_for_ms: null, gap: null },
    );
  });
}

test('a server for these tests', { skip: skipped() }, () => ok(servers().length > 0));

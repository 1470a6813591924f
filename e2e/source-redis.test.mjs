// `newsreel source redis` on real servers: streams by a consumer group, and Pub/Sub.

import { deepStrictEqual as same, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';

import { until, versions } from './source.mjs';
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

const { name, bin } = servers().at(-1) ?? {};
const options = { skip: skipped(), timeout: 60_000 };

test(`${name}: events, publishes, CloudEvents and envelopes of Debezium in one stream each`, options, async (t) => {
  const [broker, redis] = [await startBroker(t), await Redis.start(t, bin)];
  const map = `[[map]]
from = "events"
field = "payload"
key = "title:{titleId}"
when = { type = "TITLE_UPDATED" }
[[map]]
from = "publishes"
format = "publish"
widen = { prefix = "title:" }
[[map]]
from = "cloud"
format = "cloudevents"
key = "title:{data.id}"
[[map]]
from = "public.titles"
format = "debezium"
key = "title:{id}"
`;
  const streams = ['events', 'publishes', 'cloud', 'dbz.public.titles'];
  const source = new RedisSource(t, { url: redis.url, broker: broker.url, map, flags: streams.flatMap((stream) => ['--stream', stream]) }).start();
  await until(() => source.versions.filter(({ wide }) => wide).length === streams.length, 'a wide change of each stream');
  const envelope = (op, before, after) => JSON.stringify({ schema: {}, payload: { op, before, after, source: { db: 'shop', schema: 'public', table: 'titles' } } });
  const sent = [
    ['events', { payload: JSON.stringify({ type: 'TITLE_UPDATED', titleId: '12345', version: 47, platforms: ['netflix', 'hulu'], timestamp: Date.now() }) }],
    ['publishes', { key: 'title:2', tags: '["a"]' }],
    ['publishes', { body: '{"changes":[{"tag":"b"},{"prefix":"list:"}]}' }],
    ['cloud', { event: JSON.stringify({ specversion: '1.0', id: '1', source: 'c', type: 't', data: { id: 3 } }) }],
    ['cloud', { ce_specversion: '1.0', ce_id: '2', ce_source: 'c', ce_type: 't', data: '{"id":4}' }],
    ['dbz.public.titles', { '{"id":5}': envelope('u', null, { id: 5 }) }],
    ['dbz.public.titles', { '{"id":6}': envelope('d', { id: 6 }, null) }],
    ['dbz.public.titles', { '{"id":6}': 'default' }],
  ];
  for (const [stream, fields] of sent) {
    const id = await add(redis, stream, fields);
    if (!Object.values(fields).includes('default')) await source.published((line) => line.stream === stream && line.id === id);
  }
  const changes = (await versions(broker, streams.length)).flatMap((version) => version.changes);
  same(changes, [
    { key: 'title:12345' }, { key: 'title:2', tags: ['a'] }, { tag: 'b' }, { prefix: 'list:' }, { key: 'title:3' }, { key: 'title:4' },
    { key: 'title:5' }, { key: 'title:6', op: 'remove' },
  ]);
  strictEqual(await redis.run('EXISTS', 'newsreel:dead'), 0);
});

test(`${name}: a wide change that is owed survives a kill, and status says so`, options, async (t) => {
  const redis = await Redis.start(t, bin);
  const away = new RedisSource(t, { url: redis.url, broker: 'http://127.0.0.1:1', map: MAP, flags: ['--stream', 'catalog'] }).start();
  await away.said(/first time/);
  await away.kill();
  const status = await newsreel('source', 'redis', '--redis', redis.url, '--stream', 'catalog', 'status');
  strictEqual(status.code, 6, status.stderr);
  ok(/a wide change is owed \(first\)/.test(status.stderr), status.stderr);
  const broker = await startBroker(t);
  const source = new RedisSource(t, { url: redis.url, broker: broker.url, map: MAP, flags: ['--stream', 'catalog'] }).start();
  await source.published(({ wide }) => wide);
});

test('a server for these tests', { skip: skipped() }, () => ok(servers().length > 0));

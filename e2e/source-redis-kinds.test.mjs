// `newsreel source redis` by every way to a server: a cluster, sentinels, TLS, users with few rights, unix sockets.

import { match, ok, strictEqual } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { until } from './source.mjs';
import { Redis, RedisSource, servers, skipped } from './redis.mjs';
import { startBroker } from './served.mjs';
import { newsreel, temporaryFolder } from './system.mjs';

const MAP = `[[map]]
from = "catalog*"
key = "title:{titleId}"
`;
const add = (redis, id, stream = 'catalog') => redis.run('XADD', stream, '*', 'titleId', id);
// The machine's own server comes last; it is the one that has TLS.
const { bin, name } = servers().at(-1) ?? {};
const options = { skip: skipped(), timeout: 90_000 };

/** Three nodes that share the slots. */
async function startCluster(t) {
  const words = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000'];
  const nodes = [];
  for (let n = 0; n < 3; n += 1) nodes.push(await Redis.start(t, bin, { words }));
  for (const [n, node] of nodes.entries()) {
    const slots = Array.from({ length: 16384 }, (_, slot) => slot).filter((slot) => Math.floor((slot * 3) / 16384) === n);
    await node.run('CLUSTER', 'ADDSLOTS', ...slots);
    await node.run('CLUSTER', 'MEET', '127.0.0.1', nodes[0].port);
  }
  const isUp = async (node) => /cluster_state:ok/.test(await node.run('CLUSTER', 'INFO')) && (await node.run('CLUSTER', 'NODES')).trim().split('\n').length === 3;
  await until(async () => (await Promise.all(nodes.map(isUp))).every(Boolean), 'a cluster');
  return nodes;
}

/** Runs a command on whichever node has the key, once the cluster is up. */
async function onSome(nodes, ...words) {
  for (;;) {
    for (const node of nodes) {
      const answer = await node.run(...words).catch((error) => error);
      if (!(answer instanceof Error)) return answer;
      if (!/^(MOVED|CLUSTERDOWN)/.test(answer.message)) throw answer;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test(`a cluster (${name}): streams of different nodes, and Pub/Sub`, options, async (t) => {
  const [broker, nodes] = [await startBroker(t), await startCluster(t)];
  const streams = ['catalog-a', 'catalog-b', '{tv}catalog', 'catalog-d'];
  const map = `${MAP}[[map]]\nfrom = "{tv}catalog"\nkey = "title:{titleId}"\n`;
  const flags = ['--cluster', ...streams.flatMap((stream) => ['--stream', stream]), '--pattern', 'catalog:*'];
  const url = nodes.slice(0, 2).map((node) => node.url).join(',');
  const source = new RedisSource(t, { url, broker: broker.url, map, flags }).start();
  await source.said(/following the Redis cluster/);
  for (const stream of streams) {
    const id = await onSome(nodes, 'XADD', stream, '*', 'titleId', stream);
    await source.published((line) => line.stream === stream && line.id === id);
  }
  await until(async () => (await nodes[2].run('PUBLISH', 'catalog:x', '{"titleId":1}'), source.versions.some(({ channel }) => channel)), 'a message');
  const status = await newsreel('source', 'redis', '--redis', url, ...flags, 'status', '--json');
  for (const { stream, pending, gap } of JSON.parse(status.stdout).streams) strictEqual(`${pending} ${gap}`, '0 null', stream);
  await nodes[1].kill();
  await nodes[1].begin();
  for (const stream of streams) {
    const id = await onSome(nodes, 'XADD', stream, '*', 'titleId', stream);
    await source.published((line) => line.stream === stream && line.id === id);
  }
});

test(`sentinels (${name}): after a failover the source goes on at the new master`, options, async (t) => {
  const broker = await startBroker(t);
  const master = await Redis.start(t, bin);
  const replica = await Redis.start(t, bin, { words: ['--replicaof', '127.0.0.1', master.port] });
  const sentinels = [];
  for (let n = 0; n < 3; n += 1) {
    const config = ({ port }) => `port ${port}
sentinel monitor mymaster 127.0.0.1 ${master.port} 2
sentinel down-after-milliseconds mymaster 500
sentinel failover-timeout mymaster 3000
`;
    sentinels.push(await Redis.start(t, bin, { config, words: ['--sentinel'] }));
  }
  await until(async () => /role:slave[^]*master_link_status:up/.test(await replica.run('INFO', 'replication')), 'a replica');
  const knows = async (sentinel) => (await sentinel.run('SENTINEL', 'SENTINELS', 'mymaster')).length === 2 && (await sentinel.run('SENTINEL', 'REPLICAS', 'mymaster')).length === 1;
  await until(async () => (await Promise.all(sentinels.map(knows))).every(Boolean), 'sentinels that know each other');
  const url = sentinels.map((sentinel) => sentinel.url).join(',');
  const source = new RedisSource(t, { url, broker: broker.url, map: MAP, flags: ['--sentinel', 'mymaster', '--stream', 'catalog'] }).start();
  const first = await add(master, '1');
  await source.published(({ id }) => id === first);
  await until(async () => Number(await replica.run('XLEN', 'catalog')) === 1, 'a copy');
  await master.kill();
  await until(async () => /role:master/.test(await replica.run('INFO', 'replication').catch(() => '')), 'a new master', 40_000);
  const second = await add(replica, '2');
  await source.published(({ id }) => id === second);
  match(source.log, /another server took over/, 'what the old master may have lost is published wide');
});

test(`TLS (${name}): by the certificate authority that is given, with the client's own certificate`, options, async (t) => {
  const folder = temporaryFolder(t);
  const [key, cert] = ['key.pem', 'cert.pem'].map((file) => join(folder, file));
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=127.0.0.1', '-addext',
    'subjectAltName=IP:127.0.0.1', '-addext', 'basicConstraints=critical,CA:FALSE', '-keyout', key, '-out', cert], { stdio: 'ignore' });
  const words = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', cert, '--tls-auth-clients', 'yes'];
  const tls = { ca: readFileSync(cert), key: readFileSync(key), cert: readFileSync(cert) };
  const redis = await Redis.start(t, bin, { words, tls });
  const url = `rediss://127.0.0.1:${redis.port}`;
  const broker = await startBroker(t);
  const flags = ['--stream', 'catalog', '--redis-ca', cert, '--redis-cert', cert, '--redis-key', key];
  const source = new RedisSource(t, { url, broker: broker.url, map: MAP, flags }).start();
  const first = await add(redis, '1');
  await source.published(({ id }) => id === first);
  const doubting = new RedisSource(t, { url, broker: broker.url, map: MAP, flags: ['--stream', 'catalog', '--max-failures', '1'] }).start();
  strictEqual(await doubting.ended(), 6, doubting.log);
  match(doubting.log, /certificate|UnknownIssuer/i);
});

test(`a user with few rights (${name}), by RESP2 too; a right that lacks is named`, options, async (t) => {
  const [broker, redis] = [await startBroker(t), await Redis.start(t, bin)];
  const rights = ['~catalog*', '~newsreel:dead', '&catalog:*', '+@connection', '+@stream', '+eval', '+get', '+set', '+pexpire', '+del', '+exists',
    '+hset', '+hsetnx', '+hget', '+hgetall', '+hdel', '+time', '+info', '+psubscribe'];
  await redis.run('ACL', 'SETUSER', 'reader', 'on', '>secret', ...rights);
  const url = (more = '') => `redis://reader:secret@127.0.0.1:${redis.port}${more}`;
  const flags = ['--stream', 'catalog', '--pattern', 'catalog:*'];
  const source = new RedisSource(t, { url: url(), broker: broker.url, map: MAP, flags }).start();
  const first = await add(redis, '1');
  await source.published(({ id }) => id === first);
  ok(!/secret/.test(source.log), 'the password is not told');
  await until(async () => (await redis.run('PUBLISH', 'catalog:x', '{"titleId":1}'), source.versions.some(({ channel }) => channel)), 'a message');
  await source.kill('SIGTERM');
  const old = new RedisSource(t, { url: url('?protocol=resp2'), broker: broker.url, map: MAP, flags: ['--stream', 'catalog'] }).start();
  const second = await add(redis, '2');
  await old.published(({ id }) => id === second);
  await old.kill('SIGTERM');
  await redis.run('ACL', 'SETUSER', 'reader', '-xreadgroup');
  const refused = new RedisSource(t, { url: url(), broker: broker.url, map: MAP, flags: ['--stream', 'catalog', '--max-failures', '2'] }).start();
  strictEqual(await refused.ended(), 6);
  match(refused.log, /can't run this command|NOPERM/);
});

test(`a unix socket (${name}), and what the mapping alone names`, options, async (t) => {
  const path = join(temporaryFolder(t), 'redis.sock');
  const [broker, redis] = [await startBroker(t), await Redis.start(t, bin, { words: ['--unixsocket', path] })];
  const map = '[[map]]\nfrom = "catalog"\nformat = "publish"\n[[map]]\nfrom = "catalog:*"\nkey = "title:{titleId}"\n';
  const source = new RedisSource(t, { url: `unix://${path}`, broker: broker.url, map }).start();
  const first = await redis.run('XADD', 'catalog', '*', 'publish', '{"tag":"all-titles"}');
  await source.published(({ id }) => id === first);
  await until(async () => (await redis.run('PUBSUB', 'NUMPAT')) === 1, 'a subscription');
  await redis.run('PUBLISH', 'catalog:a', '{"titleId":3}');
  await source.published(({ channel }) => channel === 'catalog:a');
});

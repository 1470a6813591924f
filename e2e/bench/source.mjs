// Measures `newsreel source postgres` on each PostgreSQL of the tests: transactions a second until durable, row changes
// a second beside pg_recvlogical (PostgreSQL's own reader of its log), the delay from commit to a follower, and memory.
//
//   node e2e/bench/source.mjs [SECONDS]     how long each rate of transactions is kept up (10)
//
// pgbench and pg_recvlogical are taken from the path or from Debian's folders; what needs them is left out without them.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { foldersWith } from '../../scripts/postgres.mjs';
import { Follower } from '../follower.mjs';
import { servers, Source, startPostgres } from '../postgres.mjs';
import { until } from '../source.mjs';
import { Served } from '../served.mjs';
import { temporaryFolder } from '../system.mjs';

const SECONDS = Number(process.argv[2] ?? 10);
const ROWS = 100_000;
const MILLION = 1_000_000;
const MAP = '[[map]]\nfrom = "public.titles"\nkey = "title:{id}"\n';

/** A program of PostgreSQL's clients, if this machine has it. */
function client(name) {
  const [folder] = foldersWith(name);
  return folder && join(folder, name);
}

const say = (what, figure) => console.log(`${what.padEnd(64)} ${figure}`);
const perSecond = (count, ms) => `${Math.round((count * 1000) / ms).toLocaleString('en')} a second`;
const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`;
/** The most memory that a process ever had, in MiB. */
const peak = (pid) => Math.round(Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024);

async function timed(work) {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

/** The versions that a follower has heard, with the time of each. */
class Arrivals extends Array {
  times = new Map();

  push(...rows) {
    const now = Date.now();
    for (const { version } of rows) this.times.set(version, now);
    return super.push(...rows);
  }
}

/** Single-row transactions at a rate, or as fast as PostgreSQL takes them: how many, and how late a follower had them. */
async function rate({ pg, broker, source, follower }, perSecond) {
  const script = join(pg.folder, 'update.sql');
  writeFileSync(script, `\\set id random(1, ${ROWS})\nUPDATE titles SET name = 'another' WHERE id = :id;\n`);
  await follower.reached((await broker.status()).version);
  const before = source.versions.length;
  const words = ['-h', '127.0.0.1', '-p', `${pg.port}`, '-U', 'postgres', '-n', '-f', script, '-c', '8', '-T', `${SECONDS}`];
  if (perSecond) words.push('-R', `${perSecond}`);
  const begun = performance.now();
  const bench = spawn(client('pgbench'), [...words, 'postgres'], { stdio: ['ignore', 'pipe', 'ignore'] });
  let output = '';
  bench.stdout.setEncoding('utf8').on('data', (text) => (output += text));
  await once(bench, 'close');
  const count = Number(/actually processed: (\d+)/.exec(output)[1]);
  await until(() => source.versions.length >= before + count, 'the last transaction', 300_000);
  const took = performance.now() - begun;
  const lines = source.versions.slice(before);
  await follower.reached(lines.at(-1).version);
  const delays = lines.map(({ version, committed_at }) => follower.versions.times.get(version) - committed_at).sort((a, b) => a - b);
  const at = (share) => `${delays[Math.floor(share * (delays.length - 1))]} ms`;
  return { count, took, p50: at(0.5), p99: at(0.99) };
}

/** Row changes in the log, read by pg_recvlogical. */
async function decoded(pg, slot, end) {
  const words = ['-h', '127.0.0.1', '-p', `${pg.port}`, '-U', 'postgres', '-d', 'postgres', '--slot', slot, '--start', '-f', '/dev/null'];
  const options = ['-o', 'proto_version=1', '-o', 'publication_names=newsreel', '--no-loop', '--endpos', end];
  const { status, stderr } = spawnSync(client('pg_recvlogical'), [...words, ...options], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`pg_recvlogical: ${stderr}`);
}

/** A backlog of row changes in transactions of a size, taken by pg_recvlogical and by the source. */
async function backlog({ pg, broker, source }, size) {
  await source.kill('SIGTERM');
  const before = (await broker.status()).version;
  await pg.sql(`SELECT pg_create_logical_replication_slot('reader', 'pgoutput')`);
  const connection = await pg.connect();
  for (let from = 1; from <= ROWS; from += size) {
    await connection.query(`UPDATE titles SET name = 'in bulk' WHERE id BETWEEN ${from} AND ${from + size - 1}`);
  }
  await connection.end();
  const [{ end }] = await pg.sql('SELECT pg_current_wal_lsn() AS end');
  if (client('pg_recvlogical')) {
    const took = await timed(() => decoded(pg, 'reader', end));
    say(`pg_recvlogical, ${ROWS} rows in transactions of ${size}`, perSecond(ROWS, took));
  }
  await pg.sql(`SELECT pg_drop_replication_slot('reader')`);
  // What is sent again after the restart is printed again, so the broker's versions are counted.
  const versions = Math.ceil(ROWS / size) * Math.ceil(size / 1000);
  const wanted = before + versions;
  const took = await timed(async () => {
    source.start();
    await until(async () => (await broker.status()).version >= wanted, () => `version ${wanted}; ${source.log}`, 300_000);
  });
  say(`source, ${ROWS} rows in transactions of ${size}`, `${perSecond(ROWS, took)}, ${perSecond(versions, took)} versions`);
}

/** Measures on one PostgreSQL. `t.after` takes what is to be done in the end. */
async function measure(t, name, bin) {
  console.log(`\nPostgreSQL ${name}`);
  const pg = await startPostgres(t, bin, { max_wal_size: '8GB' });
  const { broker } = await (await Served.at(t)).start();
  await pg.sql('CREATE TABLE titles (id int PRIMARY KEY, name text)');
  const source = new Source(t, { url: pg.url, broker: broker.url, folder: join(temporaryFolder(t), 'source'), map: MAP }).start();
  await source.said(/following/);
  await until(async () => (await broker.status()).version === 1, 'the first version');
  const follower = await new Follower(broker).connect();
  follower.versions = new Arrivals();

  const before = peak(source.pid);
  const load = await timed(async () => {
    const committed = await timed(() => pg.sql(`INSERT INTO titles SELECT n, repeat('a title ', 12) FROM generate_series(1, ${MILLION}) n`));
    say(`${MILLION} rows in one transaction, until the commit`, seconds(committed));
    await until(() => source.versions.length > 1, 'the load', 600_000);
  });
  say('... until durable at the broker', `${seconds(load)}, ${perSecond(MILLION, load)} rows`);
  say('... memory of the source before, and at most', `${before} and ${peak(source.pid)} MiB`);

  const system = { pg, broker, source, follower };
  for (const size of [1, 100]) await backlog(system, size);

  if (!client('pgbench')) return say('pgbench is not there', 'the rates are left out');
  for (const wanted of [100, 500, 1000]) {
    const { count, took, p50, p99 } = await rate(system, wanted);
    say(`${wanted} transactions a second: commit until a follower has it`, `p50 ${p50}, p99 ${p99} (${perSecond(count, took)})`);
  }
  const { count, took } = await rate(system);
  say('as many transactions as pgbench makes, until all are durable', `${perSecond(count, took)} of ${count}`);
}

for (const { name, bin } of servers()) {
  const last = [];
  try {
    if (bin) await measure({ after: (work) => last.unshift(work) }, name, bin);
  } finally {
    for (const work of last) await work();
  }
}

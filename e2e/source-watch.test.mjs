// A running `newsreel source postgres` shows metrics, reports, the way of a change, its lag and its slot.

import { strictEqual as same, deepStrictEqual as sameAll, match, ok } from 'node:assert';
import { join } from 'node:path';
import { test } from 'node:test';

import { Follower } from './follower.mjs';
import { Source, newest, startPostgres } from './postgres.mjs';
import { until } from './source.mjs';
import { startLine } from './proxy.mjs';
import { startBroker } from './served.mjs';
import { newsreel, temporaryFolder } from './system.mjs';

const MAP = `[[map]]
from = "public.titles"
key = "title:{id}"
tags = ["kind:{kind | slug}"]
truncate = { prefix = "title:" }
`;

/** A server, a broker and a source with metrics, whose line to the broker can be cut. */
async function started(t, bin, { flags = [], settings } = {}) {
  const pg = await startPostgres(t, bin, settings);
  const broker = await startBroker(t);
  const line = await startLine(t, Number(new URL(broker.url).port));
  await pg.sql('CREATE TABLE titles (id int PRIMARY KEY, kind text)', 'CREATE TABLE others (text text)', 'ALTER TABLE others ALTER text SET STORAGE EXTERNAL');
  const folder = join(temporaryFolder(t), 'source');
  const source = new Source(t, { url: pg.url, broker: line.url, folder, map: MAP, flags: ['--metrics', '0', '--report-every-s', '1', ...flags] });
  source.start();
  await source.said(/following/);
  await until(async () => (await broker.status()).version === 1, () => source.log);
  const state = join(folder, 'state');
  const at = (path) => fetch(/metrics at (http:.*)\/metrics/.exec(source.log)[1] + path);
  /** The samples of the metrics, by name and labels. */
  const metrics = async () => {
    const text = await (await at('/metrics')).text();
    const lines = text.split('\n').filter((line) => line && !line.startsWith('#'));
    return Object.fromEntries(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')).replace('newsreel_source_', ''), Number(line.slice(line.lastIndexOf(' ')))]));
  };
  const becomes = async (name, holds) => {
    let value;
    await until(async () => holds((value = (await metrics())[name] ?? 0)), () => `${name} is ${value}; the source says\n${source.log}`);
  };
  const status = async (...words) => newsreel('source', 'postgres', '--database', pg.url, '--state', state, 'status', ...words);
  return { pg, broker, line, source, state, at, metrics, becomes, status };
}

/** Writes so much of the log, for a table that is not mapped. */
const write = (pg, mib) => pg.sql(...Array.from({ length: mib }, () => `INSERT INTO others SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 32768)`));

for (const { name, bin } of newest()) {
  const on = { skip: bin ? false : `no PostgreSQL ${name} here`, timeout: 240_000 };
  const suite = (title, run) => test(`PostgreSQL ${name}: ${title}`, on, run);

  suite('metrics count and time what is published, and a trace tells the way of each change', async (t) => {
    const { pg, broker, source, state, at, metrics, becomes } = await started(t, bin);
    await new Follower(broker, { replica: true, name: 'edge-a' }).connect();
    await pg.sql(`INSERT INTO titles VALUES (1, 'Movie'), (2, NULL)`, `UPDATE titles SET id = 3 WHERE id = 1`);
    const client = await pg.connect();
    await client.query('BEGIN');
    const { rows: [{ xid }] } = await client.query('SELECT txid_current() AS xid');
    await client.query('DELETE FROM titles WHERE id = 3');
    // PostgreSQL 13 has no messages in the log that the source reads.
    const traceparent = name === '13' ? undefined : '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    if (traceparent) await client.query(`SELECT pg_logical_emit_message(true, 'traceparent', '${traceparent}')`);
    await client.query('INSERT INTO titles VALUES (4)');
    await client.query('COMMIT');
    const { rows: [{ lsn }] } = await client.query('SELECT pg_current_wal_lsn() AS lsn');
    await client.end();
    await becomes('publishes_total', (count) => count >= 4);
    const seen = await metrics();
    sameAll([seen.transactions_total, seen.targets_total], [3, 6]);
    sameAll(['insert', 'update', 'delete'].map((change) => seen[`rows_total{table="public.titles",change="${change}"}`]), [3, 1, 1]);
    same(seen['wide_changes_total{reason="gap"}'], 1);
    const skipped = Object.entries(seen).filter(([key]) => /^skipped_total{table="public.titles",template="kind:.*null/.test(key));
    sameAll(skipped.map(([, count]) => count), [2], JSON.stringify(seen));
    same(seen.durable_delay_seconds_count, 4);
    ok(seen.durable_delay_seconds_sum > 0 && seen.durable_delay_seconds_sum < 40, `${seen.durable_delay_seconds_sum} s`);
    sameAll([seen['connected{side="database"}'], seen['connected{side="broker"}']], [1, 1]);
    sameAll(await (await at('/healthz')).json(), { status: 'ok', database: true, broker: true });
    same((await at('/nowhere')).status, 404);
    await source.said(/\d+ transactions \(.* a second\), \d+ rows, \d+ versions; change to durable p50 \d+ ms, p99 \d+ ms/);

    // A publish a second at most is asked after, so this one is.
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    const before = (await metrics())['applied_questions_total{outcome="applied"}'] ?? 0;
    await pg.sql('INSERT INTO titles VALUES (5)');
    await becomes('applied_questions_total{outcome="applied"}', (count) => count > before);
    ok((await metrics()).applied_delay_seconds_sum < 60);
    await source.said(/change to applied p50 \d+ ms, p99 \d+ ms, of \d+ that were asked for/);

    const trace = async (...words) => newsreel('trace', '--state', state, ...words);
    const traced = async (...words) => JSON.parse((await trace(...words, '--json')).stdout);
    const way = await traced('--xid', xid);
    const expected = { 'public.titles': { insert: 1, update: 0, delete: 1, truncate: 0 } };
    sameAll([way.xid, way.rows.tables], [Number(xid), expected]);
    sameAll(way.rows.first, [
      { table: 'public.titles', change: 'delete', columns: { id: 3 }, targets: [{ key: 'title:3', op: 'remove' }] },
      { table: 'public.titles', change: 'insert', columns: { id: 4 }, targets: [{ key: 'title:4' }] },
    ]);
    const [version] = way.versions;
    const published = source.versions.find((line) => line.xid === Number(xid));
    sameAll([version.version, version.position, way.lsn, way.committed_at], [published.version, published.position, published.lsn, published.committed_at]);
    sameAll(version.changes, [{ key: 'title:3', op: 'remove' }, { key: 'title:4' }]);
    const rows = (await broker.changes('?since=0')).json.versions;
    const row = rows.find((one) => one.version === version.version);
    sameAll([row.source, row.traceparent], [{ name: 'postgres:newsreel', id: way.lsn, at: way.committed_at }, traceparent]);
    sameAll(rows.filter((one) => one.traceparent).map((one) => one.version), traceparent ? [version.version] : []);
    if (traceparent) sameAll(await traced('--trace-id', traceparent), way);
    sameAll(version.applied.replicas, ['edge-a']);
    ok(version.durable_ms >= 0 && version.applied.ms >= version.durable_ms, JSON.stringify(version));
    sameAll(await traced('--lsn', lsn), way);
    sameAll(await traced('--version', String(version.version)), way);
    await source.kill();
    source.start();
    await source.said(/following[^]*following/);
    sameAll(await traced('--xid', xid), way, 'after a restart');
    const { stdout } = await trace('--lsn', way.lsn);
    match(stdout, /^transaction +\d+\ncommitted +\S+ +at LSN \S+\n(trace +\S+\n)? +public.titles delete {"id":3} +gave {"key":"title:3","op":"remove"}\n/);
    match(stdout, /durable +\d+ ms after the commit[^]*applied +(at most +)?\d+ ms after the commit +by \d+ followers \(edge-a\)/);
    const older = await trace('--version', '0');
    same(older.code, 1);
    match(older.stderr, /nothing that old/);
    match((await trace('--version', '900')).stderr, /nothing so new/);
    match((await trace('--xid', '999999')).stderr, /no transaction 999999: it published nothing, is not published yet, or is older/);
  });

  suite('the lag is told in seconds, and connections that break are counted', async (t) => {
    const { pg, source, line, metrics, becomes, status } = await started(t, bin);
    const shown = async () => JSON.parse((await status('--json')).stdout);
    await until(async () => (await shown()).lag_seconds === 0, 'a lag of 0');
    match(source.log, /max_slot_wal_keep_size is -1/);
    line.cut('close');
    await pg.sql('INSERT INTO titles VALUES (1)');
    await becomes('slot_lag_seconds', (seconds) => seconds >= 2);
    const lag = await shown();
    ok(lag.lag_seconds >= 1 && lag.lag_seconds < 60 && lag.lag_bytes > 0, JSON.stringify(lag));
    same((await metrics())['connected{side="broker"}'], 0);
    same((await metrics()).waiting_publishes, 1);
    line.mend();
    await becomes('slot_lag_seconds', (seconds) => seconds < 1);
    await becomes('connected{side="broker"}', (connected) => connected === 1);
    same((await metrics())['reconnects_total{side="broker"}'], 1);
    await pg.sql('SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots');
    await becomes('reconnects_total{side="database"}', (count) => count === 1);
    await becomes('connected{side="database"}', (connected) => connected === 1);
    await source.kill();
    await pg.sql('INSERT INTO titles VALUES (2)');
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    ok((await shown()).lag_seconds >= 1, 'a source that is away');
    match((await status()).stdout, /^lag seconds +\d+\.\d$/m);
  });

  suite('a slot that keeps too much is warned of, and healed once it is lost', async (t) => {
    const settings = { max_slot_wal_keep_size: '64MB', min_wal_size: '32MB', max_wal_size: '32MB', checkpoint_timeout: '1h', wal_keep_size: 0 };
    const { pg, broker, source, line, metrics, becomes, status } = await started(t, bin, { settings });
    same((await metrics()).slot_limit_bytes, 64 << 20);
    line.cut('close');
    await pg.sql('INSERT INTO titles VALUES (1)');
    for (let n = 0; n < 40 && !/the slot keeps \d+ bytes/.test(source.log); n += 1) {
      await write(pg, 4);
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
    await source.said(/the slot keeps \d+ bytes of the log, of 67108864 that it may/);
    for (let n = 0; n < 40 && !/CRITICAL: wal_status is (unreserved|lost)|the slot was lost/.test(source.log); n += 1) {
      await write(pg, 4);
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    await source.said(/CRITICAL: wal_status is unreserved|the slot was lost/);
    const critical = await status('--json');
    if (JSON.parse(critical.stdout).critical) same(critical.code, 6);
    await pg.sql('SELECT pg_switch_wal()', 'CHECKPOINT');
    await source.said(/the slot was lost/);
    line.mend();
    const began = Date.now();
    await until(async () => (await metrics())['wide_changes_total{reason="gap"}'] >= 2 && (await metrics()).waiting_publishes === 0, () => source.log);
    ok(Date.now() - began < 5_000, `${Date.now() - began} ms`);
    await becomes('slot_wal_status{status="reserved"}', (is) => is === 1);
    same((await status()).code, 0);
    const { version } = await broker.status();
    await pg.sql('INSERT INTO titles VALUES (2)');
    await until(async () => (await broker.status()).version > version, () => source.log);
  });

  suite('the heartbeat alone lets an idle database forget its log, and names the GRANT it needs', async (t) => {
    const { pg, source, status } = await started(t, bin);
    await source.kill('SIGTERM');
    await pg.sql(
      ...['app', 'owner'].map((role) => `CREATE ROLE ${role} ${role === 'app' ? 'LOGIN REPLICATION' : ''}`),
      'GRANT owner TO app', 'ALTER TABLE titles OWNER TO owner', 'ALTER PUBLICATION newsreel OWNER TO app', 'GRANT CREATE ON DATABASE postgres TO owner',
      `DO $$ DECLARE f regprocedure; BEGIN FOR f IN SELECT oid::regprocedure FROM pg_proc WHERE proname = 'pg_logical_emit_message' LOOP EXECUTE 'REVOKE EXECUTE ON FUNCTION ' || f || ' FROM PUBLIC'; END LOOP; END $$`,
    );
    source.words = source.words.map((word) => (word === pg.url ? pg.url.replace('postgres@', 'app@') : word)).concat('--heartbeat-ms', '200');
    source.start();
    await source.said(/no heartbeat[^\n]*run `GRANT [^`]*`/);
    const grant = /run `(GRANT [^`]*)`/.exec(source.log)[1];
    await pg.sql(grant);
    await source.kill('SIGTERM');
    source.log = '';
    source.start();
    await source.said(/following/);
    const shown = async () => JSON.parse((await status('--json')).stdout);
    const first = await shown();
    // Nothing that is mapped is written, and twice what may be kept of all else.
    await write(pg, 64);
    ok((await pg.sql(`SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '${first.confirmed_lsn}') > 60 << 20 AS yes`))[0].yes);
    await pg.sql('CHECKPOINT');
    let last;
    const isFree = async () => (last = await shown()).kept_bytes < 32 << 20 && last.confirmed_lsn !== first.confirmed_lsn;
    await until(isFree, () => JSON.stringify(last), 60_000);
    ok(!/no heartbeat/.test(source.log), source.log);
  });

  suite('an outbox is counted and traced as well', async (t) => {
    const { pg, broker, state, metrics, becomes } = await started(t, bin, { flags: ['--outbox'] });
    await new Follower(broker, { name: 'edge-a' }).connect();
    const [{ xid }] = await pg.sql(`INSERT INTO titles VALUES (1, 'Movie'), (2, NULL) RETURNING txid_current() AS xid`);
    await becomes('publishes_total', (count) => count === 2);
    const seen = await metrics();
    sameAll([seen.transactions_total, seen['rows_total{table="public.titles",change="insert"}'], seen['connected{side="database"}']], [1, 2, 1]);
    const way = JSON.parse((await newsreel('trace', '--state', state, '--xid', xid, '--json')).stdout);
    sameAll([way.lsn, way.rows.first[0].targets, way.versions[0].version], [null, [{ key: 'title:1', tags: ['kind:movie'] }], 2]);
    await pg.sql('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = \'client backend\'');
    await becomes('reconnects_total{side="database"}', (count) => count === 1);
  });
}

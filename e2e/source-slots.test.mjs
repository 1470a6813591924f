// `newsreel source postgres` when slot, publication, tables or the server are not what they were: followed or told, never a gap.

import { strictEqual as same, deepStrictEqual as sameAll, match, ok } from 'node:assert';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { Source, newest, startPostgres, startStandby } from './postgres.mjs';
import { reached, until, versions } from './source.mjs';
import { startBroker } from './served.mjs';
import { newsreel, temporaryFolder } from './system.mjs';

const MAP = `[[map]]
from = "public.titles"
key = "title:{id}"
tags = ["kind:{kind}"]
truncate = { prefix = "title:" }
`;
const TABLE = 'CREATE TABLE titles (id int PRIMARY KEY, kind text, note text)';
const WIDE = { prefix: 'title:' };

/** A broker and a source that follows a server. */
async function follow(t, pg, { url = pg.url, tables = [TABLE], map = MAP, flags } = {}) {
  const broker = await startBroker(t);
  await pg.sql(...tables);
  const folder = join(temporaryFolder(t), 'source');
  const source = new Source(t, { url, broker: broker.url, folder, map, flags }).start();
  await source.said(/following/);
  await until(async () => (await broker.status()).version === 1, () => source.log);
  /** Runs statements, and returns the changes of the versions that follow, `count` at least. */
  const after = async (count, ...statements) => {
    const { version } = await broker.status();
    await pg.sql(...statements);
    await reached(broker, source, version + count);
    return (await versions(broker, version)).map(({ changes }) => changes);
  };
  return { broker, source, after, state: join(folder, 'state') };
}

for (const { name, bin } of newest()) {
  const on = { skip: bin ? false : `no PostgreSQL ${name} here`, timeout: 240_000 };
  const suite = (title, run) => test(`PostgreSQL ${name}: ${title}`, on, run);

  suite('a slot that PostgreSQL itself has lost is healed within 5 s', async (t) => {
    const pg = await startPostgres(t, bin, { max_slot_wal_keep_size: '32MB', min_wal_size: '32MB', max_wal_size: '32MB' });
    const { broker, source, after, state } = await follow(t, pg);
    await after(1, 'INSERT INTO titles VALUES (1)');
    // The state file has the confirmed place before PostgreSQL is told.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await source.kill();
    const status = async () => (await pg.sql('SELECT active, wal_status FROM pg_replication_slots'))[0];
    await until(async () => !(await status()).active, 'the slot is free');
    await pg.sql('INSERT INTO titles VALUES (2)', 'CREATE TABLE others (text text)');
    for (let n = 0; n < 40 && (await status()).wal_status !== 'lost'; n += 1) {
      await pg.sql(`INSERT INTO others SELECT md5(random()::text) FROM generate_series(1, 60000)`, 'SELECT pg_switch_wal()', 'CHECKPOINT');
    }
    same((await status()).wal_status, 'lost');
    const words = ['source', 'postgres', '--database', pg.url, '--state', state, 'status'];
    const told = await newsreel(...words, '--json');
    same(told.code, 6, told.stderr);
    match(told.stderr, /the slot "newsreel" is in danger: wal_status is lost/);
    match(JSON.parse(told.stdout).critical, /wal_status is lost/);
    match((await newsreel(...words)).stdout, /^wal status +lost \(CRITICAL\)$/m);
    const began = Date.now();
    source.start();
    sameAll((await reached(broker, source, 3)).at(-1), [WIDE]);
    ok(Date.now() - began < 5_000, `${Date.now() - began} ms`);
    match(source.log, /the slot was lost/);
    sameAll(await after(1, 'INSERT INTO titles VALUES (3)'), [[{ key: 'title:3' }]]);
  });

  suite('a standby that is promoted without the slot is followed, after a wide change', async (t) => {
    const pg = await startPostgres(t, bin);
    const standby = await startStandby(t, pg);
    const url = `postgres://postgres@127.0.0.1:${pg.port},127.0.0.1:${standby.port}/postgres?target_session_attrs=read-write`;
    const { broker, source, after, state } = await follow(t, pg, { url });
    await after(1, 'INSERT INTO titles VALUES (1)');
    await until(() => existsSync(state), 'the source knows its slot');
    await until(async () => (await standby.sql(`SELECT count(*) FROM pg_class WHERE relname = 'titles'`))[0].count === '1', 'the standby has the table');
    await pg.end('SIGQUIT');
    await standby.sql('SELECT pg_promote()');
    await source.said(/the slot was lost[^]*following/);
    sameAll((await reached(broker, source, 3)).at(-1), [WIDE]);
    await standby.sql('INSERT INTO titles VALUES (7)');
    sameAll((await reached(broker, source, 4)).at(-1), [{ key: 'title:7' }]);
  });

  suite('a slot that is copied to standbys goes on after the fail-over', async (t) => {
    if (Number(name) < 17) {
      const pg = await startPostgres(t, bin);
      const { source } = await follow(t, pg);
      await source.kill('SIGTERM');
      source.words.push('--failover');
      source.start();
      same(await source.ended(), 3);
      return match(source.log, /copies no slots to standbys: leave --failover out/);
    }
    const pg = await startPostgres(t, bin);
    const standby = await startStandby(t, pg, { sync_replication_slots: 'on' });
    const url = `postgres://postgres@127.0.0.1:${pg.port},127.0.0.1:${standby.port}/postgres?target_session_attrs=read-write`;
    const { broker, source, after } = await follow(t, pg, { url, flags: ['--failover', '--heartbeat-ms', '200'] });
    same((await pg.sql(`SELECT failover FROM pg_replication_slots WHERE slot_name = 'newsreel'`))[0].failover, true);
    await after(1, 'INSERT INTO titles VALUES (1)');
    const synced = async () => {
      await pg.sql('CHECKPOINT');
      const [slot] = await standby.sql(`SELECT synced, temporary, confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = 'newsreel'`);
      return slot?.synced && !slot.temporary;
    };
    await until(synced, 'the slot is copied', 90_000);
    // The copy of the slot may be behind: what is sent again has no second effect.
    await after(1, 'INSERT INTO titles VALUES (2)');
    const { lsn } = (await pg.sql('SELECT pg_current_wal_lsn() AS lsn'))[0];
    await until(async () => (await standby.sql(`SELECT pg_last_wal_replay_lsn() >= '${lsn}' AS yes`))[0].yes, 'the standby has all');
    await pg.end('SIGQUIT');
    await standby.sql('SELECT pg_promote()');
    await source.said(/on timeline 2, before 1[^]*following/);
    await standby.sql('INSERT INTO titles VALUES (3)');
    sameAll((await reached(broker, source, 5)), [[{ key: 'title:1' }], [{ key: 'title:2' }], [WIDE], [{ key: 'title:3' }]]);
    ok(!/the slot was lost|the slot is new[^]*the slot is new/.test(source.log), source.log);
    // An older slot gets the copy as well.
    await source.kill('SIGTERM');
    await standby.sql(`SELECT pg_drop_replication_slot('newsreel'), pg_create_logical_replication_slot('newsreel', 'pgoutput')`);
    source.start();
    await source.said(/copied to standbys from here on/);
    same((await standby.sql(`SELECT failover FROM pg_replication_slots WHERE slot_name = 'newsreel'`))[0].failover, true);
  });

  suite('a publication that loses its tables, or is lost, is made whole, and what it missed is published wide', async (t) => {
    const pg = await startPostgres(t, bin);
    const { broker, source, after } = await follow(t, pg);
    sameAll((await after(1, 'ALTER PUBLICATION newsreel DROP TABLE titles', 'INSERT INTO titles VALUES (1)')).at(-1), [WIDE]);
    match(source.log, /lacks public.titles/);
    sameAll((await after(1, 'INSERT INTO titles VALUES (2)')).at(-1), [{ key: 'title:2' }]);
    sameAll((await after(1, 'DROP PUBLICATION newsreel', 'INSERT INTO titles VALUES (3)')).at(-1), [WIDE]);
    await until(async () => (await pg.sql('SELECT active FROM pg_replication_slots'))[0]?.active, 'the slot is followed');
    sameAll((await after(1, 'INSERT INTO titles VALUES (4)')).at(-1), [{ key: 'title:4' }]);
    // Without --create the statement is told.
    await source.kill('SIGTERM');
    source.words = source.words.filter((word) => word !== '--create');
    source.start();
    await until(async () => (await pg.sql('SELECT active FROM pg_replication_slots'))[0]?.active, 'the slot is followed');
    await pg.sql('ALTER PUBLICATION newsreel DROP TABLE titles');
    same(await source.ended(), 3);
    match(source.log, /the publication "newsreel" lacks public.titles: give --create, or run\n *ALTER PUBLICATION "newsreel" SET TABLE "public"."titles"/);
    ok((await broker.status()).version >= 5);
  });

  suite('columns that are renamed, retyped and dropped are followed, or named', async (t) => {
    const pg = await startPostgres(t, bin);
    const { source, after } = await follow(t, pg);
    sameAll(await after(1, `INSERT INTO titles VALUES (1, 'a')`), [[{ key: 'title:1', tags: ['kind:a'] }]]);
    sameAll((await after(1, 'ALTER TABLE titles RENAME kind TO sort', `UPDATE titles SET sort = 'b'`)).at(-1), [WIDE]);
    match(source.log, /public.titles has no column "kind" any more/);
    match(source.log, /was altered \(column "kind" is gone\)/);
    await source.said(/has no column "kind": the mapping reads it; the source goes on/);
    sameAll((await after(1, 'ALTER TABLE titles RENAME sort TO kind', `UPDATE titles SET kind = 'c'`)).at(-1), [WIDE]);
    sameAll(await after(1, `UPDATE titles SET kind = 'd'`), [[{ key: 'title:1', tags: ['kind:d'] }]]);
    const retyped = await pg.sql(`ALTER TABLE titles ALTER kind TYPE int USING length(kind)`).then(() => true, (error) => /publication/.test(error.message) ? false : Promise.reject(error));
    if (retyped) {
      sameAll((await after(1, 'UPDATE titles SET kind = 7')).at(-1), [WIDE]);
      match(source.log, /column "kind" has another type/);
    }
    if (Number(name) < 15) {
      sameAll((await after(1, 'ALTER TABLE titles DROP kind', 'INSERT INTO titles VALUES (2)')).at(-1), [WIDE]);
      await source.said(/has no column "kind" any more[^]*has no column "kind" any more/);
    } else {
      // The publication lists the column, so that it takes the table along.
      await pg.sql('ALTER TABLE titles DROP kind CASCADE');
      same(await source.ended(), 3);
      match(source.log, /public.titles has no column "kind": the mapping reads it/);
    }
  });

  suite('a partition that logs less than its table needs is refused, or told of when it comes', async (t) => {
    const pg = await startPostgres(t, bin);
    const map = `[[map]]\nfrom = "public.parts"\nkey = "part:{id}"\nalso = [{ tag = "of:{title}" }]\n`;
    const tables = [
      'CREATE TABLE parts (id int, region text, title int, PRIMARY KEY (id, region)) PARTITION BY LIST (region)',
      `CREATE TABLE parts_eu PARTITION OF parts FOR VALUES IN ('eu')`, 'ALTER TABLE parts_eu REPLICA IDENTITY FULL', 'ALTER TABLE parts REPLICA IDENTITY FULL',
    ];
    const { source, after } = await follow(t, pg, { tables, map });
    sameAll(await after(2, `INSERT INTO parts VALUES (1, 'eu', 5)`, 'UPDATE parts SET title = 6'), [
      [{ key: 'part:1' }, { tag: 'of:5' }], [{ key: 'part:1' }, { tag: 'of:5' }, { tag: 'of:6' }],
    ]);
    await pg.sql(`CREATE TABLE "Parts US" PARTITION OF parts FOR VALUES IN ('us')`);
    await source.said(/has REPLICA IDENTITY FULL, and not in its partition "public"."Parts US": run `ALTER TABLE "public"."Parts US" REPLICA IDENTITY FULL;`; the source goes on/);
    await source.kill('SIGTERM');
    source.start();
    same(await source.ended(), 3);
    await pg.sql('ALTER TABLE "Parts US" REPLICA IDENTITY FULL', 'ALTER PUBLICATION newsreel SET (publish_via_partition_root = false)');
    source.log = '';
    source.start();
    await source.said(/the publication lacked some[^]*following/);
    sameAll((await after(1, `INSERT INTO parts VALUES (2, 'us', 5)`)).at(-1), [{ key: 'part:2' }, { tag: 'of:5' }]);
  });
}

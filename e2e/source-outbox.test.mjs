// `newsreel source postgres --outbox` on real servers without logical replication: triggers note what changes, and each
// transaction that committed is a version, whatever order it commits in.

import { strictEqual as same, deepStrictEqual as sameAll, ok } from 'node:assert';
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { Source, servers, startPostgres } from './postgres.mjs';
import { reached, until } from './source.mjs';
import { startLine } from './proxy.mjs';
import { startBroker } from './served.mjs';
import { TABLE, TITLES, rowsComeMoveAndGo } from './source-story.mjs';
import { newsreel, temporaryFolder } from './system.mjs';

const WITHOUT_REPLICATION = { wal_level: 'minimal', max_wal_senders: 0, max_replication_slots: 0 };
const WAITING = 'SELECT count(*)::int AS rows FROM newsreel.outbox';

/** A column of every kind: its type, and three values. */
const KINDS = {
  m: ['mood', `'sad'`], ms: ['mood[]', `'{happy,sad}'`, `'{}'`], l: ['label', `'x y,z'`], ls: ['label[]', `'{a,"b,c",NULL}'`], lb: ['labels', `'{q}'`],
  n: ['numeric', '1.50', `'NaN'`, '-12345678901234567890.000'], ns: ['numeric[]', `'{1.0,2}'`], i: ['int', '7', '-7', '2147483647'], is: ['int[]', `'{7,8}'`, `'[0:1]={1,2}'`, `'{{1,2},{3,4}}'`],
  big: ['text', `repeat('é', 150)`, `'x'`], at: ['timestamptz', `'2026-01-02 03:04:05.678+09'`, `'infinity'`, `'0044-03-15 12:00:00+00 BC'`], ats: ['timestamptz[]', `'{"2026-01-02 03:04:05+09"}'`],
  local: ['timestamp', `'2026-01-02 03:04:05'`], d: ['date', `'2026-01-02'`, `'-infinity'`], tm: ['time', `'03:04:05'`], tz: ['timetz', `'03:04:05+09'`], span: ['interval', `'1 day -2 hours'`, `'1 year'`],
  j: ['jsonb', `'7.10'`, `'"x"'`, '\'{"a": [1]}\''], js: ['json', `'7.10'`, `'true'`], b: ['boolean', 'true', 'false'], bs: ['boolean[]', `'{t,f}'`], bytes: ['bytea', `'\\x00ff'`, `''`],
  f: ['float8', '1e20', '0.1', `'NaN'`], f4: ['float4', '0.1', '1e15', '-0'], fs: ['float8[]', `'{1e20,0.25}'`], net: ['inet', `'10.0.0.1'`, `'10.0.0.0/8'`], ci: ['cidr', `'10.0.0.0/8'`],
  c: ['char(5)', `'a'`], ch: ['"char"', `'a'`], nm: ['name', `'n'`], v: ['varchar(9)', `'v'`, `''`], p: ['point', `'(1,2)'`], r: ['int4range', `'[1,5)'`], tr: ['tstzrange', `'[2026-01-02 03:04:05+09,)'`],
  co: ['pair', `'(1,"a b")'`, `'(,)'`], bits: ['varbit', `'1010'`], o: ['oid', '7'], w: ['bigint', '9223372036854775807'], ma: ['macaddr', `'08:00:2b:01:02:03'`],
  ts: ['tsvector', `'a b'`], 'we"ird $1 %s': ['text', `'x''y'`],
};

/** A server, a broker and a source that follows. */
async function started(t, bin, { tables = [TABLE], map = TITLES, flags = [], settings, withLine = false } = {}) {
  const pg = await startPostgres(t, bin, { ...WITHOUT_REPLICATION, ...settings });
  const broker = await startBroker(t);
  await pg.sql(...tables);
  const line = withLine ? await startLine(t, new URL(broker.url).port) : undefined;
  const folder = join(temporaryFolder(t), 'source');
  const make = (text = map) =>
    new Source(t, { url: pg.url, broker: (line ?? broker).url, folder, map: text, flags: ['--outbox', ...flags] });
  const source = make().start();
  await source.said(/following/);
  await until(async () => (await broker.status()).version >= 1, 'the first version');
  // A source that is killed before it has kept its state publishes wide once more.
  await until(() => existsSync(join(folder, 'state')), 'the state');
  return { pg, broker, source, make, line };
}

/** Waits until the outbox has no rows. */
async function emptied(pg, source) {
  await until(async () => (await pg.sql(WAITING))[0].rows === 0, () => `an empty outbox; the source says\n${source.log}`);
}

/** Runs a command below `source postgres`. */
async function command(pg, ...words) {
  return newsreel('source', 'postgres', '--database', pg.url, ...words);
}

for (const { name, bin } of servers()) {
  const on = { skip: bin ? false : `no PostgreSQL ${name} here`, timeout: 240_000 };
  const suite = (title, run) => test(`PostgreSQL ${name}: ${title}`, on, run);

  suite('a transaction is a version, with rows that come, move and go', async (t) => {
    const { pg, broker, source } = await started(t, bin);
    await rowsComeMoveAndGo({ pg, broker, source });
    await emptied(pg, source);
    ok(source.versions.slice(1).every(({ xid, lsn }) => xid > 0 && lsn === null), JSON.stringify(source.versions));
  });

  suite('logical replication and the outbox make the same targets of the same rows', async (t) => {
    const columns = Object.keys(KINDS);
    const tables = [
      `CREATE TYPE mood AS ENUM ('happy', 'sad')`,
      `CREATE DOMAIN label AS text CHECK (value <> '')`,
      `CREATE DOMAIN labels AS text[]`,
      `CREATE TYPE pair AS (a int, b text)`,
      `CREATE TABLE "Odd ""Table""" ("Id" uuid PRIMARY KEY, ${columns.map((column) => `"${column.replaceAll('"', '""')}" ${KINDS[column][0]}`).join(', ')})`,
      `ALTER TABLE "Odd ""Table""" REPLICA IDENTITY FULL`,
      `CREATE TABLE parts (id int, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region)`,
      `CREATE TABLE parts_eu PARTITION OF parts FOR VALUES IN ('eu')`,
      `CREATE TABLE parts_us PARTITION OF parts FOR VALUES IN ('us', 'ca') PARTITION BY LIST (region)`,
      `CREATE TABLE parts_ca (region text NOT NULL, id int NOT NULL, gone int)`, `ALTER TABLE parts_ca DROP gone`,
    ];
    const place = (column) => `{${JSON.stringify(column)}${/\[\]$|labels/.test(KINDS[column][0]) ? '[]' : ''}}`;
    const also = columns.map((column) => `{ key = ${JSON.stringify(`${column.replace(/[^a-z0-9]/g, '-')}:${place(column)}`)} }`);
    const map = `[[map]]
from = 'public.Odd "Table"'
key = "odd:{Id}"
also = [${also.join(', ')}]
[[map]]
from = "public.parts"
key = "part:{region}:{id}"
truncate = { prefix = "part:" }
`;
    const pg = await startPostgres(t, bin);
    await pg.sql(...tables);
    const follow = async (flags) => {
      const broker = await startBroker(t);
      const source = new Source(t, { url: pg.url, broker: broker.url, folder: join(temporaryFolder(t), 'source'), map, flags }).start();
      await source.said(/following/);
      await until(async () => (await broker.status()).version >= 1, 'the first version');
      return { broker, source };
    };
    const both = [await follow([]), await follow(['--outbox'])];
    const values = (number) => columns.map((column) => KINDS[column][number] ?? 'NULL').join(', ');
    // The settings of the session that writes are of no account.
    const settings = ['SET timezone = \'Asia/Tokyo\'', 'SET datestyle = \'German\'', 'SET intervalstyle = \'iso_8601\'', 'SET bytea_output = \'escape\'', 'SET extra_float_digits = 0'];
    const odd = '"Odd ""Table"""';
    const id = (n) => `'6f1d0c3e-0000-4000-8000-00000000000${n}'`;
    const transactions = [
      `INSERT INTO ${odd} VALUES (${id(1)}, ${values(1)})`,
      `INSERT INTO ${odd} VALUES (${id(2)}, ${values(2)}), (${id(3)}, ${values(3)})`,
      `UPDATE ${odd} SET "Id" = ${id(4)} WHERE "Id" = ${id(1)}`,
      `UPDATE ${odd} SET big = NULL, n = 7 WHERE "Id" = ${id(4)}`,
      `DELETE FROM ${odd} WHERE "Id" = ${id(2)}`,
      `INSERT INTO parts VALUES (1, 'eu'), (2, 'eu')`,
      `ALTER TABLE parts_us ATTACH PARTITION parts_ca FOR VALUES IN ('ca')`,
      `UPDATE parts SET region = 'ca' WHERE id = 1`,
      `INSERT INTO parts_ca VALUES ('ca', 3)`,
      `INSERT INTO parts VALUES (3, 'ca') ON CONFLICT (id, region) DO UPDATE SET id = 4`,
      `DELETE FROM parts`,
      `TRUNCATE parts, ${odd}`,
    ];
    await pg.sql(...settings, ...transactions);
    const [replicated, noted] = await Promise.all(both.map(({ broker, source }) => reached(broker, source, transactions.length)));
    const sorted = (versions) => versions.map((changes) => changes.map((change) => JSON.stringify(change)).sort());
    sameAll(sorted(noted), sorted(replicated));
    const keys = new Set(noted.flat().map(({ key }) => key));
    for (const key of ['at:2026-01-01 18:04:05.678+00', 'n:1.50', 'at:infinity', 'bytes:\\x00ff', 'c:a    ', 'f:1e+20', 'net:10.0.0.1', 'span:1 day -02:00:00', 'part:ca:4']) {
      ok(keys.has(key), `${key} in ${[...keys].join(' | ')}`);
    }
    // Of a partition alone PostgreSQL's log has no TRUNCATE.
    await pg.sql('TRUNCATE parts_eu');
    sameAll((await reached(both[1].broker, both[1].source, transactions.length + 1)).at(-1), [{ prefix: 'part:' }]);
  });

  suite('large transactions are split in order, larger ones are a prefix', async (t) => {
    const { pg, broker, source } = await started(t, bin);
    await pg.sql(`INSERT INTO titles SELECT n FROM generate_series(1, 2500) n`, `INSERT INTO titles SELECT n FROM generate_series(3000, 23000) n`);
    const changes = await reached(broker, source, 5);
    sameAll(changes.map((list) => list.length), [1000, 1000, 500, 1]);
    sameAll(changes.slice(0, 3).flat().map(({ key }) => key), Array.from({ length: 2500 }, (_, n) => `title:${n + 1}`));
    sameAll(changes[3], [{ prefix: 'title:' }]);
    await emptied(pg, source);
  });

  suite('transactions that commit in another order are published in that of their commits', async (t) => {
    const { pg, broker, source } = await started(t, bin);
    const [long, first, second] = await Promise.all([pg.connect(), pg.connect(), pg.connect()]);
    t.after(() => Promise.all([long, first, second].map((client) => client.end())));
    // The oldest transaction of all stays open, and holds up none of the others.
    await long.query('BEGIN');
    await long.query(`INSERT INTO titles VALUES (1)`);
    await first.query('BEGIN');
    await first.query(`INSERT INTO titles VALUES (2)`);
    // A younger transaction commits before an older one that then changes the same row.
    await second.query('BEGIN');
    await second.query(`INSERT INTO titles VALUES (3, 'a', 'old')`);
    const waits = first.query(`INSERT INTO titles VALUES (3, 'b', 'new') ON CONFLICT (id) DO UPDATE SET kind = 'new'`);
    await second.query('COMMIT');
    await waits;
    await first.query('COMMIT');
    sameAll(await reached(broker, source, 3), [
      [{ key: 'title:3', tags: ['kind:old'] }],
      [{ key: 'title:2' }, { key: 'title:3', tags: ['kind:new'] }],
    ]);
    await emptied(pg, source);
    await long.query('COMMIT');
    sameAll((await reached(broker, source, 4)).at(-1), [{ key: 'title:1' }]);
    await emptied(pg, source);
  });

  suite('a snapshot that has both of two transactions has them in the order of their commits', async (t) => {
    const { pg, broker, source } = await started(t, bin);
    await source.kill();
    const [older, younger] = await Promise.all([pg.connect(), pg.connect()]);
    t.after(() => Promise.all([older, younger].map((client) => client.end())));
    await older.query('BEGIN');
    await older.query(`INSERT INTO titles VALUES (1)`);
    await younger.query(`INSERT INTO titles VALUES (2, 'a', 'old')`);
    await older.query(`UPDATE titles SET kind = 'new' WHERE id = 2`);
    await older.query('COMMIT');
    source.start();
    sameAll(await reached(broker, source, 3), [
      [{ key: 'title:2', tags: ['kind:old'] }],
      [{ key: 'title:1' }, { key: 'title:2', tags: ['kind:new'] }],
    ]);
  });

  suite('a lost notification, a listener that is away and a prepared transaction lose nothing', async (t) => {
    const { pg, broker, source } = await started(t, bin, { flags: ['--poll-ms', '300'], settings: { max_prepared_transactions: 2 } });
    // With prepared transactions there is no notification at all.
    await pg.sql('BEGIN', 'INSERT INTO titles VALUES (1)', `PREPARE TRANSACTION 'p'`, 'INSERT INTO titles VALUES (2)');
    sameAll(await reached(broker, source, 2), [[{ key: 'title:2' }]]);
    await pg.sql(`COMMIT PREPARED 'p'`);
    sameAll((await reached(broker, source, 3)).at(-1), [{ key: 'title:1' }]);
    const { active_pid: pid } = JSON.parse((await command(pg, 'status', '--outbox', '--json')).stdout);
    await pg.sql(`SELECT pg_terminate_backend(${pid})`, 'INSERT INTO titles VALUES (3)');
    sameAll((await reached(broker, source, 4)).at(-1), [{ key: 'title:3' }]);
    await source.said(/connecting again[^]*following/);
    await source.kill();
    await pg.sql('INSERT INTO titles VALUES (4)');
    source.start();
    sameAll((await reached(broker, source, 5)).at(-1), [{ key: 'title:4' }]);
    await emptied(pg, source);
  });

  suite('a large value that is only compared is noted by its digest', async (t) => {
    const map = `[[map]]\nfrom = "public.titles"\nkey = "title:{id}"\nonly_if_changed = ["name"]\n`;
    const { pg, broker, source, make } = await started(t, bin, { map });
    await source.kill();
    await pg.sql(`INSERT INTO titles VALUES (1, repeat('x', 100000))`, `UPDATE titles SET name = name || 'y'`, `UPDATE titles SET kind = 'z'`, `UPDATE titles SET name = 'short'`);
    const noted = await pg.sql(`SELECT operation, length(before ->> 'name') AS before, length(after ->> 'name') AS after FROM newsreel.outbox ORDER BY seq`);
    sameAll(noted, [{ operation: 'I', before: null, after: 64 }, { operation: 'U', before: 64, after: 64 }, { operation: 'U', before: 64, after: 5 }]);
    source.start();
    sameAll(await reached(broker, source, 4), [[{ key: 'title:1' }], [{ key: 'title:1' }], [{ key: 'title:1' }]]);
    await emptied(pg, source);
    // A column that is to name something is refused until it is noted as it is.
    await source.kill();
    const naming = make(map.replace('title:{id}', 'title:{name}'));
    naming.words = naming.words.filter((word) => word !== '--create');
    same(await naming.start().ended(), 3);
    ok(/public.titles does not note name/.test(naming.log), naming.log);
  });

  suite('tables that are dropped and made anew while the source runs get triggers anew', async (t) => {
    const { pg, broker, source } = await started(t, bin);
    await pg.sql('DROP TABLE titles', TABLE, 'INSERT INTO titles VALUES (1)');
    sameAll(await reached(broker, source, 2), [[{ prefix: 'title:' }]]);
    await pg.sql('INSERT INTO titles VALUES (2)');
    sameAll((await reached(broker, source, 3)).at(-1), [{ key: 'title:2' }]);
    await pg.sql('ALTER TABLE titles DISABLE TRIGGER USER', 'INSERT INTO titles VALUES (3)');
    sameAll((await reached(broker, source, 4)).at(-1), [{ prefix: 'title:' }], 'what happened in between is not known');
    ok(/switched off/.test(source.log), source.log);
    await pg.sql('INSERT INTO titles VALUES (4)');
    sameAll((await reached(broker, source, 5)).at(-1), [{ key: 'title:4' }]);
  });

  suite('a broker that is away leaves the rows where they are, and no snapshot open', async (t) => {
    const { pg, broker, source, line } = await started(t, bin, { withLine: true });
    line.cut('close');
    await pg.sql(`DO $$ BEGIN FOR n IN 1..2500 LOOP INSERT INTO titles VALUES (n, 'a', 'x'); COMMIT; END LOOP; END $$`);
    await until(() => /the broker: .*connecting again/.test(source.log), () => source.log);
    // More than may wait to be published stay unread. The source gives its snapshot up, so that PostgreSQL can clean up.
    const held = `SELECT count(*)::int AS open FROM pg_stat_activity WHERE application_name = 'newsreel' AND state = 'idle in transaction'`;
    await until(async () => (await pg.sql(held))[0].open === 0, 'no snapshot');
    same((await pg.sql(WAITING))[0].rows, 2500);
    await pg.sql(`INSERT INTO titles VALUES (3000, 'late')`);
    line.mend();
    const changes = await reached(broker, source, 2502);
    sameAll(changes.map(([{ key }]) => key), [...Array.from({ length: 2500 }, (_, n) => `title:${n + 1}`), 'title:3000']);
    await emptied(pg, source);
  });

  suite('a notification wakes the source long before it polls', async (t) => {
    const { pg, broker, source } = await started(t, bin, { flags: ['--poll-ms', '600000'] });
    await pg.sql('INSERT INTO titles VALUES (1)');
    sameAll(await reached(broker, source, 2), [[{ key: 'title:1' }]]);
  });

  suite('the trigger runs for roles without rights, and for columns that come, go and change', async (t) => {
    const pg = await startPostgres(t, bin, WITHOUT_REPLICATION);
    const broker = await startBroker(t);
    await pg.sql(TABLE, 'CREATE ROLE reader LOGIN', 'CREATE ROLE app LOGIN', 'GRANT ALL ON titles TO app');
    const source = new Source(t, { url: pg.url.replace('postgres@', 'reader@'), broker: broker.url, folder: join(temporaryFolder(t), 'source'), map: TITLES, flags: ['--outbox'], create: false });
    same(await source.start().ended(), 3);
    ok(/no outbox: [^]*install --map/.test(source.log), source.log);
    same((await command(pg, 'install', '--map', source.map, '--run')).code, 0);
    same(await source.start().ended(), 3);
    ok(/permission denied[^]*GRANT USAGE ON SCHEMA newsreel/.test(source.log), source.log);
    const grants = /needs: (.*)/.exec((await command(pg, 'install', '--map', source.map)).stdout)[1];
    await pg.sql(grants.replaceAll('…', 'reader'));
    source.start();
    await source.said(/following/);
    const client = await pg.connect();
    t.after(() => client.end());
    for (const sql of [
      'SET ROLE app', `INSERT INTO titles VALUES (1, 'a', 'x')`, 'RESET ROLE',
      'ALTER TABLE titles ALTER kind TYPE varchar(9)', `INSERT INTO titles VALUES (2, 'b', 'y')`,
      'ALTER TABLE titles ALTER id TYPE numeric', `INSERT INTO titles VALUES (3, 'b', 'z')`,
      'ALTER TABLE titles DROP kind', `UPDATE titles SET name = 'c' WHERE id = 1`,
      'ALTER TABLE titles RENAME id TO number', 'DELETE FROM titles WHERE number = 2', 'DELETE FROM titles WHERE number = 3',
    ]) await client.query(sql);
    const changes = await reached(broker, source, 7);
    sameAll(changes.slice(0, 4), [
      [{ key: 'title:1', tags: ['kind:x'] }],
      [{ key: 'title:2', tags: ['kind:y'] }],
      [{ key: 'title:3', tags: ['kind:z'] }],
      [{ key: 'title:1' }],
    ]);
    sameAll(changes.slice(4), [[{ prefix: 'title:' }], [{ prefix: 'title:' }]]);
    ok(/has no column "kind"/.test(source.log) && /has no column "id"/.test(source.log), source.log);
  });

  suite('installed twice, for another mapping, and taken out', async (t) => {
    const { pg, broker, source, make } = await started(t, bin, { flags: [] });
    const install = async (text) => {
      const map = join(temporaryFolder(t), 'map.toml');
      writeFileSync(map, text);
      const { stdout } = await command(pg, 'install', '--map', map);
      await pg.sql(stdout);
      await pg.sql(stdout);
    };
    await install(TITLES);
    await pg.sql('CREATE TABLE offers (id int PRIMARY KEY, title int, price numeric)', `INSERT INTO titles VALUES (1, 'a', 'x')`);
    sameAll(await reached(broker, source, 2), [[{ key: 'title:1', tags: ['kind:x'] }]]);
    await emptied(pg, source);
    await source.kill();
    // A mapping that the triggers do not fit is refused, unless --create makes them fit.
    const map = `[[map]]\nfrom = "public.offers"\nkey = "offer:{id}"\nonly_if_changed = ["title"]\nalso = [{ tag = "title:{title}" }]\n`;
    const both = `${map}\n${TITLES.replace('platforms[]', 'name')}`;
    const other = make(both);
    other.words = other.words.filter((word) => word !== '--create');
    same(await other.start().ended(), 3);
    ok(/public.titles does not note name[^]*public.offers has no trigger/.test(other.log), other.log);
    await install(both);
    await pg.sql('INSERT INTO offers VALUES (1, 7, 1)', 'UPDATE offers SET price = 2', 'UPDATE offers SET title = 8');
    const noted = await pg.sql('SELECT operation FROM newsreel.outbox ORDER BY seq');
    sameAll(noted.map(({ operation }) => operation), ['I', 'U'], 'an update that no rule publishes is not noted');
    other.start();
    const changes = await reached(broker, other, 5);
    sameAll(changes.slice(1), [
      [{ prefix: 'offer:' }, { prefix: 'title:' }, { all: true }].slice(2),
      [{ key: 'offer:1' }, { tag: 'title:7' }],
      [{ key: 'offer:1' }, { tag: 'title:7' }, { tag: 'title:8' }],
    ]);
    await emptied(pg, other);
    await other.kill();
    await install(TITLES);
    await pg.sql('INSERT INTO offers VALUES (2)');
    same((await pg.sql(WAITING))[0].rows, 0, 'a table that is not mapped any more has no trigger');
    same((await command(pg, 'uninstall')).stdout, 'DROP SCHEMA IF EXISTS newsreel CASCADE;\n');
    same((await command(pg, '--state', join(temporaryFolder(t), 'none'), 'uninstall', '--run')).code, 0);
    const left = `SELECT (SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'newsreel%')::int AS triggers, to_regnamespace('newsreel') AS schema`;
    sameAll(await pg.sql('INSERT INTO titles VALUES (2)', left), [{ triggers: 0, schema: null }]);
  });

  suite('an outbox that was emptied, made anew or restored is published wide', async (t) => {
    const { pg, broker, source } = await started(t, bin, { flags: ['--poll-ms', '100'] });
    const wide = async (count, why) => {
      sameAll((await reached(broker, source, count)).at(-1), [{ prefix: 'title:' }]);
      ok(why.test(source.log), source.log);
      source.log = '';
    };
    await pg.sql('INSERT INTO titles VALUES (1)');
    await reached(broker, source, 2);
    await emptied(pg, source);
    source.log = '';
    await pg.sql('DELETE FROM newsreel.outbox');
    await wide(3, /emptied/);
    await pg.sql('TRUNCATE newsreel.outbox');
    await wide(4, /emptied/);
    // Tables that are gone are told while the source runs; their triggers went with them.
    await source.kill();
    await pg.sql('DROP TABLE titles', TABLE, 'INSERT INTO titles VALUES (5)');
    source.start();
    await wide(5, /other tables or triggers/);
    const [{ id }] = await pg.sql('SELECT id FROM newsreel.history');
    await until(() => readFileSync(source.words[source.words.indexOf('--state') + 1], 'utf8').includes(id), 'the state of this outbox');
    await source.kill();
    await pg.end('SIGINT');
    const backup = join(pg.folder, 'backup');
    cpSync(pg.data, backup, { recursive: true });
    await pg.start();
    source.start();
    for (const id of [10, 11, 12]) {
      await pg.sql(`INSERT INTO titles VALUES (${id})`);
      await emptied(pg, source);
    }
    await reached(broker, source, 8);
    await source.kill();
    await pg.end('SIGQUIT');
    pg.restore(backup);
    await pg.start();
    source.log = '';
    source.start();
    await wide(9, /the database was restored/);
    await pg.sql('INSERT INTO titles VALUES (20)');
    sameAll((await reached(broker, source, 10)).at(-1), [{ key: 'title:20' }]);
  });

  suite('status tells what waits, and a database that stays away has an exit code', async (t) => {
    const { pg, source } = await started(t, bin, { flags: ['--max-failures', '3'] });
    const status = async () => JSON.parse((await command(pg, 'status', '--outbox', '--json')).stdout);
    ok((await status()).active);
    await source.kill();
    await until(async () => !(await status()).active, 'the lock is free');
    await pg.sql('INSERT INTO titles VALUES (1), (2)');
    const { rows, oldest_seconds: oldest, tables } = await status();
    same(rows, 2);
    ok(oldest >= 0 && oldest < 60, `${oldest}`);
    sameAll(tables, ['public.titles']);
    ok(/rows +2\noldest seconds \d/.test((await command(pg, 'status', '--outbox')).stdout));
    await pg.end('SIGINT');
    same(await source.start().ended(), 6);
  });
}

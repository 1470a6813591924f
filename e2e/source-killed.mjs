// A source of PostgreSQL and PostgreSQL itself, killed amid concurrent transactions: in the end every transaction is
// one version, none is there twice, what was published covers what SELECT says, and the edge reads what SELECT says.

import { strictEqual as same, deepStrictEqual as sameAll, ok } from 'node:assert';
import { join } from 'node:path';

import { startPostgresOrigin } from './postgres-origin.mjs';
import { Source, startPostgres } from './postgres.mjs';
import { until } from './source.mjs';
import { randomFrom } from './random.mjs';
import { startBroker } from './served.mjs';
import { temporaryFolder } from './system.mjs';

const CLIENTS = 4;
const MAP = `[[map]]
from = "marks"
key = "mark:{client}-{n}"
[[map]]
from = "public.titles"
key = "title:{id}"
truncate = { prefix = "title:" }
[[read]]
key = "title:{id}"
sql = "SELECT id, name FROM titles WHERE id = $1"
`;
/** The ids that the clients change. */
const IDS = Array.from({ length: CLIENTS }, (_, client) => Array.from({ length: 30 }, (_, n) => client * 1000 + n));

/** Whole numbers below a bound. */
function below(seed) {
  const random = randomFrom(seed);
  return (bound) => Math.floor(random() * bound);
}

/** One client: transactions until it is told to stop, each with a mark, and what each touched. */
async function write(pg, client, random, stopped, committed) {
  let connection;
  for (let n = 0; !stopped(); n += 1) {
    const touched = new Set([`mark:${client}-${n}`]);
    const id = () => client * 1000 + random(30);
    try {
      connection ??= await pg.connect();
      const run = (sql, ...values) => connection.query(sql, values);
      await run('BEGIN');
      await run('INSERT INTO marks VALUES ($1, $2)', client, n);
      for (let step = random(4); step >= 0; step -= 1) {
        const [from, to] = [id(), id()];
        const kind = random(12);
        if (kind < 6) {
          await run('INSERT INTO titles VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET name = $2', from, `${n}`);
          touched.add(`title:${from}`);
        } else if (kind < 8) {
          const { rowCount } = await run('DELETE FROM titles WHERE id = $1', from);
          if (rowCount > 0) touched.add(`title:${from}`);
        } else if (kind < 10) {
          const { rowCount } = await run('UPDATE titles SET id = $2 WHERE id = $1 AND NOT EXISTS (SELECT FROM titles WHERE id = $2)', from, to);
          if (rowCount > 0) [from, to].forEach((key) => touched.add(`title:${key}`));
        } else if (kind < 11) {
          await run('SAVEPOINT s');
          await run('INSERT INTO titles VALUES ($1) ON CONFLICT (id) DO UPDATE SET name = NULL', to);
          await run('ROLLBACK TO s');
        } else if (n % 20 === 19) {
          await run('TRUNCATE titles');
          touched.add('prefix title:');
        }
      }
      if (random(10) === 0) await run('ROLLBACK');
      else {
        await run('COMMIT');
        committed.set(`mark:${client}-${n}`, touched);
      }
    } catch (error) {
      // The server was killed, or two transactions waited for each other.
      await connection?.end().catch(() => {});
      connection = undefined;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  await connection?.end().catch(() => {});
}

/** The targets of a version. */
const targets = ({ changes }) => changes.map((change) => change.key ?? (change.prefix ? `prefix ${change.prefix}` : 'all'));

/** Checks that every transaction is one version, in the order of commits, with what it touched. */
function check(all, committed, source) {
  const marks = all.flatMap((version) => targets(version).filter((key) => key.startsWith('mark:')).map((mark) => [mark, version]));
  same(new Set(marks.map(([mark]) => mark)).size, marks.length, 'no transaction is there twice');
  const published = new Map(marks);
  for (const [mark, touched] of committed) {
    ok(published.has(mark), `${mark} is missing; the source says\n${source.log.slice(-2000)}`);
    if (!touched || mark === 'mark:99-0') continue;
    const there = new Set(targets(published.get(mark)));
    const covered = (key) => there.has(key) || (key.startsWith('title:') && there.has('prefix title:'));
    sameAll([...touched].filter((key) => !covered(key)), [], `${mark} is one version`);
    sameAll([...there].filter((key) => !touched.has(key)), [], `${mark} has nothing of others`);
  }
  same(published.size, committed.size + 1, 'nothing that was rolled back is there');
  for (let client = 0; client < CLIENTS; client += 1) {
    const numbers = [...published.keys()].filter((mark) => mark.startsWith(`mark:${client}-`)).map((mark) => Number(mark.split('-')[1]));
    sameAll(numbers, numbers.toSorted((a, b) => a - b), 'in the order of commits');
  }
  same(all.filter((version) => targets(version).some((key) => /^title:10[0-5]\d{3}$/.test(key))).length, 6, '5,001 changes are six versions');
}

/** Checks that the last change of every key fits its row. */
async function covers(pg, all) {
  const last = new Map();
  for (const { changes } of all) {
    for (const { key, op, prefix } of changes) {
      if (prefix) last.clear();
      else last.set(key, op ?? 'update');
    }
  }
  const rows = new Set((await pg.sql('SELECT id FROM titles')).map(({ id }) => `title:${id}`));
  for (const [key, op] of last) if (key.startsWith('title:')) same(op === 'update', rows.has(key), `${key}: ${op}`);
  const truncated = all.some((version) => targets(version).includes('prefix title:'));
  for (const key of rows) ok(last.has(key) || truncated, `${key} was published`);
}

/** Reads at the edge until it is told to stop, so that the edge holds values of every age. Returns how many it read. */
async function read(broker, stopped) {
  let count = 0;
  for (let n = 0; !stopped(); n += 1) {
    const keys = IDS[n % CLIENTS].map((id) => `title:${id}`);
    // While PostgreSQL is away there is no answer.
    const { entries } = await broker.readMany(keys).catch(() => ({ entries: [] }));
    count += entries.filter(({ status }) => status === 200 || status === 404).length;
  }
  return count;
}

/** Checks that the edge answers every key with what SELECT says. */
async function edgeReadsRows(pg, broker) {
  const rows = new Map((await pg.sql('SELECT id, name FROM titles')).map((row) => [row.id, row]));
  const after = await broker.status();
  for (const ids of [...IDS, [100001, 103000, 105000]]) {
    const { entries } = await broker.readMany(ids.map((id) => `title:${id}`), { after });
    const wanted = ids.map((id) => (rows.has(id) ? [200, rows.get(id)] : [404, undefined]));
    sameAll(entries.map(({ status, value }) => [status, value]), wanted);
  }
}

/** Kills a source with these flags amid the transactions of clients, and compares what was published with the rows. */
export async function killed(t, bin, { times, flags = [], settings = {} }) {
  const seed = Number(process.env.SEED ?? Date.now() % 1e6);
  t.diagnostic(`SEED=${seed}`);
  const random = below(seed);
  const pg = await startPostgres(t, bin, { max_connections: 20, ...settings });
  await pg.sql('CREATE TABLE titles (id int PRIMARY KEY, name text)', 'CREATE TABLE marks (client int, n int, PRIMARY KEY (client, n))');
  const origin = await startPostgresOrigin(t, pg, MAP);
  const broker = await startBroker(t, { ORIGIN_URL: origin.url });
  const source = new Source(t, { url: pg.url, broker: broker.url, folder: join(temporaryFolder(t), 'source'), map: MAP, flags }).start();
  await source.said(/following/);
  await until(async () => (await broker.status()).version === 1, 'the first version');
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const committed = new Map();
  let stop = false;
  const reading = read(broker, () => stop);
  const clients = Array.from({ length: CLIENTS }, (_, client) => write(pg, client, below(seed + client), () => stop, committed));
  for (let kill = 0; kill < times; kill += 1) {
    await new Promise((resolve) => setTimeout(resolve, random(400)));
    await source.kill();
    if (kill % 20 === 10) {
      await pg.end('SIGQUIT');
      await pg.start();
    }
    if (kill === Math.floor(times / 2)) await pg.sql('BEGIN; INSERT INTO marks VALUES (99, 0); INSERT INTO titles SELECT n FROM generate_series(100001, 105000) n; COMMIT');
    source.start();
  }
  stop = true;
  await Promise.all([...clients, reading]);
  // A commit whose answer was lost with the server is there all the same.
  for (const { client, n } of await pg.sql('SELECT client, n FROM marks')) {
    if (!committed.has(`mark:${client}-${n}`)) committed.set(`mark:${client}-${n}`, undefined);
  }
  await pg.sql('INSERT INTO marks VALUES (100, 0)');
  const all = [];
  const { epoch } = await broker.status();
  await until(async () => {
    const { json } = await broker.changes(`?since=${all.at(-1)?.version ?? 1}&epoch=${epoch}`);
    all.push(...json.versions);
    return all.at(-1)?.changes[0]?.key === 'mark:100-0';
  }, () => `the last mark; the source says\n${source.log.slice(-2000)}`, 60_000);

  check(all, committed, source);
  await covers(pg, all);
  await edgeReadsRows(pg, broker);
  t.diagnostic(`${committed.size} transactions, ${all.length} versions, ${await reading} reads of the edge meanwhile`);
  return { pg, source };
}

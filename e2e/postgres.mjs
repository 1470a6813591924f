// A PostgreSQL of a test's own: the newest that this machine has, on a port and a folder of its own, never as root.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import pg from 'pg';

import { freePort, runToEnd } from './system.mjs';

/** The folders of a system's PostgreSQL, one a major version. */
const INSTALLED = '/usr/lib/postgresql';
/** The user that runs PostgreSQL where the test is root, which PostgreSQL refuses to be. */
const NOBODY = 65_534;

/** Returns the folder of the newest PostgreSQL's programs; undefined where there is none. */
export function postgresPrograms() {
  const majors = existsSync(INSTALLED) ? readdirSync(INSTALLED).sort((a, b) => Number(b) - Number(a)) : [];
  return majors.map((major) => join(INSTALLED, major, 'bin')).find((folder) => existsSync(join(folder, 'initdb')));
}

/** One server and its database. It ends with the test. */
export class Postgres {
  /** Makes a server and starts it. */
  static async start(t, { settings = {} } = {}) {
    const folder = mkdtempSync(join(tmpdir(), 'newsreel-postgres-'));
    const user = process.getuid() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
    if (user.uid) chownSync(folder, user.uid, user.gid);
    const server = new Postgres(folder, await freePort(), { cwd: folder, ...user }, settings);
    t.after(async () => {
      await server.kill();
      rmSync(folder, { recursive: true, force: true });
    });
    const made = await runToEnd(join(postgresPrograms(), 'initdb'), ['-D', 'data', '-U', 'tv', '-A', 'trust', '-N'], server.options);
    if (made.code !== 0) throw new Error(`initdb: ${made.stderr}`);
    await server.again();
    return server;
  }

  constructor(folder, port, options, settings) {
    Object.assign(this, { folder, port, options, settings });
    this.url = `postgres://tv@127.0.0.1:${port}/postgres`;
  }

  /** Starts the server on what its folder has. */
  async again() {
    const all = { port: this.port, listen_addresses: '127.0.0.1', unix_socket_directories: '', fsync: 'off', ...this.settings };
    const words = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    this.child = spawn(join(postgresPrograms(), 'postgres'), ['-D', 'data', ...words], { ...this.options, stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    const ready = new Promise((resolve, reject) => {
      this.child.stderr.setEncoding('utf8').on('data', (text) => {
        said += text;
        if (said.includes('ready to accept connections')) resolve();
      });
      this.child.once('exit', () => reject(new Error(`postgres ended:\n${said}`)));
    });
    await ready;
  }

  /** Ends the server without a word, and waits until it is gone. */
  async kill() {
    if (!this.child || this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill('SIGQUIT');
    await once(this.child, 'exit');
  }

  /** Runs SQL, and returns the rows of its last statement. */
  async sql(text) {
    const client = new pg.Client({ connectionString: this.url });
    await client.connect();
    try {
      const results = await client.query(text);
      return (Array.isArray(results) ? results.at(-1) : results).rows;
    } finally {
      await client.end();
    }
  }
}

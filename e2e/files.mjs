// Dumps for `newsreel source files` and `newsreel origin --from`, and both commands for a test.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { RunningSource } from './source.mjs';
import { freePort, NEWSREEL, runToEnd, TOKENS } from './system.mjs';

export const MAP = `[[map]]
from = "titles"
key = "title:{id}"
tags = ["platform:{platforms[]}"]
also = [{ tag = "owner:{owner}" }]
widen = { prefix = "title:" }
`;

/** A row of the tests' catalogue. */
export const title = (id, name, { owner = 'x', platforms = [] } = {}) => ({ id, name, owner, platforms });

export const ndjson = (rows) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

/** Puts a dump in its place at once, as a partner should. */
export function replace(path, content) {
  writeFileSync(`${path}.part`, content);
  renameSync(`${path}.part`, path);
}

/** `newsreel source files`, which can be killed and started again on the same state. */
export class FilesSource extends RunningSource {
  constructor(t, { place, broker, folder, map = MAP, flags = [] }) {
    super(t, folder, map);
    this.state = join(folder, 'titles.state');
    this.words = ['source', 'files', place, '--map', this.map, '--broker', broker, '--token', TOKENS.publish, '--state', this.state,
      '--quiet-ms', '0', '--poll-ms', '20', ...flags];
  }

  /** Runs the command to its end, with further flags. */
  run(...flags) {
    return runToEnd(NEWSREEL, [...this.words, ...flags]);
  }

  /** Takes the dump that is there; returns the versions. */
  async once(...flags) {
    const { code, stdout, stderr } = await this.run('--once', ...flags);
    if (code !== 0) throw new Error(`source files ended with ${code}: ${stderr}`);
    return stdout.split('\n').filter(Boolean).map((line) => JSON.parse(line));
  }

  /** What the state says. */
  async status() {
    const { stdout } = await runToEnd(NEWSREEL, ['source', 'files', 'status', '--json', '--state', this.state]);
    return JSON.parse(stdout);
  }
}

/** Starts `newsreel origin --from` and waits until it serves: `{ url, get, log }`. Ends with the test. */
export async function startFilesOrigin(t, { from, map, db, port, flags = [] }) {
  port ??= await freePort();
  const words = ['origin', '--from', from, '--map', map, '--db', db, '--listen', `127.0.0.1:${port}`, '--quiet-ms', '0', '--poll-ms', '20', ...flags];
  const child = spawn(NEWSREEL, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  const origin = { url: `http://127.0.0.1:${port}`, log: '' };
  child.stderr.setEncoding('utf8').on('data', (text) => (origin.log += text));
  t.after(async () => {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  });
  const ended = once(child, 'exit').then(([code]) => Promise.reject(new Error(`the origin ended with ${code}: ${origin.log}`)));
  ended.catch(() => {});
  await Promise.race([once(createInterface({ input: child.stdout }), 'line'), ended]);
  return Object.assign(origin, { get: (path, options) => fetch(`${origin.url}/tv/${path}`, options) });
}

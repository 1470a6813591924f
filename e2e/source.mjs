// A source that publishes while a test runs, whatever it reads: its process, what it says, and the log that it fills.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { NEWSREEL } from './system.mjs';

/** `newsreel source …` with the words `words`, which can be killed and started again. Ends with the test. */
export class RunningSource {
  #child;
  versions = [];
  log = '';
  env = process.env;

  /** Writes the mapping into a folder. */
  constructor(t, folder, map) {
    this.map = join(folder, 'map.toml');
    writeFileSync(this.map, map);
    t.after(() => this.kill());
  }

  start() {
    this.#child = spawn(NEWSREEL, this.words, { stdio: ['ignore', 'pipe', 'pipe'], env: this.env });
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.versions.push(JSON.parse(line)));
    this.#child.stderr.setEncoding('utf8').on('data', (text) => (this.log += text));
    return this;
  }

  get pid() {
    return this.#child.pid;
  }

  async kill(signal = 'SIGKILL') {
    if (!this.#child || this.#child.exitCode !== null || this.#child.signalCode !== null) return this.#child?.exitCode;
    const closed = once(this.#child, 'close');
    this.#child.kill(signal);
    await closed;
    return this.#child.exitCode;
  }

  /** Waits for the end of the command; returns its exit code. */
  async ended() {
    if (this.#child.exitCode === null) await once(this.#child, 'close');
    return this.#child.exitCode;
  }

  /** Waits until the log of the command says something, so many times. */
  async said(pattern, times = 1) {
    const all = new RegExp(pattern, `${pattern.flags.replace('g', '')}g`);
    const count = () => this.log.match(all)?.length ?? 0;
    await until(() => count() >= times || this.#child.exitCode !== null, () => `${pattern} in\n${this.log}`);
    if (count() < times) throw new Error(`the source ended:\n${this.log}`);
  }
}

/** How often a story kills what it is about: `of` times, or as often as the variable KILLS says. */
export const kills = (of) => Number(process.env.KILLS ?? of);

/** Waits until something holds. */
export async function until(holds, what, ms = 30_000) {
  const end = Date.now() + ms;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${typeof what === 'function' ? what() : what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The changes of every version, the first (which heals the gap before the slot) left out. */
export async function versions(broker, since = 1) {
  const all = [];
  for (let at = since; ; ) {
    const { json } = await broker.changes(`?since=${at}&epoch=${(await broker.status()).epoch}`);
    if (json.versions.length === 0) return all;
    all.push(...json.versions);
    at = json.to;
  }
}

/** Waits until the log has so many versions. */
export async function reached(broker, source, count) {
  const version = async () => (await broker.status()).version;
  await until(async () => (await version()) >= count, () => `${count} versions; the source says\n${source.log}`);
  return (await versions(broker)).map(({ changes }) => changes);
}

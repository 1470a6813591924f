// Newsreel on bare `workerd serve`: one process that a test kills by its pid, limits, and starts again in no time.
//
// The production Worker on a folder (`localDisk`), as on a machine of its own. KV is a small server of the test's,
// over workerd's own KV protocol, so it outlives the process; there is no R2, which is optional.

import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { Broker, freePort, ROOT, SECRETS, temporaryFolder } from './system.mjs';
import { configuration, kill, listening, start, startKv } from './workerd.mjs';

/** A deployment on a folder. Its processes end with the test. */
export class Served {
  /** The lines of the running process on stderr. */
  said = [];
  #child;

  /**
   * `state` is where the objects are kept, `vars` the deployment's variables beside the usual, `around` the name of a
   * module of these tests around the production Worker (`WORKER`, and a second one, `SECOND`), `classes` those of the objects, `tail` a
   * module of these tests that is told of spans.
   */
  static async at(t, { vars = {}, state, around, tail, classes = ['Broker', 'Replica'] } = {}) {
    const served = new Served();
    // Before its folders are removed: a test's end runs in the order in which it was told.
    t.after(() => served.kill());
    const folder = temporaryFolder(t);
    state ??= temporaryFolder(t);
    const [port, kv] = [await freePort(), await startKv()];
    t.after(() => kv.close());
    const modules = [...(around ? [wrap(folder, around)] : []), ...copyWorker(folder), ...(around ? copyWorker(folder, 'second/') : [])];
    if (tail) copyFileSync(join(ROOT, 'e2e', tail), join(folder, tail));
    mkdirSync(state, { recursive: true });
    const config = join(folder, 'config.capnp');
    const all = { EDGE: 'e2e', ORIGIN_URL: 'http://127.0.0.1:1', ...SECRETS, ...vars };
    writeFileSync(config, configuration({ port, modules, classes, state, kv: kv.port, tail, vars: all }));
    Object.assign(served, { config, kv, state, broker: new Broker(`http://127.0.0.1:${port}`) });
    return served;
  }

  /** Starts the process, by way of `around` if given; waits until it listens. */
  async start({ around = [] } = {}) {
    this.said = [];
    this.#child = start(this.config, { around, hear: (line) => this.said.push(line) });
    await listening(this.#child).catch((error) => {
      throw new Error(`${error.message}: ${this.said.join('\n')}`);
    });
    return this;
  }

  get pid() {
    return this.#child.pid;
  }

  /** Ends it without a word, and waits until it is gone. */
  async kill() {
    await kill(this.#child);
  }
}

/** The broker of a deployment that runs, for tests that need no more of it; a start costs a fifth of wrangler's. */
export async function startBroker(t, vars = {}) {
  const served = await Served.at(t, { vars });
  return (await served.start()).broker;
}

/** Copies the production Worker to below a folder, and returns the names of its modules, the main one first. */
function copyWorker(folder, below = '') {
  mkdirSync(join(folder, below), { recursive: true });
  return ['index.js', 'index_bg.wasm'].map((name) => {
    copyFileSync(join(ROOT, 'crates/entry/build', name), join(folder, below, name));
    return `${below}${name}`;
  });
}

/** Writes a module of these tests, whose imports of the Worker are filled in, into a folder; returns its name. */
function wrap(folder, around) {
  const text = readFileSync(join(ROOT, 'e2e', around), 'utf8');
  const main = text.replaceAll("'WORKER'", "'./index.js'").replaceAll("'SECOND'", "'./second/index.js'");
  writeFileSync(join(folder, 'main.mjs'), main);
  return 'main.mjs';
}

// Newsreel on bare `workerd serve`: one process that a test kills by its pid, limits, and starts again in no time.
//
// The production Worker on a folder (`localDisk`), as on a machine of its own. KV is a small server of the test's,
// over workerd's own KV protocol, so it outlives the process; there is no R2, which is optional.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import workerd from 'workerd';

import { Broker, freePort, ROOT, SECRETS, temporaryFolder } from './system.mjs';

/** A deployment on a folder. Its processes end with the test. */
export class Served {
  /** What the process that runs said on stderr. */
  said = [];
  #child;

  /** `state` is where the objects are kept, `vars` the deployment's variables beside the usual. */
  static async at(t, { vars = {}, state = temporaryFolder(t) } = {}) {
    const folder = temporaryFolder(t);
    const [port, kv] = [await freePort(), await startKv(t)];
    for (const name of ['index.js', 'index_bg.wasm']) copyFileSync(join(ROOT, 'crates/entry/build', name), join(folder, name));
    mkdirSync(state, { recursive: true });
    const config = join(folder, 'config.capnp');
    writeFileSync(config, capnp({ port, kv: kv.port, state, vars: { EDGE: 'e2e', ORIGIN_URL: 'http://127.0.0.1:1', ...SECRETS, ...vars } }));
    const served = new Served();
    Object.assign(served, { config, kv, state, broker: new Broker(`http://127.0.0.1:${port}`) });
    t.after(() => served.kill());
    return served;
  }

  /** Starts the process, by way of `around` if given; waits until it listens. */
  async start({ around = [] } = {}) {
    const words = [...around, workerd.default, 'serve', '--experimental', '--control-fd=3', this.config];
    this.said = [];
    const child = spawn(words[0], words.slice(1), { stdio: ['ignore', 'ignore', 'pipe', 'pipe'] });
    this.#child = child;
    createInterface({ input: child.stderr }).on('line', (line) => this.said.push(line));
    const listens = once(createInterface({ input: child.stdio[3] }), 'line');
    const ended = once(child, 'exit').then(([code, signal]) => {
      throw new Error(`workerd ended with ${code ?? signal}: ${this.said.join('\n')}`);
    });
    ended.catch(() => {});
    await Promise.race([listens, ended]);
    return this;
  }

  get pid() {
    return this.#child.pid;
  }

  /** Ends it without a word, and waits until it is gone. */
  async kill() {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'close');
  }
}

/** The configuration of one Worker with its two kinds of objects, as `wrangler.toml` has it. */
function capnp({ port, kv, state, vars }) {
  const text = (value) => JSON.stringify(String(value));
  const bindings = [
    '(name = "BROKER", durableObjectNamespace = "Broker")',
    '(name = "REPLICA", durableObjectNamespace = "Replica")',
    '(name = "ENTRIES", kvNamespace = "kv")',
    ...Object.entries(vars).map(([name, value]) => `(name = ${text(name)}, text = ${text(value)})`),
  ];
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      compatibilityDate = "2026-07-30",
      modules = [
        (name = "index.js", esModule = embed "index.js"),
        (name = "index_bg.wasm", wasm = embed "index_bg.wasm"),
      ],
      durableObjectNamespaces = [
        (className = "Broker", uniqueKey = "broker", enableSql = true),
        (className = "Replica", uniqueKey = "replica", enableSql = true),
      ],
      durableObjectStorage = (localDisk = "state"),
      bindings = [
        ${bindings.join(',\n        ')},
      ],
    )),
    (name = "state", disk = (path = ${text(state)}, writable = true)),
    (name = "kv", external = (address = "127.0.0.1:${kv}", http = ())),
    (name = "internet", network = (allow = ["public", "private"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
`;
}

/** A KV namespace, by the requests that workerd's binding makes. */
async function startKv(t) {
  const entries = new Map();
  const server = createServer((request, answer) => {
    const { pathname } = new URL(request.url, 'http://kv');
    const name = decodeURIComponent(pathname.slice(1));
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      if (request.method === 'PUT') {
        entries.set(name, { bytes: Buffer.concat(parts), metadata: request.headers['cf-kv-metadata'] });
        return answer.end();
      }
      if (request.method === 'DELETE') {
        entries.delete(name);
        return answer.end();
      }
      const entry = entries.get(name);
      if (request.method !== 'GET' || !entry) return answer.writeHead(404).end();
      answer.writeHead(200, entry.metadata ? { 'cf-kv-metadata': entry.metadata } : {}).end(entry.bytes);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { entries, port: server.address().port };
}

// Bare `workerd serve`: one process on a configuration of one Worker, without wrangler or Miniflare around it.
//
// Tests start it to kill it by its process id (served.mjs); measurements start it because it adds the least (bench/).

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';

import workerd from 'workerd';

/** How many ports a process tries before it begins anew: its slice of 10240 to 32767, below those that the system gives away. */
const SLICE = 256;
const FIRST_PORT = 10_240 + SLICE * (process.pid % 88);
let portsGiven = 0;

/**
 * Returns a port of 127.0.0.1 that nothing listens on, for a process that is started later. Neither another test file nor an
 * outgoing connection takes the port meanwhile.
 */
export async function freePort() {
  for (;;) {
    const port = FIRST_PORT + (portsGiven++ % SLICE);
    if (await isFree(port)) return port;
  }
}

/** Returns the first of so many free ports that follow each other. */
export async function freePorts(count) {
  const first = await freePort();
  for (let next = first + 1; next < first + count; next++) if ((await freePort()) !== next) return freePorts(count);
  return first;
}

async function isFree(port) {
  const server = createServer();
  const listening = once(server, 'listening').then(() => true, () => false);
  server.listen(port, '127.0.0.1');
  if (!(await listening)) return false;
  server.close();
  await once(server, 'close');
  return true;
}

/** A KV namespace on a port of its own, by the requests that workerd's binding makes; `entries` is what it holds. */
export async function startKv() {
  const entries = new Map();
  const server = createHttpServer((request, answer) => {
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
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { entries, port: server.address().port, close };
}

/** A text of a configuration. */
const text = (value) => JSON.stringify(String(value));

/** Returns the binding of a class of objects: `ALERT_BOARD` of `AlertBoard`. */
const bindingOf = (name) => name.replace(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase();

/**
 * Returns the configuration of one Worker that listens on 127.0.0.1.
 *
 * `modules` are file names beside the configuration, the main one first; `classes` are its Durable Objects, each bound by
 * its name in capitals; `state` is the folder where objects keep their rows; `kv` is the port of a KV namespace `ENTRIES`.
 * `beside` are more services and sockets, in the words of the configuration; `tail` is the file of a Worker that is told of spans.
 */
export function configuration({ port, modules, classes, state, kv, tail, vars = {}, beside = { services: [], sockets: [] } }) {
  const bindings = [
    ...classes.map((name) => `(name = ${text(bindingOf(name))}, durableObjectNamespace = ${text(name)})`),
    ...(kv ? ['(name = "ENTRIES", kvNamespace = "kv")'] : []),
    ...Object.entries(vars).filter(([, value]) => value !== undefined).map(([name, value]) => `(name = ${text(name)}, text = ${text(value)})`),
  ];
  const embedded = (name) => `(name = ${text(name)}, ${name.endsWith('.wasm') ? 'wasm' : 'esModule'} = embed ${text(name)})`;
  const namespace = (name) => `(className = ${text(name)}, uniqueKey = ${text(name.toLowerCase())}, enableSql = true)`;
  const list = (items) => items.map((item) => `        ${item},\n`).join('');
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      compatibilityDate = "2026-07-30",
      modules = [
${list(modules.map(embedded))}      ],
      durableObjectNamespaces = [
${list(classes.map(namespace))}      ],
      durableObjectStorage = (localDisk = "state"),
${tail ? '      streamingTails = ["tail"],\n' : ''}      bindings = [
${list(bindings)}      ],
    )),
    (name = "state", disk = (path = ${text(state)}, writable = true)),
    ${kv ? `(name = "kv", external = (address = "127.0.0.1:${kv}", http = ())),` : ''}
${tail ? `    (name = "tail", worker = (compatibilityDate = "2026-07-30", compatibilityFlags = ["experimental"], modules = [${embedded(tail)}])),\n` : ''}    (name = "internet", network = (allow = ["public", "private"])),
${list(beside.services)}  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main"),
${list(beside.sockets)}  ],
);
`;
}

/** Starts workerd on a configuration file, by way of `around` if given; `listening` waits for it. */
export function start(config, { around = [], hear = () => {} } = {}) {
  const words = [...around, workerd.default, 'serve', '--experimental', '--control-fd=3', config];
  const child = spawn(words[0], words.slice(1), { stdio: ['ignore', 'ignore', 'pipe', 'pipe'] });
  createInterface({ input: child.stderr }).on('line', hear);
  return child;
}

/** Waits until a process that `start` started listens. */
export async function listening(child) {
  const listens = once(createInterface({ input: child.stdio[3] }), 'line');
  const ended = once(child, 'exit').then(([code, signal]) => {
    throw new Error(`workerd ended with ${code ?? signal}`);
  });
  ended.catch(() => {});
  await Promise.race([listens, ended]);
}

/** Ends a process without a word, and waits until it is gone. */
export async function kill(child) {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'close');
}

/** The CPU time of a process in milliseconds, of the threads that it has; infinite where there is no /proc. */
export function cpuOf(pid) {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    const nanoseconds = threads.map((thread) => Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]));
    return nanoseconds.reduce((sum, one) => sum + one) / 1e6;
  } catch {
    return Infinity;
  }
}

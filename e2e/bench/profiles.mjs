// Compares builds of the Worker: what publishing, replay, reads and start-up cost each in CPU time.
//
// The builds take turns on bare workerd, each time in a new process on an empty folder, under the same load. The
// measure is the CPU time of the process per operation, in the cheapest round of each build: other programs on the
// machine then matter little.
//
//   profiles.mjs ROUNDS NAME=FOLDER…   a FOLDER has index.js and index_bg.wasm

import { copyFileSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { configuration, cpuOf, freePort, kill, listening, start, startKv } from '../workerd.mjs';

const CATALOG = 'tv';
const TOKEN = 'bench';
const KEYS = 50;

const [rounds, ...named] = process.argv.slice(2);
const builds = named.map((word) => word.split('='));

/** One deployment of a build, under load. */
class Subject {
  static async start(folder) {
    const scratch = mkdtempSync(join(tmpdir(), 'newsreel-profiles-'));
    const state = join(scratch, 'state');
    mkdirSync(state);
    const modules = ['index.js', 'index_bg.wasm'];
    for (const name of modules) copyFileSync(join(folder, name), join(scratch, name));
    const [port, origin, kv] = [await freePort(), await startOrigin(), await startKv()];
    const config = join(scratch, 'config.capnp');
    const vars = {
      EDGE: 'bench', ORIGIN_URL: `http://127.0.0.1:${origin.address().port}`,
      PUBLISH_TOKENS: `b=${TOKEN}`, FOLLOW_TOKENS: `b=${TOKEN}`,
    };
    writeFileSync(config, configuration({ port, modules, classes: ['Broker', 'Replica'], state, kv: kv.port, vars }));
    const subject = Object.assign(new Subject(), { scratch, origin, kv, port });
    subject.child = start(config, { hear: (line) => console.error(line) });
    await listening(subject.child);
    return subject;
  }

  async end() {
    await kill(this.child);
    this.kv.close();
    this.origin.close();
    this.origin.closeAllConnections();
    rmSync(this.scratch, { recursive: true });
  }

  at(path) {
    return `http://127.0.0.1:${this.port}/v1/catalogs/${CATALOG}${path}`;
  }

  /** The CPU time in microseconds that one of `count` operations took. */
  async cost(count, run) {
    const before = cpuOf(this.child.pid);
    await run();
    return ((cpuOf(this.child.pid) - before) * 1000) / count;
  }

  async ask(path, init = {}) {
    const headers = { authorization: `Bearer ${TOKEN}`, ...init.headers };
    const response = await fetch(this.at(path), { ...init, headers });
    const text = await response.text();
    if (!response.ok) throw new Error(`${response.status} ${text}`);
    return text;
  }

  socket(path) {
    const bearer = `newsreel.bearer.${Buffer.from(TOKEN).toString('base64url')}`;
    return new WebSocket(this.at(path).replace(/^http/, 'ws'), ['newsreel.v1', bearer]);
  }

  /** Publishes one by one over HTTP, eight at a time. */
  publishOverHttp(count) {
    return inParallel(8, count, (n) => this.ask('/changes', { method: 'POST', body: JSON.stringify(change(n)) }));
  }

  /** Publishes lines, 100 in a request. */
  async publishLines(count) {
    for (let at = 0; at < count; at += 100) {
      const lines = Array.from({ length: 100 }, (_, n) => JSON.stringify(change(at + n)));
      const headers = { 'content-type': 'application/x-ndjson' };
      await this.ask('/changes', { method: 'POST', headers, body: lines.join('\n') });
    }
  }

  /** Publishes over a socket, 64 unanswered. */
  async publishOverSocket(count) {
    const socket = this.socket('/publish');
    await once(socket, 'open');
    let [sent, answered] = [0, 0];
    const send = () => socket.send(JSON.stringify(change(sent++)));
    await new Promise((resolve, reject) => {
      socket.onclose = ({ code, reason }) => reject(new Error(`closed: ${code} ${reason}`));
      socket.onmessage = ({ data }) => {
        const { answers = [] } = JSON.parse(data);
        answered += answers.length;
        if (answered >= count) resolve();
        for (let n = 0; n < answers.length && sent < count; n += 1) send();
      };
      while (sent < Math.min(64, count)) send();
    });
    socket.close();
  }

  /** Follows from the beginning until live. */
  async replay() {
    const socket = this.socket('/follow?name=bench&version=0');
    await new Promise((resolve, reject) => {
      socket.onclose = ({ code, reason }) => reject(new Error(`closed: ${code} ${reason}`));
      socket.onmessage = ({ data }) => {
        const to = /"to":(\d+)/.exec(data.slice(0, 200));
        if (to) socket.send(`{"type":"ack","version":${to[1]}}`);
        if (data.startsWith('{"type":"live"')) resolve();
      };
    });
    socket.close();
  }

  read(count) {
    return inParallel(16, count, (n) => this.ask(`/entries/title:${n % KEYS}`));
  }
}

const change = (n) => ({ key: `title:${n % KEYS}`, tags: ['platform:quay', `season:${n % 7}`] });

/** Runs `count` asynchronous calls, so many at a time. */
async function inParallel(lanes, count, call) {
  let next = 0;
  const lane = async () => {
    while (next < count) await call(next++);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

async function startOrigin() {
  const value = JSON.stringify({ title: 'The Lantern Keepers', text: 'x'.repeat(1000) });
  const server = createServer((_, answer) => {
    answer.writeHead(200, { 'content-type': 'application/json', 'cache-tag': 'platform:quay' }).end(value);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** One round of a build: the cost of each kind of operation. */
async function measure(folder) {
  const subject = await Subject.start(folder);
  try {
    await subject.ask('');
    const startUp = cpuOf(subject.child.pid);
    await subject.publishLines(2_000); // Warm, as the rest is.
    const lines = await subject.cost(20_000, () => subject.publishLines(20_000));
    await subject.replay();
    const replay = await subject.cost(22_000 * 20, async () => {
      for (let n = 0; n < 20; n += 1) await subject.replay();
    });
    await subject.publishOverSocket(1_000);
    const socket = await subject.cost(8_000, () => subject.publishOverSocket(8_000));
    await subject.publishOverHttp(300);
    const http = await subject.cost(2_000, () => subject.publishOverHttp(2_000));
    await subject.read(500);
    const reads = await subject.cost(4_000, () => subject.read(4_000));
    return { 'start-up, ms': startUp, 'a line of 100, µs': lines, 'by socket, µs': socket, 'by HTTP, µs': http, 'replayed, µs': replay, 'read from memory, µs': reads };
  } finally {
    await subject.end();
  }
}

const costs = new Map(builds.map(([name]) => [name, []]));
for (let round = 0; round < Number(rounds); round += 1) {
  for (const [name, folder] of builds) {
    costs.get(name).push(await measure(folder));
    console.error(`round ${round + 1}: ${name}`);
  }
}
const kinds = Object.keys(costs.values().next().value[0]);
console.log(`| opt-level | KiB | ${kinds.join(' | ')} |`);
console.log(`|---|---|${kinds.map(() => '---|').join('')}`);
for (const [name, folder] of builds) {
  const cheapest = kinds.map((kind) => Math.min(...costs.get(name).map((round) => round[kind])));
  const shown = cheapest.map((cost) => cost.toPrecision(3));
  console.log(`| ${name} | ${Math.round(statSync(join(folder, 'index_bg.wasm')).size / 1024)} | ${shown.join(' | ')} |`);
}

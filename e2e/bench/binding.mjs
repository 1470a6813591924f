// Measures what a hit through the service binding costs a Worker, beside the same Worker with a constant answer.
//
// Bare workerd runs Newsreel and a site that is bound to it. One connection asks the site for a constant, for a value by
// `get` and `read` of the binding, and for the same value by the binding's `fetch`, in turn. Prints the medians.
//
//   binding.mjs [ROUNDS]

import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { configuration, freePort, kill, listening, start, startKv } from '../workerd.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const rounds = Number(process.argv[2] ?? 3_000);
const KINDS = ['constant', 'bare', 'bareFetch', 'get', 'read', 'fetch'];

const SITE = `
const value = { name: 'Alien', year: 1979, cast: ['Sigourney Weaver', 'Tom Skerritt', 'John Hurt'] };
const fill = async () => value;
const calls = {
  constant: () => value,
  bare: (env) => env.BARE.get('title:1'),
  bareFetch: (env) => env.BARE.fetch('http://bare/').then((response) => response.json()),
  get: (env) => env.NEWSREEL.get('title:1'),
  read: async (env) => (await env.NEWSREEL.read('title:1', fill)).value,
  fetch: (env) => env.NEWSREEL.fetch('http://newsreel/v1/catalogs/tv/entries/title:1').then((response) => response.json()),
};
export default { fetch: async ({ url }, env) => Response.json(await calls[new URL(url).pathname.slice(1)](env)) };
`;

const BARE = `
import { WorkerEntrypoint } from 'cloudflare:workers';
const value = { name: 'Alien', year: 1979, cast: ['Sigourney Weaver', 'Tom Skerritt', 'John Hurt'] };
export default class extends WorkerEntrypoint {
  get() {
    return value;
  }
  fetch() {
    return Response.json(value);
  }
}
`;

const folder = mkdtempSync(join(tmpdir(), 'newsreel-binding-'));
mkdirSync(join(folder, 'state'));
for (const name of ['index.js', 'index_bg.wasm']) copyFileSync(join(ROOT, 'crates/entry/build', name), join(folder, name));
writeFileSync(join(folder, 'site.mjs'), SITE);
writeFileSync(join(folder, 'bare.mjs'), BARE);
const [port, sitePort, kv] = [await freePort(), await freePort(), await startKv()];
const site = `(name = "site", worker = (compatibilityDate = "2026-07-30", modules = [(name = "site.mjs", esModule = embed "site.mjs")],
      bindings = [(name = "BARE", service = "bare"), (name = "NEWSREEL", service = (name = "main", entrypoint = "Newsreel", props = (json = "{\\"catalog\\":\\"tv\\"}")))]))`;
const beside = {
  services: [
    site,
    '(name = "bare", worker = (compatibilityDate = "2026-07-30", modules = [(name = "bare.mjs", esModule = embed "bare.mjs")]))',
  ],
  sockets: [`(name = "site", address = "127.0.0.1:${sitePort}", http = (), service = "site")`],
};
const modules = ['index.js', 'index_bg.wasm'];
// An origin, so that the binding's `fetch` is a read like any other; none is ever asked.
const vars = { EDGE: 'bench', ORIGIN_URL: 'http://127.0.0.1:1' };
const config = join(folder, 'config.capnp');
const given = { port, modules, classes: ['Broker', 'Replica'], state: join(folder, 'state'), kv: kv.port, vars, beside };
writeFileSync(config, configuration(given));
const child = start(config, { hear: (line) => console.error(line) });
const agent = new Agent({ keepAlive: true, maxSockets: 1 });

/** Asks the site once; returns the milliseconds. */
const ask = (kind) =>
  new Promise((resolve, reject) => {
    const began = performance.now();
    get({ host: '127.0.0.1', port: sitePort, path: `/${kind}`, agent }, (response) => {
      response.resume().once('end', () => {
        if (response.statusCode === 200) resolve(performance.now() - began);
        else reject(new Error(`${kind} answers ${response.statusCode}`));
      });
    }).once('error', reject);
  });

try {
  await listening(child);
  await ask('read');
  const times = Object.fromEntries(KINDS.map((kind) => [kind, []]));
  for (let round = 0; round < rounds + 200; round++) {
    for (const kind of KINDS) {
      const time = await ask(kind);
      if (round >= 200) times[kind].push(time);
    }
  }
  const median = (list) => list.sort((one, other) => one - other)[Math.floor(list.length / 2)];
  const constant = median(times.constant);
  for (const kind of KINDS) {
    const p50 = median(times[kind]);
    console.log(`${kind.padEnd(8)} p50 ${p50.toFixed(3)} ms${kind === 'constant' ? '' : `, ${(p50 - constant).toFixed(3)} ms more`}`);
  }
} finally {
  agent.destroy();
  await kill(child);
  kv.close();
  rmSync(folder, { recursive: true });
}

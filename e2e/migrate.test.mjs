// The guides of docs/migrate, run: the Worker before and the Worker after of each, beside one deployment.
//
// The code is the guides' own: a block that says `js before` or `js after` is the whole Worker.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import test from 'node:test';

import { createTestHarness } from 'wrangler';

import { ROOT, SECRETS, temporaryFolder } from './system.mjs';

const GUIDES = ['from-kv', 'from-cache-api', 'from-purge', 'from-opennext'];
/** Stands in for the build of OpenNext: an app with a page a product, and a route that saves one. */
const OPEN_NEXT = `
export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    const path = env.DATABASE + pathname;
    if (request.method === 'PUT') {
      await fetch(path, request);
      return Response.json(env.NEWSREEL ? await env.NEWSREEL.purgeTags(['path:' + pathname]) : null);
    }
    const headers = { 'Content-Type': 'text/html', 'Cache-Control': 's-maxage=3600', 'Vary': 'RSC, Next-Url' };
    return new Response('<h1>' + await (await fetch(path)).text() + '</h1>', { headers });
  },
};
`;

/** A database that is asked over HTTP, whose answers a test may hold, and a purge API that counts its calls. */
class Database {
  rows = new Map();
  asked = 0;
  purged = [];
  #gate;

  static async start(t) {
    const database = new Database();
    const server = createServer((request, answer) => database.#answer(request, answer)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => (server.closeAllConnections(), server.close()));
    database.url = `http://127.0.0.1:${server.address().port}`;
    return database;
  }

  /** Holds the next answer to a read; returns what says that it was asked, and what lets it go. */
  hold() {
    const [asked, go] = [Promise.withResolvers(), Promise.withResolvers()];
    this.#gate = { asked: asked.resolve, gone: go.promise };
    return { asked: asked.promise, go: go.resolve };
  }

  async #answer(request, answer) {
    let body = '';
    for await (const part of request.setEncoding('utf8')) body += part;
    if (request.method === 'POST') this.purged.push(JSON.parse(body));
    if (request.method === 'PUT') this.rows.set(request.url, body);
    if (request.method !== 'GET') return answer.writeHead(204).end();
    const row = this.rows.get(request.url);
    this.asked += 1;
    const gate = this.#gate;
    this.#gate = undefined;
    gate?.asked();
    await gate?.gone;
    answer.end(row);
  }
}

/** Writes the Worker of a block with its configuration; returns the path of that. */
function worker(folder, guide, kind, database) {
  const text = readFileSync(join(ROOT, `docs/migrate/${guide}.md`), 'utf8');
  const block = new RegExp(`^\`\`\`js ${kind}\\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(text);
  assert.ok(block, `${guide} has a block that says js ${kind}`);
  const home = join(folder, `${guide}-${kind}`);
  mkdirSync(join(home, '.open-next'), { recursive: true });
  writeFileSync(join(home, '.open-next/worker.js'), OPEN_NEXT);
  writeFileSync(join(home, 'worker.js'), block[1]);
  const binding = '[[services]]\nbinding = "NEWSREEL"\nservice = "newsreel"\nentrypoint = "Newsreel"\nprops = { catalog = "shop", publisher = "site" }';
  writeFileSync(join(home, 'wrangler.toml'), `
name = "${guide}-${kind}"
main = "worker.js"
compatibility_date = "2026-07-30"
${kind === 'after' ? binding : '[[kv_namespaces]]\nbinding = "CACHE"\nid = "cache"'}
[vars]
DATABASE = "${database.url}/${guide}-${kind}"
CLOUDFLARE_API = "${database.url}"
ZONE = "zone"
PURGE_TOKEN = "token"
`);
  return { configPath: join(home, 'wrangler.toml') };
}

test('the Workers of the guides do what they say', { timeout: 120_000 }, async (t) => {
  const database = await Database.start(t);
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(join(ROOT, 'target/client/package'), join(folder, 'node_modules/newsreel'));
  const newsreel = { configPath: 'wrangler.toml', vars: { ORIGIN_URL: '', EDGE: 'e2e' }, secrets: SECRETS };
  const sites = GUIDES.flatMap((guide) => ['before', 'after'].map((kind) => worker(folder, guide, kind, database)));
  const harness = createTestHarness({ root: ROOT, workers: [newsreel, ...sites] });
  t.after(() => harness.close());
  await harness.listen();

  for (const guide of GUIDES) {
    for (const kind of ['before', 'after']) {
      await t.test(`${guide}, ${kind}`, () => visit(harness.getWorker(`${guide}-${kind}`), database, guide, kind));
    }
  }
});

async function visit(site, database, guide, kind) {
  const address = `http://site.example/products/1`;
  /** Saves a product; returns the headers with which its editor reads. */
  const save = async (body) => {
    const answer = await site.fetch(address, { method: 'PUT', body });
    assert.ok(answer.ok, `${answer.status}`);
    const receipt = (await answer.text()) || 'null';
    const { epoch, version } = JSON.parse(receipt) ?? {};
    return epoch ? { 'Newsreel-Min-Version': `${epoch}:${version}` } : {};
  };
  const read = async (headers = {}) => {
    const answer = await site.fetch(address, { headers });
    const text = await answer.text();
    assert.equal(answer.status, 200, text);
    return text.replace(/<\/?h1>/g, '');
  };
  await save('one');
  assert.equal(await read(), 'one');
  const asked = database.asked;
  assert.equal(await read(), 'one');
  // What has no cache of its own before is cached in front of the Worker, which there is not here.
  const cachesItself = kind === 'after' || guide === 'from-kv' || guide === 'from-cache-api';
  assert.equal(database.asked, cachesItself ? asked : asked + 1, 'the second read is a hit');
  assert.equal(await read(await save('two')), 'two', 'a change is seen');
  if (guide === 'from-purge' && kind === 'before') {
    assert.deepEqual(database.purged.at(-1), { tags: ['path:/products/1'] });
  }
  if (cachesItself) await race(database, kind, save, read);
}

/** A read that began before a write ends after it: the Worker before keeps the old value, the Worker after does not. */
async function race(database, kind, save, read) {
  const headers = await save('three');
  const { asked, go } = database.hold();
  const slow = read(headers);
  await asked;
  const after = await save('four');
  go();
  await slow;
  assert.equal(await read(after), kind === 'after' ? 'four' : 'three', 'what is served after the write');
}

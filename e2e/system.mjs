// The parts of a running Newsreel for tests: the Worker on real workerd, the embedded origin, free ports.
//
// Nothing here is a mock: the Worker is the production build on wrangler's harness or under `wrangler dev`,
// the origin is the `newsreel` command. Everything listens on 127.0.0.1 and is ended by its process id.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { createTestHarness } from 'wrangler';

import { freePort } from './workerd.mjs';

export { freePort };

export const ROOT = fileURLToPath(new URL('..', import.meta.url));
export const NEWSREEL = process.env.NEWSREEL_BIN ?? join(ROOT, 'target/debug/newsreel');
export const TOKENS = { publish: 'e2e-publish', follow: 'e2e-follow', fill: 'e2e-fill', admin: 'e2e-admin' };

// scripts/test has built the Worker; wrangler need not ask for it again at every start.
process.env.NEWSREEL_BUILT = '1';

export const SECRETS = {
  PUBLISH_TOKENS: `e2e=${TOKENS.publish},tv/only-tv=tv-publish`,
  FOLLOW_TOKENS: `e2e=${TOKENS.follow}`,
  FILL_TOKENS: `e2e=${TOKENS.fill}`,
  ADMIN_TOKENS: `e2e=${TOKENS.admin}`,
};

/**
 * A folder that is gone when the tests of the file are. Not sooner: what a test starts is ended after the folder was asked for,
 * and writes into it until then.
 */
export function temporaryFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'newsreel-e2e-'));
  process.once('exit', () => {
    try {
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    } catch (error) {
      console.error(`${folder} is left: ${error.message}`);
    }
  });
  return folder;
}

// Some files ask for more folders than an emitter takes for no leak.
process.setMaxListeners(0);

/** Broker and edge on wrangler's harness, where objects can be evicted, and an origin. Ends with the test. */
export async function startSystem(
  t,
  { vars = {}, secrets = {}, origin: withOrigin = true, config = 'wrangler.toml' } = {},
) {
  const originPort = await freePort();
  const harness = createTestHarness({
    root: ROOT,
    workers: [
      {
        configPath: config,
        vars: { ORIGIN_URL: `http://127.0.0.1:${originPort}`, EDGE: 'e2e', ...vars },
        secrets: { ...SECRETS, ...secrets },
      },
    ],
  });
  t.after(() => harness.close());
  const { url } = await harness.listen();
  const broker = new Broker(url.origin);
  const worker = harness.getWorker();
  const origin = withOrigin
    ? await startOrigin(t, { port: originPort, db: join(temporaryFolder(t), 'origin.sqlite'), broker: url.origin })
    : undefined;
  return { broker, worker, origin, kv: (await worker.getEnv()).ENTRIES };
}

/** A configuration whose main module is one of these tests', around the production Worker (`WORKER`). */
export function wrapped(t, module) {
  const folder = temporaryFolder(t);
  const main = join(folder, 'main.mjs');
  const worker = join(ROOT, 'crates/entry/build/index.js');
  writeFileSync(main, readFileSync(join(ROOT, 'e2e', module), 'utf8').replaceAll("'WORKER'", JSON.stringify(worker)));
  const toml = readFileSync(join(ROOT, 'wrangler.toml'), 'utf8');
  const config = join(folder, 'wrangler.toml');
  writeFileSync(config, toml.replace(/^main = .*$/m, `main = ${JSON.stringify(main)}`).replace(/^\[(build|assets)\]\n(.+\n)+/gm, ''));
  return config;
}

/** Broker and edge under `wrangler dev` on a folder that outlives it: can be killed and started again. */
export async function startDev(t, { state, port, originPort, vars = {} }) {
  const all = { ORIGIN_URL: `http://127.0.0.1:${originPort}`, EDGE: 'e2e', ...SECRETS, ...vars };
  const flags = Object.entries(all).flatMap(([name, value]) => ['--var', `${name}:${value}`]);
  const child = spawn(
    process.execPath,
    [join(ROOT, 'node_modules/wrangler/bin/wrangler.js'), 'dev', '--config', join(ROOT, 'wrangler.toml'),
      '--ip', '127.0.0.1', '--port', String(port), '--inspector-port', '0', '--persist-to', state,
      '--show-interactive-dev-session=false', ...flags],
    { cwd: ROOT, detached: true, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const kill = killer(t, child);
  await said(child, /Ready on/);
  return { broker: new Broker(`http://127.0.0.1:${port}`), kill };
}

/** Starts the embedded origin, `newsreel origin`, on a port of this machine. */
export async function startOrigin(t, { port, db, broker, holdPublishMs = 0 }) {
  const child = spawn(
    NEWSREEL,
    ['origin', '--listen', `127.0.0.1:${port}`, '--db', db, '--broker', broker, '--token', TOKENS.publish],
    {
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, NEWSREEL_HOLD_PUBLISH_MS: String(holdPublishMs) },
    },
  );
  const kill = killer(t, child);
  await said(child, /http:\/\/127\.0\.0\.1:/);
  return new Origin(`http://127.0.0.1:${port}/tv`, kill);
}

/** Runs a `newsreel` command to its end; returns its exit code, stdout and stderr. */
export const newsreel = (...words) => runToEnd(NEWSREEL, words);

/** Runs a command to its end; returns its exit code, stdout and stderr. */
export async function runToEnd(command, words, options) {
  const child = spawn(command, words, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
  const [code] = await once(child, 'close');
  return { code, stdout, stderr };
}

/** Returns a function that ends a child with everything it started, at once; the test calls it at its end. */
function killer(t, child) {
  const closed = once(child, 'close');
  const kill = async () => {
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
    await closed;
  };
  t.after(kill);
  return kill;
}

/** Waits until a child has said something; if it ends before, says what it did say. */
export function said(child, pattern) {
  const lines = [];
  return new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr].filter(Boolean)) {
      createInterface({ input: stream }).on('line', (line) => {
        lines.push(line);
        if (pattern.test(line)) resolve();
      });
    }
    child.once('close', (code) => reject(new Error(`ended with ${code}:\n${lines.slice(-20).join('\n')}`)));
  });
}

/** The header of a read that must have heard a receipt. */
function atLeast(receipt) {
  return receipt ? { 'newsreel-min-version': `${receipt.epoch}:${receipt.version}` } : {};
}

/** The outside contract of a deployment, as a stranger would call it. */
export class Broker {
  constructor(url) {
    this.url = url;
  }

  at(path, catalog = 'tv') {
    return `${this.url}/v1/catalogs/${catalog}${path}`;
  }

  async call(method, path, { token, headers = {}, body, catalog } = {}) {
    const authorization = token ? { authorization: `Bearer ${token}` } : {};
    const response = await fetch(this.at(path, catalog), { method, headers: { ...authorization, ...headers }, body });
    const text = await response.text();
    // The answer to HEAD has no body, whatever its type.
    const hasJson = text && /[/+]json/.test(response.headers.get('content-type') ?? '');
    return { status: response.status, headers: response.headers, text, json: hasJson ? JSON.parse(text) : undefined };
  }

  publishRaw(body, options = {}) {
    return this.call('POST', '/changes', { token: TOKENS.publish, body, ...options });
  }

  /** Publishes and returns the receipt. */
  async publish(publish, options) {
    const answer = await this.publishRaw(JSON.stringify(publish), options);
    if (answer.status !== 200) throw new Error(`publish: ${answer.status} ${answer.text}`);
    return answer.json;
  }

  async status(catalog) {
    return (await this.call('GET', '', { token: TOKENS.follow, catalog })).json;
  }

  changes(query = '', options = {}) {
    return this.call('GET', `/changes${query}`, { token: TOKENS.follow, ...options });
  }

  /** Reads an entry; `after` is a receipt the reader must have heard. */
  read(key, { after, ...options } = {}) {
    const headers = { ...atLeast(after), ...options.headers };
    return this.call('GET', `/entries/${encodeURIComponent(key)}${options.query ?? ''}`, { ...options, headers });
  }

  /** Reads up to 100 entries at once. */
  async readMany(keys, { after } = {}) {
    const answer = await this.call('POST', '/entries', { headers: atLeast(after), body: JSON.stringify({ keys }) });
    if (answer.status !== 200) throw new Error(`read many: ${answer.status} ${answer.text}`);
    return answer.json;
  }
}

/**
 * A catalog as the conformance kit's follower, publisher and reader of events call it. A test's own time limit bounds its
 * waits, and what it opens ends with the deployment.
 */
export class CatalogLog {
  tokens = TOKENS;
  stage = { wait: (_, promise) => promise, atEnd() {} };

  constructor(broker, catalog) {
    Object.assign(this, { broker, catalog });
  }

  at(path) {
    return this.broker.at(path, this.catalog);
  }
}

/** The embedded origin, as its users call it. */
export class Origin {
  constructor(url, kill) {
    this.url = url;
    this.kill = kill;
  }

  at(key) {
    return `${this.url}/${encodeURIComponent(key)}`;
  }

  async put(key, value, tags = []) {
    const headers = { 'cache-tag': tags.join(','), 'content-type': 'application/json' };
    const response = await fetch(this.at(key), { method: 'PUT', headers, body: JSON.stringify(value) });
    if (!response.ok) throw new Error(`put: ${response.status} ${await response.text()}`);
    return response.json();
  }

  /** Writes many in one transaction, which makes one version. */
  async putMany(lines) {
    const body = lines.map((line) => JSON.stringify(line)).join('\n');
    const response = await fetch(this.url, { method: 'POST', body });
    if (!response.ok) throw new Error(`put many: ${response.status} ${await response.text()}`);
    return response.json();
  }

  async remove(key) {
    const response = await fetch(this.at(key), { method: 'DELETE' });
    if (!response.ok) throw new Error(`remove: ${response.status}`);
  }

  async get(key) {
    const response = await fetch(this.at(key));
    return response.ok ? response.json() : undefined;
  }

  /** Every key with its etag. */
  async list() {
    const found = new Map();
    for (let after = ''; ; ) {
      const response = await fetch(`${this.url}?after=${encodeURIComponent(after)}`);
      const lines = (await response.text()).split('\n').filter(Boolean).map((line) => JSON.parse(line));
      if (lines.length === 0) return found;
      for (const { key, etag } of lines) found.set(key, etag);
      after = lines.at(-1).key;
    }
  }
}

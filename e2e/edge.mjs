// An edge for tests of its reads: two readers that share KV, R2 and replica, faults between them, and an origin.

import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

import { startValues } from './origin.mjs';
import { Served } from './served.mjs';
import { ROOT, startSystem, TOKENS, wrapped } from './system.mjs';

/** Starts it, with `edge.worker.mjs` around the production Worker. Ends with the test. */
export async function startEdge(t, { vars = {} } = {}) {
  const origin = await startValues(t);
  const config = twice(wrapped(t, 'edge.worker.mjs'));
  const system = await startSystem(t, { origin: false, config, vars: { ORIGIN_URL: origin.url, ...vars } });
  const { broker, worker } = system;
  const env = await worker.getEnv();
  return new Edge(broker, origin, env.ENTRIES, env.COPIES, worker);
}

/**
 * Starts it on workerd alone, without R2: the harness sends what a Worker fetches through Node, which follows redirects,
 * undoes content codings and bounds headers before the Worker sees them.
 */
export async function startEdgeOnWorkerd(t, { vars = {} } = {}) {
  const origin = await startValues(t);
  const texts = Object.entries(vars).map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)]);
  const around = 'edge.worker.mjs';
  const served = await Served.at(t, { around, vars: { ORIGIN_URL: origin.url, ...Object.fromEntries(texts) } });
  await served.start();
  return new Edge(served.broker, origin, namespace(served.kv.entries), undefined, undefined);
}

/** The calls of a KV namespace that the tests make, on the entries of a KV of their own. */
function namespace(entries) {
  const listed = ([name, { metadata }]) => ({ name, metadata: metadata && JSON.parse(metadata) });
  return {
    list: async ({ prefix = '' } = {}) => ({ keys: [...entries].filter(([name]) => name.startsWith(prefix)).map(listed) }),
    get: async (name) => entries.get(name)?.bytes,
  };
}

export class Edge {
  constructor(broker, origin, kv, r2, worker) {
    Object.assign(this, { broker, origin, kv, r2, worker });
  }

  /** A read by one of the two readers. */
  read(key, { isolate = 1, headers, ...options } = {}) {
    return this.broker.read(key, { ...options, headers: { 'x-isolate': String(isolate), ...headers } });
  }

  /** A read of bytes, as `fetch` answers it. */
  fetch(key, { isolate = 1, method = 'GET', headers = {}, query = '', catalog } = {}) {
    const url = this.broker.at(`/entries/${encodeURIComponent(key)}${query}`, catalog);
    return fetch(url, { method, headers: { 'x-isolate': String(isolate), ...headers } });
  }

  /** Reads many keys at once. */
  many(keys, { isolate = 1, headers, ...options } = {}) {
    const body = JSON.stringify({ keys });
    return this.broker.call('POST', '/entries', { ...options, body, headers: { 'x-isolate': String(isolate), ...headers } });
  }

  fill(keys, { isolate = 1, token = TOKENS.admin, ...options } = {}) {
    const body = JSON.stringify({ keys });
    return this.broker.call('POST', '/fill', { ...options, token, body, headers: { 'x-isolate': String(isolate) } });
  }

  /** Why a read was answered as it was. */
  async explain(key, options = {}) {
    return (await this.read(key, { ...options, token: TOKENS.admin, query: '?explain=1' })).json;
  }

  /** Sets the faults, none by default, and forgets the counts. */
  async faults(faults = {}) {
    await fetch(`${this.broker.url}/test`, { method: 'POST', body: JSON.stringify(faults) });
  }

  /** Returns the counts of calls since the faults were set last, by kind. */
  async told() {
    return (await fetch(`${this.broker.url}/test`)).json();
  }

  /** Waits until what was told is as wanted: the Worker has no event for it. */
  async untilTold(wanted) {
    return until(async () => {
      const told = await this.told();
      return wanted(told) && told;
    });
  }

  /** Waits until KV has an entry of a key, filled at or after a version, and returns it with its name. */
  inKv(key, least = 0, catalog = 'tv') {
    return until(async () => {
      const { keys } = await this.kv.list({ prefix: `${catalog}/` });
      for (const { name, metadata, expiration } of keys) {
        if (!name.includes(`/${key}@`) || (metadata?.version ?? 0) < least) continue;
        const stored = await this.kv.get(name, 'arrayBuffer');
        if (stored) return { name, metadata, expiration, ...parse(Buffer.from(stored)) };
      }
    });
  }

  /** Waits until everything that is put into tiers by now is there, and says which tiers have the key. */
  async storedIn(key) {
    this.origin.set('title:marker', `${key}`);
    const at = await this.broker.publish({ key: 'title:marker' });
    await this.read('title:marker', { after: at });
    await Promise.all([this.inKv('title:marker', at.version), this.r2 && this.inR2('title:marker', at.version)]);
    const inKv = (await this.kv.list()).keys.some(({ name }) => name.includes(`/${key}@`));
    const inR2 = (await this.r2?.list())?.objects.some((one) => one.key.endsWith(`/${key}`)) ?? false;
    return { inKv, inR2 };
  }

  /** Waits until R2 has an entry of a key, filled at or after a version, and returns it with its name. */
  inR2(key, least = 0, catalog = 'tv') {
    return until(async () => {
      const { objects } = await this.r2.list({ prefix: `${catalog}/` });
      for (const { key: name } of objects.filter((one) => one.key.endsWith(`/${key}`))) {
        const object = await this.r2.get(name);
        if (!object) continue;
        const entry = parse(Buffer.from(await object.arrayBuffer()));
        if (entry.version >= least || entry.foreign) return { name, metadata: object.customMetadata, ...entry };
      }
    });
  }
}

/** Reads stored bytes: `NRE2`, `t` or `b`, the length of the envelope in 8 hex digits, the envelope, the value. */
export function parse(bytes) {
  const [, kind, length] = /^NRE2([tb])([0-9a-f]{8})/.exec(bytes.subarray(0, 13).toString('latin1')) ?? [];
  if (!kind) return { foreign: bytes };
  const end = 13 + Number.parseInt(length, 16);
  const envelope = JSON.parse(bytes.subarray(13, end).toString());
  return { kind, envelope, value: bytes.subarray(end), version: Number(envelope.position.split(':')[1]) };
}

/** Returns an entry as the tiers store it: kind, envelope and value. */
export function stored(envelope, value, kind = 't') {
  const json = Buffer.from(JSON.stringify(envelope));
  const head = `NRE2${kind}${json.length.toString(16).padStart(8, '0')}`;
  return Buffer.concat([Buffer.from(head), json, Buffer.from(value)]);
}

/** How long `until` waits between two questions, in milliseconds: the server answers on the same cores. */
const PAUSE = 10;

/** Asks until there is an answer. A test that waits in vain says so after 10 s, or as long as it may take. */
export async function until(ask, what = String(ask), within = 10_000) {
  for (const end = Date.now() + within; Date.now() < end; ) {
    const answer = await ask();
    if (answer) return answer;
    await setTimeout(PAUSE);
  }
  throw new Error(`waited in vain for: ${what}`);
}

/** The version of the entry that was served. */
export function entryVersion({ headers, text }) {
  const position = headers.get('newsreel-entry-version');
  if (!position) throw new Error(`no entry: ${text}`);
  return Number(position.split(':')[1]);
}

/** Reads `Newsreel-Freshness`; age and lag in milliseconds. */
export function freshness({ headers, text }) {
  const header = headers.get('newsreel-freshness') ?? '';
  const [, word, age, lag] = /^(\w+); age=(\d+\.\d{3})(?:; lag=(\d+\.\d{3}))?$/.exec(header) ?? [];
  if (!word) throw new Error(`no freshness: ${header} ${text}`);
  return { word, age: Math.round(age * 1000), lag: lag === undefined ? undefined : Math.round(lag * 1000) };
}

/** Returns the members of `Cache-Status`, by tier. */
export function tiers({ headers }) {
  const members = (headers.get('cache-status') ?? '').split(', ').filter(Boolean);
  return Object.fromEntries(members.map((member) => [/^newsreel-(\w+)/.exec(member)[1], member]));
}

/** Which tier gave the answer. */
export function servedBy(read) {
  const [hit] = Object.entries(tiers(read)).find(([, member]) => /; hit; ttl=/.test(member)) ?? [];
  return hit ?? (/fwd-status=(200|404)|collapsed/.test(read.headers.get('cache-status')) ? 'origin' : undefined);
}

/** Puts a second production Worker beside the first. */
function twice(config) {
  const folder = dirname(config);
  const second = join(folder, 'second');
  mkdirSync(second);
  for (const file of ['index.js', 'index_bg.wasm']) {
    copyFileSync(join(ROOT, 'crates/entry/build', file), join(second, file));
  }
  const main = join(folder, 'main.mjs');
  writeFileSync(main, readFileSync(main, 'utf8').replaceAll("'SECOND'", JSON.stringify(join(second, 'index.js'))));
  return config;
}

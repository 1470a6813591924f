// `newsreel verify` against deployments in which something is wrong on purpose, and against an honest one under faults.
//
// Every sabotage is a catalog of one deployment: in its edge (verify.worker.mjs), its KV, its origin, or in front of the edge.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test from 'node:test';
import { setTimeout } from 'node:timers/promises';

import { parse, stored, until } from './edge.mjs';
import { startValues } from './origin.mjs';
import { startLine } from './proxy.mjs';
import { randomFrom } from './random.mjs';
import { Served } from './served.mjs';
import { NEWSREEL, temporaryFolder, TOKENS } from './system.mjs';

/** The bounds of the deployments here: short ones, so that a test need not wait. */
const POLICY = { title: { lag_bound_ms: 250 }, movie: { lag_bound_ms: 250 } };

const CONFIG = `
durable_objects.bindings = [{ name = "BROKER", class_name = "Broker" }, { name = "REPLICA", class_name = "Replica" }]
kv_namespaces = [{ binding = "ENTRIES", id = "entries" }]
vars.POLICY = ${JSON.stringify(POLICY).replace(/"(\w+)":/g, '$1 = ')}
`;

/** A run of `newsreel verify --json`. */
class Verify {
  said = [];
  wrong = [];
  report;

  static async start(t, { origin, broker, catalog = 'tv', edges = [broker], token = TOKENS.admin, words = [] }) {
    const verify = new Verify();
    const config = join(temporaryFolder(t), 'wrangler.toml');
    writeFileSync(config, CONFIG);
    const all = ['verify', '--broker', broker, '--catalog', catalog, '--token', token, '--origin', origin, '--json', '--config', config,
      '--settle', '1s', '--report-every-s', '0', ...edges.flatMap((url, at) => ['--edge', `edge${at + 1}=${url}`]), ...words];
    verify.child = spawn(NEWSREEL, all, { stdio: ['ignore', 'pipe', 'pipe'] });
    t.after(() => verify.child.kill('SIGKILL'));
    createInterface({ input: verify.child.stderr }).on('line', (line) => verify.said.push(line));
    createInterface({ input: verify.child.stdout }).on('line', (line) => {
      const { wrong, report } = JSON.parse(line);
      if (wrong) verify.wrong.push(wrong);
      verify.report = report ?? verify.report;
    });
    verify.ended = once(verify.child, 'close').then(([code]) => code);
    await verify.until(() => verify.said.some((line) => /the log is followed/.test(line)), 'it follows');
    return verify;
  }

  /** Waits until something is so, while the command runs. */
  async until(ask, what) {
    const gone = this.ended.then((code) => Promise.reject(new Error(`verify ended with ${code}`)));
    gone.catch(() => {});
    try {
      return await Promise.race([until(ask, what, 20_000), gone]);
    } catch (error) {
      throw new Error(`${error.message}; verify said: ${this.said.join('\n')}`);
    }
  }

  /** Waits until an answer is found wrong, and returns it. */
  found() {
    return this.until(() => this.wrong[0], 'something is found');
  }

  async stop() {
    this.child.kill('SIGTERM');
    const code = await this.ended;
    return { code, ...this.report };
  }
}

/** A cache in front of an edge, which keeps what it has seen. */
async function startKeeper(t, to) {
  const kept = new Map();
  const server = createServer(async (request, answer) => {
    let page = kept.get(request.url);
    if (!page) {
      const response = await fetch(to + request.url, { headers: { authorization: request.headers.authorization ?? '' } });
      page = { status: response.status, headers: Object.fromEntries(response.headers), body: Buffer.from(await response.arrayBuffer()) };
      kept.set(request.url, page);
    }
    const { 'content-length': _, 'transfer-encoding': __, ...headers } = page.headers;
    answer.writeHead(page.status, headers).end(page.body);
  }).listen(0, '127.0.0.1');
  t.after(() => (server.close(), server.closeAllConnections()));
  await once(server, 'listening');
  return `http://127.0.0.1:${server.address().port}`;
}

/** One deployment for all sabotages, its origin, and an honest run of verify for each. */
async function startStage(t) {
  const origin = await startValues(t);
  const vars = { ORIGIN_URL: origin.url, POLICY: JSON.stringify(POLICY) };
  const served = await Served.at(t, { around: 'verify.worker.mjs', vars });
  await served.start();
  const { broker, kv } = served;
  const sabotage = (faults) => fetch(`${broker.url}/sabotage`, { method: 'POST', body: JSON.stringify(faults) });
  return { origin, broker, kv, sabotage };
}

/** The sabotages: what each does once a first value was read, and what is said of it. `id` is the catalog and begins every id. */
const SABOTAGES = {
  'a reader that ignores floors': {
    id: 'floors',
    because: ['below-floor'],
    async act({ sabotage, change }) {
      await sabotage('floors');
      await change('title', 'new');
    },
  },
  'KV that is served past its floor': {
    id: 'kv',
    because: ['filled-old'],
    async act({ kv, change }) {
      forge(kv.entries);
      await change('title', 'new');
    },
  },
  'a replica that acknowledges before it writes floors': {
    id: 'early',
    because: ['below-floor'],
    async act({ sabotage, change }) {
      await sabotage('early');
      await change('title', 'new');
    },
  },
  'an edge that stands still and claims to be fresh': {
    id: 'stopped',
    because: ['not-heard'],
    async act({ sabotage, read, change }) {
      await sabotage('stopped');
      await setTimeout(300);
      await read('title');
      await change('title', 'new');
    },
  },
  'a cache in front that keeps answers': {
    id: 'front',
    front: true,
    because: ['not-heard'],
    act: ({ change }) => change('title', 'new'),
  },
  'an origin that publishes before it commits': {
    id: 'precommit',
    because: ['changed-after', 'filled-old'],
    async act({ set, publish }) {
      await publish({ key: 'title:precommit-1' });
      await setTimeout(700);
      set('title', 'new');
    },
  },
  'a retag by a soft change alone': {
    id: 'retag',
    because: ['below-floor'],
    async act({ set, publish }) {
      set('title', 'new', ['retag:new']);
      await publish({ key: 'title:retag-1', soft: true });
      await publish({ tag: 'retag:new' });
    },
  },
  'a purge of the wrong key': {
    id: 'wrongkey',
    because: ['unpublished'],
    async act({ set, publish }) {
      set('title', 'new');
      await publish({ key: 'title:wrongkey-2' });
    },
  },
  'a publish under the wrong class': {
    id: 'wrongclass',
    because: ['unpublished'],
    async act({ set, publish }) {
      set('title', 'new');
      await publish({ key: 'movie:wrongclass-1' });
    },
  },
};

/**
 * Makes a KV keep what is deleted, give the newest entry of a key for any generation that it is asked for, and say that it is
 * of that generation.
 */
function forge(entries) {
  const get = entries.get.bind(entries);
  entries.delete = (name) => !name.startsWith('kv/') && Map.prototype.delete.call(entries, name);
  entries.get = (name) => {
    const [, catalog, epoch, key, version] = /^(kv)\/(\w+)\/(.+)@(\d+)$/.exec(name) ?? [];
    const held = get(name);
    if (held || !catalog) return held;
    const old = [...entries.keys()].filter((one) => one.startsWith(`${catalog}/${epoch}/${key}@`)).at(-1);
    if (!old) return undefined;
    const { envelope, value, kind } = parse(get(old).bytes);
    const [, , hash] = envelope.position.split(':');
    return { bytes: stored({ ...envelope, position: `${epoch}:${version}:${hash}` }, value, kind) };
  };
}

test('every sabotaged deployment is found', { timeout: 120_000, concurrency: true }, async (t) => {
  const stage = await startStage(t);
  await Promise.all(Object.entries(SABOTAGES).map(([name, sabotage]) => t.test(name, (t) => isFound(t, stage, sabotage))));
});

async function isFound(t, { origin, broker, kv, sabotage }, { id, front, because, act }) {
  const key = (name) => `${name}:${id}-1`;
  const options = { catalog: id };
  const set = (name, value, tags = []) => origin.set(key(name), `${value} ${id}`, { tags, type: 'text/plain' });
  const publish = (change) => broker.publish(change, options);
  const edge = front ? await startKeeper(t, broker.url) : broker.url;
  const read = (name) => fetch(`${edge}/v1/catalogs/${id}/entries/${key(name)}`).then((answer) => answer.text());
  set('title', 'old');
  assert.equal(await read('title'), `old ${id}`);
  await until(() => [...kv.entries.keys()].some((name) => name.startsWith(`${id}/`)), 'KV has the entry');
  const keys = join(temporaryFolder(t), 'keys');
  writeFileSync(keys, `${key('title')}\n`);
  const words = ['--after', '0.3s,1.2s', '--sweep', '5', '--keys', keys];
  const verify = await Verify.start(t, { origin: origin.url, broker: broker.url, catalog: id, edges: [edge], words });
  // What is there is right, and stays so for a while of sweeps.
  await origin.wasAsked(key('title'), origin.count(key('title')) + 4);
  assert.deepEqual(verify.wrong, []);

  const change = async (name, value) => (set(name, value), publish({ key: key(name) }));
  await act({ kv, set, publish, read, change, sabotage: (fault) => sabotage({ [id]: fault }) });
  const wrong = await verify.found();
  assert.ok(because.includes(wrong.because), JSON.stringify(wrong));
  assert.equal(wrong.key, key('title'));
  assert.equal(wrong.edge, 'edge1');
  assert.notDeepEqual(wrong.edge_answer.value, wrong.origin_answer.value);
  assert.equal(wrong.explain.edge1.key, key('title'), 'the edge explains itself');
  const { code, all } = await verify.stop();
  assert.equal(code, 7);
  assert.ok(all.wrong > 0 && all.consistent > 0, JSON.stringify(all));
}

test('an honest deployment is not accused, whatever is cut and killed', { timeout: 120_000 }, async (t) => {
  const origin = await startValues(t);
  const vars = { ORIGIN_URL: origin.url, POLICY: JSON.stringify(POLICY) };
  const near = await Served.at(t, { vars: { ...vars, EDGE: 'near' } });
  await near.start();
  const port = Number(new URL(near.broker.url).port);
  const [toFar, toVerify] = [await startLine(t, port), await startLine(t, port)];
  const far = await Served.at(t, { vars: { ...vars, EDGE: 'far', BROKER_URL: toFar.url, BROKER_TOKEN: TOKENS.admin } });
  await far.start();
  const work = new HonestWork(origin, near.broker);
  await work.publish({ key: work.keys[0] });
  const words = ['--after', '0.1s,0.5s,2s', '--rate', '30', '--sweep', '20'];
  const edges = [near.broker.url, far.broker.url];
  const verify = await Verify.start(t, { origin: origin.url, broker: toVerify.url, edges, words });

  await work.go(1_500);
  toFar.cut('close');
  await work.go(1_000);
  toFar.mend();
  toVerify.freeze();
  await work.go(1_500);
  // The broker and the edge beside it are gone; the origin waits with its publish.
  await near.kill();
  const waits = work.go(1_000);
  await setTimeout(700);
  await near.start();
  await waits;
  toVerify.cut('close');
  await work.go(1_000);
  toVerify.mend();
  await far.kill();
  await work.go(500);
  await far.start();
  await work.go(1_500);
  await verify.until(() => verify.said.filter((line) => /the log is followed/.test(line)).length > 1, 'it follows again');
  // Everything that changed before has been read at the last delay, and what differed is settled.
  await work.go(1_000);
  await setTimeout(3_500);
  const { code, all, reads } = await verify.stop();
  assert.deepEqual(verify.wrong, []);
  assert.deepEqual({ code, wrong: all.wrong }, { code: 0, wrong: 0 }, verify.said.join('\n'));
  assert.ok(all.consistent > 300, JSON.stringify(all));
  assert.ok(reads.some(({ edge, after_ms: after, consistent }) => edge === 'edge2' && after === 2_000 && consistent > 0), JSON.stringify(reads));
});

/** An origin that commits first and publishes then, until the broker has acknowledged. */
class HonestWork {
  keys = Array.from({ length: 12 }, (_, n) => `title:${n}`);
  #random = randomFrom(20);
  #number = 0;

  constructor(origin, broker) {
    Object.assign(this, { origin, broker });
    for (const key of this.keys) this.#write(key);
  }

  /** Commits and publishes for so long. */
  async go(ms) {
    for (const end = Date.now() + ms; Date.now() < end; ) {
      await this.publish(this.#commit());
      await setTimeout(this.#random() * 80);
    }
  }

  async publish(change) {
    const headers = { 'idempotency-key': `work-${(this.#number += 1)}` };
    await until(() => this.broker.publish(change, { headers }).catch(() => undefined), 'a publish is acknowledged', 20_000);
  }

  /** Changes values, some back to what they were, and returns what to publish. */
  #commit() {
    const key = this.keys[Math.floor(this.#random() * this.keys.length)];
    const kind = this.#random();
    if (kind < 0.1) {
      this.origin.delete(key);
      return { key, op: 'remove' };
    }
    if (kind < 0.2) return this.#writeAll((one) => one.endsWith('1'), { tag: 'odd:1' });
    if (kind < 0.25) return this.#writeAll((one) => one.startsWith('title:1'), { prefix: 'title:1' });
    this.#write(key, kind < 0.5 ? `flips ${Math.floor(this.#random() * 2)}` : undefined);
    return { key, ...(kind > 0.9 && { soft: true }) };
  }

  #writeAll(wanted, change) {
    for (const key of this.keys.filter(wanted)) this.#write(key);
    return change;
  }

  #write(key, value = `value ${(this.#number += 1)}`) {
    this.origin.set(key, value, { tags: key.endsWith('1') ? ['odd:1'] : [], type: 'text/plain' });
  }
}

test('a threshold decides, metrics are served, and a repair publishes what was forgotten', { timeout: 60_000 }, async (t) => {
  const origin = await startValues(t);
  const served = await Served.at(t, { vars: { ORIGIN_URL: origin.url, POLICY: JSON.stringify(POLICY) } });
  await served.start();
  const { broker } = served;
  origin.set('title:1', 'old', { type: 'text/plain', tags: ['red'] });
  const words = ['--after', '0.2s', '--fail-under', '90', '--by', '0.2s', '--repair', '--metrics', '0'];
  const verify = await Verify.start(t, { origin: origin.url, broker: broker.url, words });
  const metrics = /http:\S+/.exec(verify.said.find((line) => /metrics at/.test(line)))[0];
  const asked = origin.count('title:1');
  await broker.publish({ key: 'title:1' });
  await origin.wasAsked('title:1', asked + 2);
  origin.set('title:1', 'new', { type: 'text/plain', tags: ['red'] });
  assert.equal((await verify.found()).because, 'changed-after');
  await verify.until(() => verify.said.some((line) => /title:1 is published again/.test(line)), 'a repair');
  await until(async () => (await broker.read('title:1')).text === 'new', 'the new value is served');
  const [row] = (await broker.changes('?since=1')).json?.versions ?? (await broker.changes('')).json.versions.slice(1);
  assert.deepEqual(row.changes, [{ key: 'title:1', tags: ['red'] }]);
  await until(async () => /reads_total\{class="title",edge="edge1",after="0.2 s",outcome="consistent"\} 2/.test(await (await fetch(metrics)).text()), 'the repair is checked');
  const text = await (await fetch(metrics)).text();
  for (const line of ['newsreel_verify_wrong_total{because="changed-after"}', 'newsreel_verify_repairs_total 1', 'newsreel_verify_live 1']) {
    assert.ok(text.includes(line), text);
  }
  const { code, ok } = await verify.stop();
  assert.deepEqual({ code, ok }, { code: 0, ok: true }, 'what was found in the sweep is not read 0.2 s after a change');
});

test('the truth may be a command, a run without a change cannot pass, and a run has an end', { timeout: 60_000 }, async (t) => {
  const origin = await startValues(t);
  const served = await Served.at(t, { vars: { ORIGIN_URL: origin.url, POLICY: JSON.stringify(POLICY) } });
  await served.start();
  const { broker } = served;
  const folder = temporaryFolder(t);
  for (const [key, value] of [['title:1', 'one'], ['title:2', 'two']]) {
    writeFileSync(join(folder, key), value);
    origin.set(key, value, { type: 'text/plain' });
  }
  const truth = ['--truth', `cat ${folder}/{key}`, '--after', '0.1s', '--for', '3s'];
  const options = { origin: origin.url, broker: broker.url };
  const verify = await Verify.start(t, { ...options, words: truth });
  await broker.publish({ changes: [{ key: 'title:1' }, { key: 'title:2' }] });
  assert.equal(await verify.ended, 0);
  assert.ok(verify.report.all.consistent >= 2 && verify.report.all.undecided === 0, JSON.stringify(verify.report));

  writeFileSync(join(folder, 'title:2'), 'three');
  const other = await Verify.start(t, { ...options, words: truth });
  await broker.publish({ changes: [{ key: 'title:1' }, { key: 'title:2' }] });
  assert.equal(await other.ended, 7);
  assert.deepEqual([...new Set(other.wrong.map(({ key }) => key))], ['title:2']);

  const idle = ['--for', '0.5s', '--after', '0.1s', '--fail-under', '99', '--by', '0.1s'];
  const none = await Verify.start(t, { ...options, words: idle });
  assert.equal(await none.ended, 7);
  assert.ok(none.said.some((line) => /nothing was read 0.1 s after a change/.test(line)), none.said.join('\n'));
});

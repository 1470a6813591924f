// The check by schedule (VERIFY_CATALOGS) of a deployment in which catalogs are broken on purpose, and one is honest.

import { deepStrictEqual as sameAll, ok, strictEqual as same } from 'node:assert';
import { test } from 'node:test';

import { startValues } from './origin.mjs';
import { Served } from './served.mjs';
import { TOKENS } from './system.mjs';

const POLICY = { title: { lag_bound_ms: 250 } };
const CRON = '0-59/5 * * * *';

/** What each catalog does wrong once its key was read. `key` is that of the catalog. */
const BROKEN = {
  // A reader that ignores floors.
  floors: async ({ sabotage, set, publish, key }) => {
    await sabotage({ floors: 'floors' });
    set('new');
    await publish({ key });
  },
  // An origin that publishes before it commits.
  precommit: async ({ set, publish, read, key }) => {
    const { version, epoch } = await publish({ key });
    same(await read({ 'newsreel-min-version': `${epoch}:${version}` }), 'old');
    set('new');
  },
  // A publish that names another key.
  wrongkey: async ({ set, publish }) => {
    set('new');
    await publish({ key: 'title:other' });
  },
};
const HONEST = 'honest';
const CATALOGS = [...Object.keys(BROKEN), HONEST];

/** A deployment that checks all catalogs, and its origin. */
class CheckedDeployment {
  static async start(t) {
    const origin = await startValues(t);
    const vars = { ORIGIN_URL: origin.url, POLICY: JSON.stringify(POLICY), VERIFY_CATALOGS: CATALOGS.join(), VERIFY_CRON: CRON };
    const { broker } = await (await Served.at(t, { around: 'verify.worker.mjs', vars })).start();
    return Object.assign(new CheckedDeployment(), { origin, broker });
  }

  /** What a test does with one catalog. */
  catalog(name) {
    const key = `title:${name}-1`;
    const { broker, origin } = this;
    return {
      key,
      set: (value) => origin.set(key, value, { type: 'text/plain' }),
      publish: (change) => broker.publish(change, { catalog: name }),
      read: async (headers) => (await broker.call('GET', `/entries/${key}`, { catalog: name, headers })).text,
      sabotage: (faults) => this.post('/sabotage', JSON.stringify(faults)),
    };
  }

  async post(path, body) {
    const answer = await fetch(this.broker.url + path, { method: 'POST', body });
    ok(answer.ok, `${path}: ${await answer.text()}`);
  }

  /** Runs what a cron trigger runs, once the replicas know which keys were read. */
  async run(cron = CRON) {
    for (const catalog of CATALOGS) await this.get('/metrics', catalog);
    await this.post('/scheduled', cron);
  }

  async get(path, catalog) {
    const { status, json, text } = await this.broker.call('GET', path, { token: TOKENS.admin, catalog });
    same(status, 200, text);
    return json ?? text;
  }

  /** How many keys of a catalog were found consistent, marked, wrong and unknown so far. */
  async counted(catalog) {
    const names = ['verify_consistent', 'verify_marked', 'verify_wrong', 'verify_unknown'];
    const { series } = await this.get(`/series?edge=e2e&class=title&names=${names}`, catalog);
    const total = (name) => series.filter((one) => one.name === name).flatMap(({ values }) => values).reduce((sum, value) => sum + value, 0);
    return names.map(total);
  }
}

test('broken catalogs are found by the clock, and an honest one that changes all the time is not accused', { timeout: 60_000 }, async (t) => {
  const deployment = await CheckedDeployment.start(t);
  const { broker, origin } = deployment;
  for (const name of CATALOGS) {
    const { set, read } = deployment.catalog(name);
    set('old');
    same(await read(), 'old');
  }
  await deployment.run('0 4 * * *');
  sameAll(await deployment.counted('floors'), [0, 0, 0, 0], 'another trigger checks nothing');
  await deployment.run();
  for (const name of CATALOGS) sameAll(await deployment.counted(name), [1, 0, 0, 0], name);

  for (const [name, act] of Object.entries(BROKEN)) await act(deployment.catalog(name));
  const stop = new AbortController();
  const work = change(stop.signal, origin, broker);
  for (let n = 0; n < 2; n += 1) await deployment.run();
  stop.abort();
  const written = await work;

  for (const name of Object.keys(BROKEN)) {
    const { key } = deployment.catalog(name);
    sameAll((await deployment.counted(name)).slice(1), [0, 2, 0], name);
    const { findings } = await deployment.get('/checks', name);
    same(findings.length, 2, name);
    const [{ edge, class: of, served, origin: says, at, since, explain, ...found }] = findings;
    sameAll([found.key, edge, of, served.found, says.found], [key, 'e2e', 'title', true, true]);
    ok(served.etag !== says.etag && /^\w+:\d+:/.test(served.position), JSON.stringify(served));
    ok(at - since >= 5_000, `${at - since} ms`);
    same(explain.key, key);
    ok(explain.steps.length > 0);
    ok(/newsreel_verify_total\{catalog="\w+",edge="e2e",class="title",outcome="wrong"\} 2/.test(await deployment.get('/metrics', name)), name);
  }
  const [consistent, , wrong] = await deployment.counted(HONEST);
  sameAll([wrong, (await deployment.get('/checks', HONEST)).findings], [0, []]);
  ok(consistent > 5, `${consistent} of ${written} changes were seen`);
  const { status } = await broker.call('GET', '/checks', { token: TOKENS.follow, catalog: HONEST });
  same(status, 403);
});

/** Changes and reads keys of the honest catalog until it is told to stop; returns how often. */
async function change(signal, origin, broker) {
  let n = 0;
  for (; !signal.aborted; n += 1) {
    const key = `title:${HONEST}-${n % 8}`;
    origin.set(key, `value ${n}`, { type: 'text/plain' });
    await broker.publish({ key }, { catalog: HONEST });
    await broker.call('GET', `/entries/${key}`, { catalog: HONEST });
  }
  return n;
}

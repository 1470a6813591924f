//! newsreel-next in Next itself: one build, two `next start` processes, a real broker.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { startLine } from '../proxy.mjs';
import { startSystem, freePort, TOKENS } from '../system.mjs';
import { run, start, Values } from './processes.mjs';
import { until } from './site.mjs';

const FOLDER = join(process.env.FRAMEWORKS, 'next');
const NEXT = join(FOLDER, 'node_modules/next/dist/bin/next');
const ROUNDS = Number(process.env.ROUNDS ?? 100);

test('two processes of one app', async (t) => {
  const { broker } = await startSystem(t, { origin: false });
  const values = await Values.start(t);
  const env = {
    NEWSREEL_URL: broker.url, NEWSREEL_CATALOG: 'tv', NEWSREEL_FOLLOW_TOKEN: TOKENS.follow, NEWSREEL_PUBLISH_TOKEN: TOKENS.publish,
    NEWSREEL_TIMEOUT_MS: '5000', VALUES_URL: values.url, NEXT_TELEMETRY_DISABLED: '1',
  };
  await run(process.execPath, [NEXT, 'build'], { cwd: FOLDER, env });
  // What the broker tells is heard late by b, so that its cache would be old if no proof were asked for.
  const slow = await startLine(t, Number(new URL(broker.url).port));
  slow.delay(50);
  const [a, b] = [await startNext(t, env, broker), await startNext(t, { ...env, NEWSREEL_URL: slow.url }, broker)];

  await t.test('a value is asked for once a process, and both hear of revalidateTag', async () => {
    values.set('one', 1);
    for (const page of [a, b, a, b]) assert.equal(await page.value('/page/one'), 1);
    assert.equal(values.asked.get('one'), 2);
    values.set('one', 2);
    assert.deepEqual([await a.value('/page/one'), await b.value('/page/one')], [1, 1]);
    await a.revalidate({ tag: 'value:one', profile: { expire: 0 } });
    for (const page of [b, a, b, a]) assert.equal(await page.value('/page/one'), 2);
    assert.equal(values.asked.get('one'), 4);
  });

  await t.test('revalidateTag is one publish', async () => {
    const before = (await broker.status('tv')).version;
    await b.act('value:one');
    await b.revalidate({ tag: 'value:one', profile: 'max' });
    assert.equal((await broker.status('tv')).version, before + 2);
  });

  await t.test('a page that the build rendered is rendered anew in both processes', async () => {
    assert.deepEqual([await a.value('/static'), await b.value('/static')], [0, 0]);
    const asked = values.asked.get('static');
    values.set('static', 1);
    await b.revalidate({ tag: 'value:static', profile: { expire: 0 } });
    for (const page of [a, b, a, b]) assert.equal(await page.value('/static'), 1);
    assert.equal(values.asked.get('static'), asked + 2);
  });

  await t.test('revalidatePath reaches the other process', async () => {
    values.set('static', 2);
    await a.revalidate({ path: '/static' });
    assert.deepEqual([await b.value('/static'), await a.value('/static')], [2, 2]);
  });

  await t.test('with a profile the old value is shown once more, and made anew behind it, in both', async () => {
    for (const path of ['/page/soft', '/static']) {
      const name = path.split('/').at(-1);
      values.set(name, 10);
      await a.revalidate({ tag: `value:${name}`, profile: { expire: 0 } });
      assert.deepEqual([await a.value(path), await b.value(path)], [10, 10]);
      values.set(name, 11);
      await a.revalidate({ tag: `value:${name}`, profile: 'max' });
      assert.deepEqual([await a.value(path), await b.value(path)], [10, 10], `${path} is old once`);
      await until(async () => (await a.value(path)) === 11 && (await b.value(path)) === 11);
    }
  });

  await t.test('an expiry counts in the other process, too', async () => {
    assert.equal(await b.value('/page/expiring'), 0);
    values.set('expiring', 1);
    await a.revalidate({ tag: 'value:expiring', profile: { expire: 1 } });
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    assert.equal(await b.value('/page/expiring'), 1);
  });

  await t.test('updateTag of a server action is heard before the action has answered', async () => {
    assert.deepEqual([await a.value('/page/acted'), await b.value('/page/acted')], [0, 0]);
    values.set('acted', 1);
    await a.act('value:acted');
    assert.deepEqual([await b.value('/page/acted'), await a.value('/page/acted')], [1, 1]);
  });

  await t.test('a publish by anybody else ends the entries with the tag, and a key those that carry it', async () => {
    assert.equal(await b.value('/page/outside'), 0);
    values.set('outside', 1);
    await broker.publish({ tag: 'value:outside' }, { catalog: 'tv' });
    assert.equal(await b.value('/page/outside'), 1);
    values.set('outside', 2);
    await broker.publish({ key: 'value:outside' }, { catalog: 'tv' });
    assert.equal(await b.value('/page/outside'), 2);
  });

  await t.test(`${ROUNDS} interleavings: no value is older than a revalidation that had returned`, async (t) => {
    values.delayMs = () => Math.random() * Number(process.env.DELAY_MS ?? 30);
    let [older, joined, readings, at, over] = [0, 0, 0, 0, false];
    const paths = { static: '/static', raced: '/page/raced' };
    const returned = { static: 0, raced: 0 };
    const read = async (page, name) => {
      const least = returned[name];
      // Next lets requests join what another request of the process is computing: no handler is asked.
      const mayJoin = values.isAsked(name, least);
      const value = await page.value(paths[name]);
      readings += 1;
      if (value >= least) return;
      if (mayJoin) joined += 1;
      else older += 1;
    };
    for (const name of ['static', 'raced']) {
      values.set(name, (at = 100));
      await a.expire(`value:${name}`);
      returned[name] = at;
    }
    const readers = [a, b].flatMap((page) => ['static', 'raced'].map(async (name) => {
      while (!over) await read(page, name);
    }));
    for (let round = 0; round < ROUNDS; round += 1) {
      const name = round % 4 < 2 ? 'static' : 'raced';
      const [writer, other] = round % 8 < 4 ? [a, b] : [b, a];
      values.set(name, (at += 1));
      if (round % 2) await writer.act(`value:${name}`);
      else await writer.expire(`value:${name}`);
      returned[name] = at;
      await Promise.all([read(other, name), read(writer, name)]);
    }
    over = true;
    await Promise.all(readers);
    t.diagnostic(`${readings} reads, ${older} of them older; ${joined} joined a computation that had begun before the revalidation`);
    assert.equal(older, 0);
  });
});

async function startNext(t, env, broker) {
  const port = await freePort();
  const { said } = await start(t, process.execPath, [NEXT, 'start', '--port', port, '--hostname', '127.0.0.1'], { cwd: FOLDER, env, ready: /Ready in/ });
  return new Pages(`http://127.0.0.1:${port}`, broker, said);
}

class Pages {
  constructor(url, broker, said) {
    Object.assign(this, { url, broker, said });
  }

  /** The value that a page shows. */
  async value(path) {
    const html = await (await fetch(this.url + path)).text();
    const [, value] = /value=(?:<!-- -->)?(\d+)/.exec(html) ?? [];
    assert.ok(value !== undefined, `${path} shows no value:\n${html}\n${this.said()}`);
    return Number(value);
  }

  /** Lets a route handler revalidate, which Next does behind the answer; waits until that is published. */
  async revalidate(body) {
    const { version } = await this.broker.status('tv');
    await this.#post('/api/revalidate', body);
    await until(async () => (await this.broker.status('tv')).version > version);
  }

  /** Lets a route handler expire a tag, and answer when that is published. */
  expire(tag) {
    return this.#post('/api/expire', { tag });
  }

  async #post(path, body) {
    const answer = await fetch(this.url + path, { method: 'POST', body: JSON.stringify(body) });
    assert.equal(answer.status, 200, this.said());
  }

  /** Submits the form of the server action, as a browser without JavaScript does. */
  async act(tag) {
    this.action ??= /name="(\$ACTION_ID_[^"]+)"/.exec(await (await fetch(`${this.url}/action`)).text())?.[1];
    const form = new FormData();
    form.set(this.action, '');
    form.set('tag', tag);
    const answer = await fetch(`${this.url}/action`, { method: 'POST', body: form });
    assert.equal(answer.status, 200, this.said());
    await answer.text();
  }
}

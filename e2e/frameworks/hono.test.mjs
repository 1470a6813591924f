//! newsreel-hono in Hono itself, in workerd, bound to Newsreel's Worker.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { Values } from './processes.mjs';
import { race, startSite, until } from './site.mjs';

const ROUNDS = Number(process.env.ROUNDS ?? 100);

test('an app with the middleware', async (t) => {
  const values = await Values.start(t);
  const site = await startSite(t, join(process.env.FRAMEWORKS, 'hono/wrangler.toml'), { vars: { VALUES_URL: values.url } });
  const update = (name, query = '') => site.fetch(`/update/${name}${query}`, { method: 'POST' }).then((answer) => answer.json());
  let names = 0;
  const fresh = () => `n${(names += 1)}`;

  await t.test('a page is made once, and again when a tag of it changes', async () => {
    const name = fresh();
    for (const status of [/fwd=miss; stored/, /hit/]) {
      const response = await site.fetch(`/value/${name}`);
      assert.equal(await response.text(), 'value=0;');
      assert.match(response.headers.get('cache-status'), status);
      assert.deepEqual([response.headers.get('x-route'), response.headers.get('x-before')], ['seen', 'seen']);
      assert.equal(response.headers.get('cache-tag'), null);
    }
    assert.equal(values.asked.get(name), 1);
    values.set(name, 1);
    await update(name);
    assert.equal(await site.value(`/value/${name}`), 1);
    assert.equal(values.asked.get(name), 2);
  });

  await t.test('HEAD, a range and a condition are answered from the whole page', async () => {
    const name = fresh();
    const part = await site.fetch(`/etag/${name}`, { headers: { range: 'bytes=0-4' } });
    assert.deepEqual([part.status, await part.text()], [206, 'value']);
    const head = await site.fetch(`/etag/${name}`, { method: 'HEAD' });
    assert.deepEqual([head.status, await head.text(), head.headers.get('content-length')], [200, '', '8']);
    const same = await site.fetch(`/etag/${name}`, { headers: { 'if-none-match': head.headers.get('etag') } });
    assert.equal(same.status, 304);
    assert.equal(values.asked.get(name), 1);
  });

  await t.test('what is not cached goes to the route once', async () => {
    const name = fresh();
    const posted = await site.fetch(`/value/${name}`, { method: 'POST', body: 'this' });
    assert.equal(await posted.text(), 'posted this');
    for (const path of [`/keyed/${name}?fresh=1`, `/cookie/${name}`]) {
      const asked = values.asked.get(name) ?? 0;
      for (let times = 1; times <= 2; times += 1) {
        assert.equal(await site.value(path), 0);
        assert.equal(values.asked.get(name), asked + times, path);
      }
    }
    const answer = await site.fetch(`/cookie/${name}`);
    assert.equal(answer.headers.get('set-cookie'), 'a=b');
  });

  await t.test('a key of its own is ended by a change of the key', async () => {
    const name = fresh();
    for (const value of [0, 1]) {
      values.set(name, value);
      await site.broker.publish({ key: `keyed:${name}` }, { catalog: 'tv' });
      for (let times = 0; times < 2; times += 1) assert.equal(await site.value(`/keyed/${name}`), value);
    }
    assert.equal(values.asked.get(name), 2);
  });

  await t.test('a soft change shows the page once more, and makes it anew behind that', async () => {
    const name = fresh();
    assert.equal(await site.value(`/value/${name}`), 0);
    values.set(name, 1);
    await update(name, '?soft');
    assert.equal(await site.value(`/value/${name}`), 0);
    await until(async () => (await site.value(`/value/${name}`)) === 1);
    assert.equal(values.asked.get(name), 2);
  });

  await t.test('a change that comes while the page is made has it made again', async () => {
    const name = fresh();
    values.delayMs = () => 200;
    const reading = site.value(`/value/${name}`);
    await until(() => values.asked.get(name) === 1);
    values.set(name, 1);
    await update(name);
    values.delayMs = () => 0;
    assert.equal(await reading, 1);
    assert.equal(await site.value(`/value/${name}`), 1);
    assert.equal(values.asked.get(name), 2);
  });

  await t.test('an error is the app\'s to answer, and is not kept', async () => {
    for (let times = 0; times < 2; times += 1) {
      const answer = await site.fetch('/throws');
      assert.deepEqual([answer.status, await answer.text()], [500, 'failed: no such page']);
    }
  });

  await t.test(`${ROUNDS} interleavings: no page is older than an update that had returned`, async (t) => {
    values.delayMs = () => Math.random() * 30;
    const { older, readings } = await race({
      values, rounds: ROUNDS, names: ['raced1', 'raced2'], read: (name) => site.value(`/value/${name}`), update,
    });
    t.diagnostic(`${readings} reads, ${older} of them older`);
    assert.equal(older, 0);
  });
});

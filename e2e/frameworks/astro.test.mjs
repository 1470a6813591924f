//! newsreel-astro in Astro itself, built for workerd and bound to Newsreel's Worker.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { run, Values } from './processes.mjs';
import { race, startSite, until } from './site.mjs';

const FOLDER = join(process.env.FRAMEWORKS, 'astro');
const ROUNDS = Number(process.env.ROUNDS ?? 100);

test('a site of Astro', async (t) => {
  const values = await Values.start(t);
  await run(process.execPath, [join(FOLDER, 'node_modules/astro/bin/astro.mjs'), 'build'], { cwd: FOLDER, env: { ASTRO_TELEMETRY_DISABLED: '1' } });
  const site = await startSite(t, join(FOLDER, 'dist/server/wrangler.json'), { vars: { VALUES_URL: values.url } });
  const published = async () => (await site.broker.status('tv')).version;
  const update = async (name, query = '') => {
    const answer = await site.fetch(`/api/update/${name}${query}`, { method: 'POST' });
    assert.equal(answer.status, 200, await answer.text());
  };

  await t.test('a page is made once, and again when its tag or its path is invalidated by one publish', async () => {
    for (let times = 0; times < 2; times += 1) assert.equal(await site.value('/value/one'), 0);
    assert.equal(values.asked.get('one'), 1);
    for (const [value, query] of [[1, ''], [2, '?path=/value/one']]) {
      values.set('one', value);
      const before = await published();
      await update('one', query);
      assert.equal(await published(), before + 1);
      for (let times = 0; times < 2; times += 1) assert.equal(await site.value('/value/one'), value);
      assert.equal(values.asked.get('one'), value + 1);
    }
  });

  await t.test('what is for Astro and for Newsreel is not sent to the visitor', async () => {
    const { headers } = await site.fetch('/value/one');
    assert.match(headers.get('cache-status'), /newsreel; hit/);
    assert.deepEqual([headers.get('cdn-cache-control'), headers.get('cache-tag')], [null, null]);
  });

  await t.test('a page that asks for nothing, or sets a cookie, is not kept', async () => {
    for (const kind of ['plain', 'cookie']) {
      for (let times = 1; times <= 2; times += 1) {
        assert.equal(await site.value(`/${kind}/${kind}1`), 0);
        assert.equal(values.asked.get(`${kind}1`), times, kind);
      }
    }
    assert.match((await site.fetch('/cookie/cookie1')).headers.get('set-cookie'), /a=b/);
  });

  await t.test('a publish by anybody else counts; a soft one shows the page once more', async () => {
    values.set('one', 3);
    await site.broker.publish({ tag: 'value:one' }, { catalog: 'tv' });
    assert.equal(await site.value('/value/one'), 3);
    values.set('one', 4);
    await site.broker.publish({ tag: 'value:one', soft: true }, { catalog: 'tv' });
    await until(async () => (await site.value('/value/one')) === 4);
  });

  await t.test('a change that comes while the page is made has it made again', async () => {
    values.delayMs = () => 200;
    const reading = site.value('/value/two');
    await until(() => values.asked.get('two') === 1);
    values.set('two', 1);
    await update('two');
    values.delayMs = () => 0;
    assert.equal(await reading, 1);
    assert.equal(await site.value('/value/two'), 1);
  });

  await t.test(`${ROUNDS} interleavings: no page is older than an invalidation that had returned`, async (t) => {
    values.delayMs = () => Math.random() * 30;
    const { older, readings } = await race({
      values, rounds: ROUNDS, names: ['raced1', 'raced2'], read: (name) => site.value(`/value/${name}`), update,
    });
    t.diagnostic(`${readings} reads, ${older} of them older`);
    assert.equal(older, 0);
  });
});

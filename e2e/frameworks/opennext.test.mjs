//! newsreel-opennext in OpenNext and Next themselves, built for workerd and bound to Newsreel's Worker.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { run, Values } from './processes.mjs';
import { race, startSite, until } from './site.mjs';

const FOLDER = join(process.env.FRAMEWORKS, 'opennext');
const ROUNDS = Number(process.env.ROUNDS ?? 60);

test('an app of Next on OpenNext', async (t) => {
  const values = await Values.start(t);
  const vars = { VALUES_URL: values.url };
  const opennext = join(FOLDER, 'node_modules/@opennextjs/cloudflare/dist/cli/index.js');
  await run(process.execPath, [opennext, 'build'], { cwd: FOLDER, env: { ...vars, NEXT_TELEMETRY_DISABLED: '1' } });
  const site = await startSite(t, join(FOLDER, 'wrangler.toml'), { vars });
  const published = async () => (await site.broker.status('tv')).version;
  let action;

  /** Lets a route handler revalidate, which Next does behind the answer; waits until that is published. */
  const revalidate = async (body) => {
    const before = await published();
    const answer = await site.fetch('/api/revalidate', { method: 'POST', body: JSON.stringify(body) });
    assert.equal(answer.status, 200, await answer.text());
    await until(async () => (await published()) > before);
  };
  /** Submits the form of the server action, as a browser without JavaScript does. */
  const act = async (tag) => {
    action ??= /name="(\$ACTION_ID_[^"]+)"/.exec(await (await site.fetch('/action')).text())?.[1];
    const boundary = '----newsreel';
    const fields = [[action, ''], ['tag', tag]];
    const body = fields.map(([name, value]) => `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`).join('');
    const headers = { 'content-type': `multipart/form-data; boundary=${boundary}` };
    const answer = await site.fetch('/action', { method: 'POST', headers, body: `${body}--${boundary}--\r\n` });
    assert.equal(answer.status, 200, await answer.text());
  };

  for (const kind of ['page', 'cached']) {
    await t.test(`/${kind}: a value is fetched once, until its tag is revalidated`, async () => {
      const path = `/${kind}/${kind}1`;
      for (let times = 0; times < 3; times += 1) assert.equal(await site.value(path), 0);
      assert.equal(values.asked.get(`${kind}1`), 1);
      values.set(`${kind}1`, 1);
      assert.equal(await site.value(path), 0);
      await revalidate({ tag: `value:${kind}1`, profile: { expire: 0 } });
      for (let times = 0; times < 3; times += 1) assert.equal(await site.value(path), 1);
      assert.equal(values.asked.get(`${kind}1`), 2);
    });

    await t.test(`/${kind}: updateTag of a server action is one publish, and counts when the action has answered`, async () => {
      const before = await published();
      values.set(`${kind}1`, 2);
      await act(`value:${kind}1`);
      assert.equal(await site.value(`/${kind}/${kind}1`), 2);
      assert.equal(await published(), before + 1);
    });

    await t.test(`/${kind}: with a profile the old value is shown once more, and made anew behind it`, async () => {
      values.set(`${kind}1`, 3);
      await revalidate({ tag: `value:${kind}1`, profile: 'max' });
      assert.equal(await site.value(`/${kind}/${kind}1`), 2);
      await until(async () => (await site.value(`/${kind}/${kind}1`)) === 3);
    });

    await t.test(`/${kind}: revalidatePath`, async () => {
      values.set(`${kind}1`, 4);
      await revalidate({ path: `/${kind}/${kind}1` });
      assert.equal(await site.value(`/${kind}/${kind}1`), 4);
    });
  }

  await t.test('a page that is kept whole', async () => {
    assert.equal(await site.value('/static'), 0);
    const asked = values.asked.get('static');
    assert.equal(await site.value('/static'), 0);
    assert.equal(values.asked.get('static'), asked);
    for (const [value, revalidated] of [[1, { tag: 'value:static', profile: { expire: 0 } }], [2, { path: '/static' }]]) {
      values.set('static', value);
      await revalidate(revalidated);
      for (let times = 0; times < 2; times += 1) assert.equal(await site.value('/static'), value);
    }
    values.set('static', 3);
    await revalidate({ tag: 'value:static', profile: 'max' });
    assert.equal(await site.value('/static'), 2);
    await until(async () => (await site.value('/static')) === 3);
  });

  await t.test('what was fetched before a change is not kept after it', async () => {
    for (const path of ['/static', '/page/late', '/cached/late2']) {
      const name = path.split('/').at(-1);
      const asked = values.asked.get(name) ?? 0;
      await site.broker.publish({ tag: `value:${name}` }, { catalog: 'tv' });
      values.delayMs = () => 600;
      const reading = site.value(path);
      await until(() => (values.asked.get(name) ?? 0) > asked);
      values.delayMs = () => 0;
      values.set(name, 100);
      await site.broker.publish({ tag: `value:${name}` }, { catalog: 'tv' });
      await reading;
      for (let times = 0; times < 2; times += 1) assert.equal(await site.value(path), 100, path);
    }
  });

  await t.test('a publish by anybody else counts', async () => {
    values.set('static', 4);
    values.set('page1', 5);
    await site.broker.publish({ changes: [{ tag: 'value:static' }, { tag: 'value:page1' }] }, { catalog: 'tv' });
    assert.deepEqual([await site.value('/static'), await site.value('/page/page1')], [4, 5]);
  });

  await t.test(`${ROUNDS} interleavings: no value is older than an updateTag that had returned`, async (t) => {
    values.delayMs = () => Math.random() * 30;
    const paths = { static: '/static', page2: '/page/page2', cached2: '/cached/cached2' };
    const { older, readings } = await race({
      values, rounds: ROUNDS, names: Object.keys(paths), read: (name) => site.value(paths[name]), update: (name) => act(`value:${name}`),
    });
    t.diagnostic(`${readings} reads, ${older} of them older`);
    assert.equal(older, 0);
  });
});

//! newsreel-vinext in vinext itself, built for workerd and bound to Newsreel's Worker.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { run, Values } from './processes.mjs';
import { race, startSite, until } from './site.mjs';

const FOLDER = join(process.env.FRAMEWORKS, 'vinext');
const ROUNDS = Number(process.env.ROUNDS ?? 60);

test('an app on vinext', async (t) => {
  const values = await Values.start(t);
  await run(process.execPath, [join(FOLDER, 'node_modules/vite/bin/vite.js'), 'build'], { cwd: FOLDER });
  const site = await startSite(t, join(FOLDER, 'dist/server/wrangler.json'), { vars: { VALUES_URL: values.url } });
  const published = async () => (await site.broker.status('tv')).version;
  const revalidate = async (body) => {
    const answer = await site.fetch('/api/revalidate', { method: 'POST', body: JSON.stringify(body) });
    assert.equal(answer.status, 200, await answer.text());
  };

  for (const kind of ['page', 'isr']) {
    const [name, path] = [`${kind}1`, `/${kind}/${kind}1`];

    await t.test(`/${kind}: a value is fetched once, until its tag is revalidated by one publish`, async () => {
      for (let times = 0; times < 3; times += 1) assert.equal(await site.value(path), 0);
      assert.equal(values.asked.get(name), 1);
      values.set(name, 1);
      assert.equal(await site.value(path), 0);
      const before = await published();
      await revalidate({ tag: `value:${name}`, profile: { expire: 0 } });
      assert.equal(await published(), before + 1);
      for (let times = 0; times < 3; times += 1) assert.equal(await site.value(path), 1);
      assert.equal(values.asked.get(name), 2);
    });

    await t.test(`/${kind}: with a profile the old value is shown once more, and made anew behind it`, async () => {
      values.set(name, 2);
      await revalidate({ tag: `value:${name}`, profile: 'max' });
      await until(async () => (await site.value(path)) === 2);
    });

    await t.test(`/${kind}: revalidatePath`, async () => {
      values.set(name, 3);
      await revalidate({ path });
      assert.equal(await site.value(path), 3);
    });

    await t.test(`/${kind}: a publish by anybody else counts`, async () => {
      values.set(name, 4);
      await site.broker.publish({ tag: `value:${name}` }, { catalog: 'tv' });
      assert.equal(await site.value(path), 4);
    });

    await t.test(`/${kind}: a change while the value is fetched is not lost`, async () => {
      const slow = `${kind}slow`;
      values.delayMs = () => 300;
      const reading = site.value(`/${kind}/${slow}`);
      await until(() => values.asked.get(slow) === 1);
      values.set(slow, 5);
      await revalidate({ tag: `value:${slow}`, profile: { expire: 0 } });
      await reading;
      values.delayMs = () => 0;
      assert.equal(await site.value(`/${kind}/${slow}`), 5);
    });
  }

  await t.test('no read after a revalidation is older than the revalidation', async () => {
    values.delayMs = () => Math.random() * 20;
    const names = ['race1', 'race2', 'race3'];
    const read = (name) => site.value(`/page/${name}`);
    const update = (name) => revalidate({ tag: `value:${name}`, profile: { expire: 0 } });
    const { older, readings } = await race({ values, rounds: ROUNDS, names, read, update });
    t.diagnostic(`${readings} reads in ${ROUNDS} rounds, ${older} older`);
    assert.equal(older, 0);
  });
});

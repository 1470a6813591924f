// The package's examples, each as its reader would run it: in a project with the package installed, before a real broker.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';

import { createTestHarness } from 'wrangler';

import { openPage, serveFiles, startChromium } from './chromium.mjs';
import { EXAMPLES, project } from './package.mjs';
import { TOKENS, startSystem } from './system.mjs';

test('the examples', { concurrency: true }, async (t) => {
  const { broker } = await startSystem(t, { origin: false });
  const tests = [];

  tests.push(t.test('Node: prints what changed, goes on where it was, and ends without a good token', async (t) => {
    const catalog = 'in-node';
    const folder = await project(t, { from: join(EXAMPLES, 'node') });
    await broker.publish({ key: 'title:1', tags: ['a'] }, { catalog });
    await broker.publish({ prefix: 'title:2' }, { catalog });
    const first = follow(t, folder, { broker, catalog });
    assert.deepEqual(await first.lines(2), ['1 {"key":"title:1","tags":["a"]}', '2 {"prefix":"title:2"}']);
    await first.state(/^live/);
    assert.equal(await first.end(), 0);
    await broker.publish({ all: true }, { catalog });
    const second = follow(t, folder, { broker, catalog });
    assert.deepEqual(await second.lines(1), ['3 {"all":true}']);
    assert.equal(await second.end(), 0);
    assert.match(readFileSync(join(folder, 'newsreel-position'), 'utf8'), /^\w{26}:3:\w{16}\n$/);
    const unknown = follow(t, folder, { broker, catalog, token: 'guess' });
    assert.equal(await unknown.ended, 1);
    assert.match(unknown.said.join('\n'), /unauthorized/);
  }));

  tests.push(t.test('Worker: an object that is evicted goes on from its position', async (t) => {
    const catalog = 'in-worker';
    const root = await project(t, { from: join(EXAMPLES, 'worker') });
    const vars = { NEWSREEL_URL: broker.url, NEWSREEL_CATALOG: catalog };
    const url = await startWorker(t, root, { NEWSREEL_URL: broker.url, NEWSREEL_CATALOG: catalog });
    const mirror = async (after) => (await fetch(`${url}/?after=${after.position}`)).json();

    await broker.publish({ key: 'title:1' }, { catalog });
    const second = await broker.publish({ key: 'title:2' }, { catalog });
    assert.deepEqual(await mirror(second), { position: second.position, handled: 2, changed: { 'title:1': 1, 'title:2': 2 } });
    assert.equal((await fetch(`${url}/evict`)).status, 500);
    const third = await broker.publish({ key: 'title:1' }, { catalog });
    assert.deepEqual(await mirror(third), { position: third.position, handled: 1, changed: { 'title:1': 3, 'title:2': 2 } });
    const fourth = await broker.publish({ all: true }, { catalog });
    assert.deepEqual(await mirror(fourth), { position: fourth.position, handled: 2, changed: {} });
  }));

  tests.push(t.test('browser: shows what changes, and after a reload goes on where it was', async (t) => {
    const catalog = 'in-browser';
    const browser = await startChromium(t);
    if (!browser) return;
    const site = await serveFiles(t, await project(t, { from: join(EXAMPLES, 'browser') }));
    await broker.publish({ key: 'title:1' }, { catalog });
    const page = await openPage(t, browser, `${site}/index.html?broker=${broker.url}&catalog=${catalog}&token=${TOKENS.follow}`);
    await shows(page, 'live', ['1 {"key":"title:1"}']);
    await broker.publish({ key: 'title:2' }, { catalog });
    await shows(page, 'live', ['1 {"key":"title:1"}', '2 {"key":"title:2"}']);
    await page.reload();
    await shows(page, 'live', []);
    await broker.publish({ key: 'title:3', op: 'remove' }, { catalog });
    await shows(page, 'live', ['3 {"key":"title:3","op":"remove"}']);
  }));

  await Promise.all(tests);
});

/** The example, and a way to end its object: the runtime's own eviction waits while a socket is open. */
const EVICTABLE = `
import worker, { Mirror as Example } from './index.js';
export default worker;
export class Mirror extends Example {
  fetch(request) {
    return new URL(request.url).pathname === '/evict' ? this.ctx.abort('evicted') : super.fetch(request);
  }
}`;

/** The Worker example on workerd, bundled by wrangler; returns its address. */
async function startWorker(t, root, vars) {
  writeFileSync(join(root, 'src/evictable.js'), EVICTABLE);
  const config = join(root, 'wrangler.toml');
  writeFileSync(config, readFileSync(config, 'utf8').replace('src/index.js', 'src/evictable.js'));
  const harness = createTestHarness({ root, workers: [{ configPath: config, vars, secrets: { NEWSREEL_TOKEN: TOKENS.follow } }] });
  t.after(() => harness.close());
  return (await harness.listen()).url.origin;
}

/** The Node example at work. */
function follow(t, folder, { broker, catalog, token = TOKENS.follow }) {
  const env = { ...process.env, NEWSREEL_URL: broker.url, NEWSREEL_CATALOG: catalog, NEWSREEL_TOKEN: token };
  const child = spawn(process.execPath, ['follow.mjs'], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  const said = [];
  const told = createInterface({ input: child.stderr }).on('line', (line) => said.push(line));
  const printed = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = once(child, 'close').then(([code]) => code);
  return {
    said,
    ended,
    /** The next lines that it prints. */
    async lines(count) {
      const lines = [];
      while (lines.length < count) lines.push((await printed.next()).value);
      return lines;
    },
    /** Resolves when it has told of such a state. */
    async state(pattern) {
      while (!said.some((line) => pattern.test(line))) await once(told, 'line');
    },
    end() {
      child.kill('SIGTERM');
      return ended;
    },
  };
}

/** Waits until the page shows this state and these changes. */
async function shows(page, state, changes) {
  const isShown = ([state, changes]) => {
    const lines = [...document.querySelectorAll('li')].map((line) => line.textContent);
    return document.getElementById('state').value === state && JSON.stringify(lines) === JSON.stringify(changes);
  };
  await page.waitForFunction(isShown, [state, changes]);
}

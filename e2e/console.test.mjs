// The console, looked at: a story a view, by a real Chromium on the deployment's own page.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { gzipSync } from 'node:zlib';

import { Console, built } from './console.mjs';
import { ROOT, TOKENS, runToEnd, startSystem } from './system.mjs';

const HOSTILE = ['title:<script>document.title="owned"</script>', 'title:\u202egnp.exe', `title:${'x'.repeat(394)}`];

test('the console is small, its types hold, and nothing in it names another host', async () => {
  await built;
  const folder = join(ROOT, 'target/console/console');
  const files = readdirSync(folder, { recursive: true }).filter((name) => /\.\w+$/.test(name));
  const bytes = files.reduce((sum, name) => sum + gzipSync(readFileSync(join(folder, name)), { level: 9 }).length, 0);
  assert.ok(bytes <= 150_000, `${bytes} bytes gzipped`);
  for (const name of files.filter((one) => /\.(html|css)$/.test(one))) {
    assert.doesNotMatch(readFileSync(join(folder, name), 'utf8'), /(src|href)="(https?:)?\/\/|url\(["']?(https?:)?\/\//, name);
  }
  const { code, stdout } = await runToEnd(join(ROOT, 'node_modules/.bin/tsc'), ['-p', join(ROOT, 'packages/console')]);
  assert.equal(code, 0, stdout);
});

test('the page comes with a strict policy, and every other address stays the Worker’s', async (t) => {
  await built;
  const { broker } = await startSystem(t);
  const page = await fetch(`${broker.url}/console/`);
  assert.equal(page.status, 200);
  const policy = page.headers.get('content-security-policy');
  assert.match(policy, /default-src 'none'; script-src 'self' 'wasm-unsafe-eval';/);
  assert.doesNotMatch(policy, /'unsafe-|https?:|\*/);
  assert.doesNotMatch(await page.text(), /<script(?![^>]*src=)|style=|onload=/, 'nothing is inline');
  assert.equal((await fetch(`${broker.url}/console`)).url, `${broker.url}/console/`);
  assert.equal((await fetch(`${broker.url}/healthz`)).status, 200);
  assert.equal((await (await fetch(`${broker.url}/nothing`)).json()).code, 'unknown-path');
  assert.equal((await (await fetch(`${broker.url}/v1/catalogs/tv`)).json()).code, 'unauthorized');
});

test('one signs in, sees the head, and the token stays out of every address', async (t) => {
  const { broker } = await startSystem(t);
  const console_ = await Console.open(t, broker.url);
  if (!console_) return;
  const { page } = console_;
  const addresses = [];
  page.on('request', (request) => addresses.push(request.url()));
  for (const key of HOSTILE) await broker.publish({ key });
  await broker.read('title:1');

  await console_.go('');
  await console_.isWell('sign-in');
  await console_.signIn({ token: 'wrong' });
  await page.getByRole('alert').getByText('unauthorized').waitFor();
  await console_.signIn();
  await console_.shown('Overview');
  const head = page.locator('.figure', { hasText: 'Head' }).locator('.large');
  await head.getByText(String((await broker.status()).version), { exact: true }).waitFor();
  await page.getByRole('link', { name: 'e2e, 0 behind' }).waitFor();
  await console_.isWell('overview');

  await page.reload();
  await console_.shown('Overview');
  assert.deepEqual(addresses.filter((address) => address.includes(TOKENS.admin)), []);
  assert.equal(await page.evaluate(() => JSON.stringify({ ...localStorage }).includes('e2e-admin')), false);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByLabel('Token').waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
});

test('a follow token sees the log, and is told what needs another', async (t) => {
  const { broker } = await startSystem(t);
  const console_ = await Console.open(t, broker.url);
  if (!console_) return;
  await console_.go('#/tv/edges');
  await console_.signIn({ token: TOKENS.follow });
  await console_.shown('Edges');
  await console_.page.getByText('Edges needs an admin token').waitFor();
  await console_.isWell('needs-admin');
  await console_.go('#/tv/live');
  await console_.page.getByText('No version yet').waitFor();
  await console_.isWell('live-empty');
});

test('the log is shown as it happens, with hostile names as the names they are', async (t) => {
  const { broker } = await startSystem(t);
  const console_ = await Console.open(t, broker.url);
  if (!console_) return;
  const { page } = console_;
  for (const key of HOSTILE) await broker.publish({ key });
  await console_.go('#/tv/live');
  await console_.signIn();
  await page.getByRole('status').getByText('Live').waitFor();
  const list = page.getByRole('list', { name: 'Versions, the newest first' });
  await list.getByText(HOSTILE[0]).waitFor();
  await broker.publish({ changes: [{ key: 'title:4', op: 'remove' }, { tag: 'platform:quay', soft: true }, { prefix: 'embedding:' }] });
  await list.getByText('title:4').waitFor();
  assert.equal(await list.getByRole('listitem').count(), (await broker.status()).version, 'every version, once');
  await list.getByText('title:4').click();
  await page.getByRole('complementary', { name: 'Version 4' }).getByText('platform:quay').waitFor();
  assert.match(page.url(), /version=4/);
  await console_.isWell('live');
  await page.getByLabel('Tag').fill('quay');
  await page.getByText('1 shown of 4 heard').waitFor();
  assert.match(page.url(), /tag=quay/);
});

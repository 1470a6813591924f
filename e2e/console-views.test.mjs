// The console's views at work: what they say is compared with what an independent count says.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';

import WebSocket from 'ws';

import { Console } from './console.mjs';
import { startValues } from './origin.mjs';
import { TOKENS, runToEnd, startSystem } from './system.mjs';
import { inSeconds, makeKey, makeToken } from './tokens.mjs';

const LONG_KEY = `title:${'é'.repeat(197)}`;

/** Opens the console on a view and signs in. */
async function opened(t, broker, hash, options) {
  const console_ = await Console.open(t, broker.url, options);
  if (!console_) return undefined;
  await console_.go(hash);
  await console_.signIn();
  return console_;
}

/** Waits until a check holds. */
async function until(check, what) {
  for (const end = Date.now() + 20_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 100))) {
    if (await check()) return;
  }
  assert.fail(`${what} did not come true`);
}

/** A follower that counts as a replica, and never acknowledges anything unless told. */
async function startEdge(t, broker, name) {
  const address = `${broker.at('/follow').replace('http', 'ws')}?name=${encodeURIComponent(name)}`;
  const headers = { authorization: `Bearer ${TOKENS.admin}`, 'newsreel-replica': '1' };
  const socket = new WebSocket(address, ['newsreel.v1'], { headers });
  t.after(() => socket.terminate());
  await new Promise((resolve, reject) => {
    socket.once('message', resolve);
    socket.once('error', reject);
  });
  return socket;
}

test('an alert is in the overview with the edges where it stands, until it is over', { timeout: 300_000 }, async (t) => {
  const { broker } = await startSystem(t);
  const tell = (edge, level, value) => {
    const transitions = [{ rule: 'hit-rate', class: 'title', level, at: Date.now(), value, threshold: 0.9 }];
    return broker.call('POST', '/alerts', { token: TOKENS.admin, body: JSON.stringify({ edge, transitions }) });
  };
  for (const edge of ['ams', 'fra', 'lhr', 'waw']) await tell(edge, 'critical', 0.25);
  const report = { source: 'postgres:shop', late_ms: 1_500, again_ms: 3_600_000 };
  await broker.call('POST', '/sources', { token: TOKENS.publish, body: JSON.stringify(report) });
  const console_ = await opened(t, broker, '#/tv/overview');
  if (!console_) return;
  const alerts = console_.page.getByRole('region', { name: 'Alerts' });
  await alerts.getByText('hit-rate of class title at ams, fra and 2 more edges: 25.0 %, beyond 90.0 %').waitFor();
  for (const edge of ['ams', 'fra', 'lhr']) await alerts.getByText(edge, { exact: true }).waitFor();
  await alerts.getByText('and 1 more').waitFor();
  await console_.page.getByRole('region', { name: 'Sources' }).getByText(/Source postgres:shop 1\.5 s late, heard of/).waitFor();
  await console_.isWell('alerts');
  for (const edge of ['ams', 'fra', 'lhr', 'waw']) await tell(edge, 'ok', 1);
  await alerts.getByText('1 ended lately').waitFor();
});

test('keys that are checked by schedule: how many are consistent, and the way to a wrong one', { timeout: 300_000 }, async (t) => {
  const origin = await startValues(t);
  const vars = { ORIGIN_URL: origin.url, VERIFY_CATALOGS: 'tv', POLICY: { title: { lag_bound_ms: 250 } } };
  const { broker, worker } = await startSystem(t, { origin: false, vars });
  for (let n = 0; n < 4; n += 1) {
    origin.set(`title:${n}`, { n });
    await broker.read(`title:${n}`);
  }
  await broker.call('GET', '/metrics', { token: TOKENS.admin });
  // A change that nobody published.
  origin.set('title:1', { n: 'changed' });
  await worker.scheduled({ cron: '0-59/5 * * * *', scheduledTime: new Date() });
  const console_ = await opened(t, broker, '#/tv/overview');
  if (!console_) return;
  const { page } = console_;
  const checked = page.getByRole('region', { name: 'Checked by schedule' });
  await checked.getByText('75 % consistent').waitFor();
  assert.equal(await checked.locator('[data-figure=checked]').textContent(), '4');
  await checked.getByText('1 wrong').waitFor();
  await page.getByRole('article', { name: 'Class title' }).getByText('the check by schedule found wrong answers').waitFor();
  await console_.isWell('checks');
  await checked.getByRole('link', { name: 'title:1' }).click();
  await page.getByRole('article', { name: 'Edge e2e' }).getByText('fresh from').waitFor();
});

test('a key: why it is served, drawn; then read, refreshed and removed', { timeout: 400_000 }, async (t) => {
  const { broker, origin } = await startSystem(t);
  for (const key of ['title:1', LONG_KEY]) await origin.put(key, { title: 'before' }, ['platform:quay']);
  await broker.read('title:1');
  const console_ = await opened(t, broker, '#/tv/key?key=title%3A1');
  if (!console_) return;
  const { page } = console_;
  const edge = page.getByRole('article', { name: 'Edge e2e' });
  await edge.getByText('fresh from memory').waitFor();

  const { version } = await broker.publish({ tag: 'platform:quay' });
  await page.getByRole('button', { name: 'Why?' }).click();
  await edge.getByRole('button', { name: /Memory older than a tag’s change/ }).click();
  await edge.getByText(`tag platform:quay: hard floor ${version}, which ends the entry`).waitFor();
  await console_.isWell('key');

  await page.getByRole('button', { name: 'Read', exact: true }).click();
  await page.getByText('"title": "before"').waitFor();
  await page.getByRole('button', { name: 'Refresh' }).click();
  await page.getByText(`Version ${version + 1} ends the old value softly; fetched.`).waitFor();
  await page.getByRole('button', { name: 'Remove …' }).click();
  await console_.isWell('key-remove');
  await page.getByRole('button', { name: 'Remove', exact: true }).click();
  await edge.getByText('removed: 404').waitFor();
  assert.equal((await broker.read('title:1', { after: await broker.status() })).status, 404);

  await page.getByLabel('Key', { exact: true }).fill(LONG_KEY);
  await page.getByRole('button', { name: 'Why?' }).click();
  await edge.getByText('fresh from').waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, 'a long key widens nothing');
});

test('a publish: the dry run counts what is read, the receipt fills up edge by edge', { timeout: 400_000 }, async (t) => {
  const { broker, origin } = await startSystem(t);
  const keys = Array.from({ length: 12 }, (_, at) => `title:${at}`);
  for (const key of keys) await origin.put(key, { key }, key.endsWith('1') ? ['platform:quay'] : []);
  for (const key of keys) await broker.read(key);
  for (let turn = 0; turn < 4; turn++) await broker.read('title:1');
  const console_ = await opened(t, broker, '#/tv/publish');
  if (!console_) return;
  const { page } = console_;
  await page.getByLabel('Target').selectOption('tag');
  await page.getByLabel('Name').fill('platform:quay');
  await page.getByRole('button', { name: 'Dry run', exact: true }).click();
  const covered = page.locator('[data-figure=covered]');
  await covered.waitFor();
  const before = (await broker.status()).version;
  assert.equal(await covered.textContent(), String(keys.filter((key) => key.endsWith('1')).length));
  const row = page.getByRole('region', { name: 'By key' }).getByRole('row', { name: 'title:1', exact: false }).first();
  assert.match(await row.textContent(), /^title:15$/, 'title:1 was read five times');
  assert.equal((await broker.status()).version, before, 'a dry run publishes nothing');
  await console_.isWell('publish-dry');

  const slow = await startEdge(t, broker, 'slow');
  await page.getByRole('button', { name: 'Publish', exact: true }).click();
  const receipt = page.getByRole('region', { name: 'Receipt' });
  await receipt.getByText('1 of 2 edges have applied it').waitFor();
  await receipt.getByText('not yet').waitFor();
  assert.equal((await broker.status()).version, before + 1, 'one publish, one version');
  slow.send(JSON.stringify({ type: 'ack', version: before + 1 }));
  await receipt.getByText('2 of 2 edges have applied it').waitFor();
  await console_.isWell('publish-receipt');

  await page.getByRole('button', { name: 'Another publish' }).click();
  await page.getByLabel('Target').selectOption('key');
  await page.getByLabel('Name').fill('no-class');
  await page.getByRole('button', { name: 'Dry run', exact: true }).click();
  await page.getByRole('alert').getByText('bad-key').waitFor();
  assert.equal(await page.getByRole('button', { name: /^Publish/ }).isDisabled(), true);
});

test('the settings say what is changed, and what is wrong', { timeout: 300_000 }, async (t) => {
  const { broker } = await startSystem(t, { origin: false, vars: { POLICY: { title: { ttl_ms: 5000, beyond_bound: 'fail' } }, FILL_TOP: 'many' } });
  const answer = await broker.call('GET', '/settings', { token: TOKENS.admin });
  const title = answer.json.policies.find((one) => one.class === 'title');
  assert.deepEqual([title.policy.ttl_ms, title.default.ttl_ms, title.policy.beyond_bound], [5000, 168 * 3_600_000, 'fail']);
  assert.deepEqual(answer.json.problems.map(({ name }) => name), ['FILL_TOP']);
  for (const token of Object.values(TOKENS)) assert.ok(!answer.text.includes(token), 'no secret is shown');
  assert.equal((await broker.call('GET', '/settings', { token: TOKENS.follow })).status, 403);
  const console_ = await opened(t, broker, '#/tv/settings');
  if (!console_) return;
  const { page } = console_;
  await page.getByRole('article', { name: 'Class title' }).getByText('it fails (503)').waitFor();
  await page.getByText(/FILL_TOP/).first().waitFor();
  assert.equal(await page.getByRole('article', { name: 'Class title' }).locator('.changed').count(), 2);
  await console_.isWell('settings');
});

test('figures, plots and commands are those of an independent count', { timeout: 400_000 }, async (t) => {
  const { broker, origin } = await startSystem(t);
  await origin.put('title:1', { title: 'one' });
  const reads = 37;
  for (let turn = 0; turn < reads; turn++) await broker.read('title:1');
  const counted = async () => {
    const { json } = await broker.call('GET', '/series?edge=*&names=reads', { token: TOKENS.admin });
    return json?.series.flatMap(({ values }) => values).reduce((sum, value) => sum + value, 0);
  };
  await until(async () => (await counted()) === reads, 'the series count every read');
  const console_ = await opened(t, broker, '#/tv/overview');
  if (!console_) return;
  const { page } = console_;
  await page.locator('[data-figure=reads]').getByText(String(reads), { exact: true }).waitFor();
  await page.getByRole('article', { name: 'Class title' }).getByText(`${reads} reads`).waitFor();
  const plot = page.getByRole('figure', { name: 'Reads per second' });
  const downloaded = async (name) => {
    const [download] = await Promise.all([page.waitForEvent('download'), plot.getByRole('button', { name }).click()]);
    return readFileSync(await download.path());
  };
  const rows = (await downloaded('CSV')).toString().trim().split('\n').slice(1).map((line) => line.split(','));
  assert.equal(Math.round(rows.reduce((sum, [, value]) => sum + Number(value) * 60, 0)), reads, 'the CSV has every read');
  assert.deepEqual([...(await downloaded('PNG')).subarray(1, 4)], [...Buffer.from('PNG')]);

  await page.getByRole('button', { name: 'Copy as curl' }).first().click();
  const command = await page.evaluate(() => navigator.clipboard.readText());
  assert.ok(!command.includes(TOKENS.admin), command);
  const { code, stdout } = await runToEnd('bash', ['-c', `TOKEN=${TOKENS.admin}; ${command}`]);
  assert.equal(code, 0);
  assert.deepEqual(JSON.parse(stdout).followers.map(({ name }) => name), ['e2e']);
  await console_.isWell('overview-series');
});

test('a token that expires while one looks leads to the sign-in and back to the same place', { timeout: 400_000 }, async (t) => {
  const key = makeKey('k1', 'HS256');
  const { broker } = await startSystem(t, { secrets: { TOKEN_KEYS: JSON.stringify([key.item]) } });
  const console_ = await Console.open(t, broker.url);
  if (!console_) return;
  const { page } = console_;
  await console_.go('#/tv/overview');
  await console_.signIn({ token: makeToken(key, { scopes: ['admin'], exp: inSeconds(6) }) });
  await console_.shown('Overview');
  await page.getByText(/The token is not accepted any more/).waitFor();
  assert.match(page.url(), /#\/tv\/overview$/);
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  await console_.isWell('expired');
  await console_.signIn();
  await console_.shown('Overview');
});

test('a socket that is cut is said, and made up for', { timeout: 400_000 }, async (t) => {
  const { broker } = await startSystem(t);
  const console_ = await Console.open(t, broker.url);
  if (!console_) return;
  const { page } = console_;
  const sockets = [];
  let isCut = false;
  await page.routeWebSocket(/\/follow/, (socket) => {
    if (isCut) return socket.close({ code: 4001 });
    socket.connectToServer();
    sockets.push(socket);
  });
  await console_.go('#/tv/live');
  await console_.signIn();
  const status = page.getByRole('status');
  await status.getByText('Live').waitFor();
  isCut = true;
  sockets[0].close({ code: 4001, reason: 'cut' });
  await status.getByText('Not connected').waitFor();
  await console_.isWell('live-cut');
  for (let at = 0; at < 5; at++) await broker.publish({ key: `title:${at}` });
  isCut = false;
  await status.getByText('Live').waitFor();
  await page.getByText('5 shown of 5 heard').waitFor();
});

test('live: a version opens to where it comes from, and the log is searched by it', { timeout: 300_000 }, async (t) => {
  const { broker } = await startSystem(t);
  const trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  const source = { name: 'postgres:newsreel', id: '16/B374D848', at: Date.now() - 1_500 };
  await broker.publish({ key: 'title:1' });
  await broker.publish({ key: 'title:2', source }, { headers: { traceparent: trace } });
  await broker.publish({ key: 'title:3', source: { name: 'hook:<script>alert(1)</script>', id: '\u202eevt' } });
  const console_ = await opened(t, broker, '#/tv/live');
  if (!console_) return;
  const { page } = console_;
  await page.getByText('3 shown of 3 heard').waitFor();
  await page.getByText('from hook:<script>alert(1)</script>').waitFor();
  await page.getByLabel('Source').fill('B374D848');
  await page.getByText('1 shown of 3 heard').waitFor();
  await page.getByRole('button', { name: /title:2/ }).click();
  const version = page.getByRole('complementary', { name: 'Version 2' });
  await version.getByText('postgres:newsreel').waitFor();
  await version.getByText('16/B374D848').waitFor();
  await version.getByText(/\d s before the commit/).waitFor();
  await version.getByText(trace).waitFor();
  await console_.isWell('live-source');
  await page.getByLabel('Source').fill(trace);
  await page.getByText('1 shown of 3 heard').waitFor();
});

test('100 edges and 10,000 versions without a stutter; an edge that dies is missed', { timeout: 500_000 }, async (t) => {
  const { broker } = await startSystem(t);
  const edges = await Promise.all(Array.from({ length: 100 }, (_, at) => startEdge(t, broker, `edge-${String(at).padStart(3, '0')}`)));
  const console_ = await opened(t, broker, '#/tv/edges?edge=edge-042');
  if (!console_) return;
  const { page } = console_;
  await page.getByText('100 of 100 followers').waitFor();
  await page.getByText('0 behind the head').waitFor();
  edges[42].terminate();
  await page.getByRole('alert').getByText('This follower is not connected any more').waitFor();
  await page.getByText('99 of 99 followers').waitFor();
  await console_.isWell('edges-100');

  await page.keyboard.press('3');
  await page.getByRole('status').getByText('Live').waitFor();
  // The time of the page's own thread, which a busy machine does not lengthen as it does the time between frames.
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Performance.enable', { timeDomain: 'threadTicks' });
  const worked = async () => {
    const { metrics } = await devtools.send('Performance.getMetrics');
    return metrics.find(({ name }) => name === 'TaskDuration').value * 1000;
  };
  const lines = (from) => Array.from({ length: 2500 }, (_, at) => JSON.stringify({ key: `title:${from + at}`, tags: ['platform:quay'] })).join('\n');
  for (let from = 0; from < 10_000; from += 2500) {
    const answer = await broker.publishRaw(lines(from), { headers: { 'content-type': 'application/x-ndjson' } });
    assert.equal(answer.status, 200);
  }
  await page.getByText('10,000 shown of 10,000 heard').waitFor({ timeout: 60_000 });
  const list = page.getByRole('list', { name: 'Versions, the newest first' });
  assert.ok((await list.getByRole('listitem').count()) < 80, 'only what is in view is in the page');
  const before = await worked();
  await list.hover();
  const turns = 40;
  for (let turn = 0; turn < turns; turn++) await page.mouse.wheel(0, 4000);
  await page.getByRole('button', { name: /Resume/ }).waitFor();
  const each = ((await worked()) - before) / turns;
  t.diagnostic(`${each.toFixed(1)} ms of work for each turn of the wheel, over 10,000 versions`);
  assert.ok(each < 50, `${each} ms of work for a turn of the wheel`);
  await page.getByRole('button', { name: /Resume/ }).click();
  await page.getByLabel('Key', { exact: true }).fill('title:9999');
  await page.getByText('1 shown of 10,000 heard').waitFor();
});

test('the keyboard alone is enough, and a phone’s width', { timeout: 400_000 }, async (t) => {
  const { broker } = await startSystem(t);
  for (const key of ['title:1', 'title:2', 'title:3']) await broker.publish({ key });
  await broker.read('title:1');
  const console_ = await opened(t, broker, '#/tv/overview', { viewport: { width: 360, height: 780 } });
  if (!console_) return;
  const { page } = console_;
  await console_.shown('Overview');
  await page.keyboard.press('3');
  await console_.shown('Live');
  await page.getByText('3 shown of 3 heard').waitFor();
  await page.keyboard.press('/');
  await page.keyboard.type('title:');
  assert.match(page.url(), /key=title%3A/);
  await page.getByRole('list', { name: /Versions/ }).focus();
  await page.keyboard.press('ArrowDown');
  await page.getByRole('complementary', { name: 'Version 3' }).waitFor();
  await page.keyboard.press('p');
  await page.getByRole('button', { name: /Resume/ }).waitFor();
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keys' }).waitFor();
  await page.keyboard.press('Escape');
  for (const [digit, title] of ['Overview', 'Edges', 'Live', 'A key', 'Publish', 'Settings'].entries()) {
    await page.keyboard.press(String(digit + 1));
    await console_.shown(title);
    await page.waitForLoadState('networkidle').catch(() => {});
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 360, `${title} is ${width} wide`);
    await console_.isWell(`phone-${title}`);
  }
});

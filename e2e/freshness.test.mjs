// The element <newsreel-freshness> of the npm package, as it is installed, in a real Chromium.

import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import test from 'node:test';

import { openPage, serveFiles, startChromium } from './chromium.mjs';
import { ROOT, startSystem, temporaryFolder } from './system.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** The strictest policy under which a page can load a module at all. */
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src *; require-trusted-types-for 'script'; trusted-types 'none'";
const HOUR = 3_600_000;

/** A page with these elements; the element is what the package's build has. */
async function shown(t, body, lang = 'en') {
  const browser = await startChromium(t);
  if (!browser) return undefined;
  const folder = temporaryFolder();
  copyFileSync(join(ROOT, 'target/client/package/dist/freshness.js'), join(folder, 'freshness.js'));
  writeFileSync(
    join(folder, 'index.html'),
    `<!doctype html><html lang="${lang}"><meta charset="utf-8"><meta http-equiv="content-security-policy" content="${POLICY}">
<title>A page</title><script type="module" src="/freshness.js"></script><main><h1>A page</h1>${body}</main></html>`,
  );
  const page = await openPage(t, browser, `${await serveFiles(t, folder)}/index.html`);
  await page.waitForFunction(() => customElements.get('newsreel-freshness'));
  return page;
}

const element = (page, id) => page.locator(`newsreel-freshness#${id}`);
const level = (page, id) => element(page, id).getAttribute('level');

test('what a server wrote is shown, judged by mark and thresholds, in the language of the page', { timeout: 120_000 }, async (t) => {
  const at = Date.now() - 2 * HOUR;
  const page = await shown(
    t,
    `<p><newsreel-freshness id="a" updated="${at}"></newsreel-freshness></p>
<p><newsreel-freshness id="b" updated="${new Date(at).toISOString()}" aging-after="3600"></newsreel-freshness></p>
<p><newsreel-freshness id="c" updated="${at}" aging-after="60" stale-after="3600"></newsreel-freshness></p>
<p><newsreel-freshness id="d" updated="${at}" mark="revalidating"></newsreel-freshness></p>
<p lang="de"><newsreel-freshness id="e" updated="${at}" mark="stale"></newsreel-freshness></p>
<p><newsreel-freshness id="f" updated="never"></newsreel-freshness></p>`,
  );
  if (!page) return;
  const levels = await Promise.all([...'abcdef'].map((id) => level(page, id)));
  assert.deepEqual(levels, ['fresh', 'aging', 'stale', 'aging', 'stale', null]);
  await element(page, 'a').getByText('updated 2 hours ago').waitFor();
  await element(page, 'e').getByText('updated vor 2 Stunden').waitFor();
  await element(page, 'f').getByText('age unknown').waitFor();
  await element(page, 'c').getByRole('img', { name: 'may be out of date' }).waitFor();
  assert.equal(await element(page, 'a').locator('time').getAttribute('datetime'), new Date(at).toISOString());

  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  assert.deepEqual(violations.map(({ id }) => id), []);

  const colour = () => page.evaluate(() => getComputedStyle(document.querySelector('#a').shadowRoot.querySelector('.dot')).backgroundColor);
  await page.evaluate(() => document.querySelector('#a').style.setProperty('--newsreel-fresh', 'rgb(1, 2, 3)'));
  assert.equal(await colour(), 'rgb(1, 2, 3)');
});

test('headers, an envelope and an address of Newsreel are read; a stale mark is said', { timeout: 120_000 }, async (t) => {
  const { broker, origin } = await startSystem(t);
  await origin.put('title:1', { title: 'one' });
  await broker.read('title:1');
  const page = await shown(t, `<newsreel-freshness id="a" src="${broker.at('/entries/title:1')}"></newsreel-freshness><newsreel-freshness id="b"></newsreel-freshness>`);
  if (!page) return;
  await page.waitForFunction(() => document.querySelector('#a').getAttribute('level') === 'fresh');
  const said = await page.evaluate(async (address) => {
    const response = await fetch(address);
    const [age] = response.headers.get('newsreel-freshness').match(/(?<=age=)\d+/);
    const { updatedAt, mark } = document.querySelector('#a').standing;
    return { difference: Math.abs(Date.now() - Number(age) * 1000 - updatedAt), mark };
  }, broker.at('/entries/title:1'));
  assert.equal(said.mark, 'fresh');
  assert.ok(said.difference < 2500, `${said.difference} ms apart`);

  const envelope = (await broker.read('title:1', { query: '?envelope=1' })).json;
  const levels = await page.evaluate((freshness) => {
    const b = document.querySelector('#b');
    const heard = [];
    b.addEventListener('levelchange', ({ detail }) => heard.push(detail));
    b.envelope = { freshness };
    b.response = new Response('', { headers: { 'Newsreel-Freshness': 'stale; age=90; lag=3' } });
    b.envelope = { ...freshness, stale: true, confidence: 0.5 };
    b.envelope = { ...freshness, next_update: Date.now() - 1 };
    b.response = new Response('');
    return [...heard, b.getAttribute('level')];
  }, envelope.freshness);
  assert.deepEqual(levels, ['fresh', 'stale', 'aging', null], 'an answer without an age is of unknown age');
});

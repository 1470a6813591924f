// The console in a real Chromium: signs in, looks for what the page's own policy refused and for what axe finds.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { startChromium } from './chromium.mjs';
import { ROOT, TOKENS } from './system.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** Where pictures of the views are left, to be looked at. */
const PICTURES = process.env.CONSOLE_PICTURES;

/** Builds the console, unless it is built: wrangler serves what is in target/console. */
export const built = promisify(execFile)(join(ROOT, 'scripts/build-console'));

/** A page of the console. */
export class Console {
  /** What the page's policy refused, and errors of its scripts: both stay empty. */
  refused = [];
  errors = [];

  constructor(page, url) {
    Object.assign(this, { page, url });
  }

  /** Opens a page of a new browser; undefined where there is no browser. */
  static async open(t, url, options = {}) {
    await built;
    const browser = await startChromium(t);
    if (!browser) return undefined;
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, permissions: ['clipboard-read', 'clipboard-write'], ...options });
    const console_ = new Console(await context.newPage(), url);
    await console_.watch();
    return console_;
  }

  async watch() {
    const { page, refused, errors } = this;
    await page.exposeFunction('newsreelRefused', (what) => refused.push(what));
    await page.addInitScript(() => {
      addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI, sample }) => {
        globalThis.newsreelRefused(`${violatedDirective} ${blockedURI} ${sample}`);
      });
    });
    page.on('pageerror', (error) => errors.push(error.stack));
    page.setDefaultTimeout(15_000);
  }

  /** Goes to a view. */
  async go(hash) {
    await this.page.goto(`${this.url}/console/${hash}`);
  }

  async signIn({ catalog = 'tv', token = TOKENS.admin } = {}) {
    await this.page.getByLabel('Catalog').fill(catalog);
    await this.page.getByLabel('Token').fill(token);
    await this.page.getByRole('button', { name: 'Sign in' }).click();
  }

  /** Waits until a heading is shown. */
  shown(title) {
    return this.page.getByRole('heading', { level: 1, name: title, exact: true }).waitFor();
  }

  /** Nothing was refused, no script failed, and axe finds nothing, in the dark and in the light. */
  async isWell(name) {
    for (const colorScheme of ['light', 'dark']) {
      await this.page.emulateMedia({ colorScheme });
      if (PICTURES) {
        mkdirSync(PICTURES, { recursive: true });
        await this.page.screenshot({ path: join(PICTURES, `${name}-${colorScheme}.png`), fullPage: true });
      }
      await this.page.evaluate(AXE);
      const { violations } = await this.page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
      const says = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 3).map(({ html }) => html).join(' ')}`);
      assert.deepEqual(says, [], `${name}, ${colorScheme}`);
    }
    assert.deepEqual(this.refused, [], 'the content security policy refused nothing');
    assert.deepEqual(this.errors, [], 'no script failed');
  }
}

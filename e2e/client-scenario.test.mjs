// The same scenario in Node, in workerd and in Chromium, before the same broker: they must not differ.

import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { build } from 'esbuild';
import { Log, LogLevel, Miniflare, convertV4MiniflareOptions } from 'miniflare';

import { openPage, serveFiles, startChromium } from './chromium.mjs';
import { scenario } from './client-scenario.mjs';
import { installed, project } from './package.mjs';
import { TOKENS, startSystem } from './system.mjs';

const TRANSPORTS = ['auto', 'polling'];
const RESET = { type: 'reset', version: 0, changes: [{ all: true }] };
const version = (version, ...changes) => ({ type: 'version', version, changes });
const ours = (code, terminal = true) => ({ name: 'NewsreelError', code, terminal });

/** The expected result of the scenario over a transport. */
const outcome = (transport) => ({
  first: {
    events: [
      version(1, { key: 'title:1', tags: ['a', 'b'] }),
      version(2, { tag: 'a', soft: true }),
      version(3, { key: 'title:映画', op: 'remove' }),
      version(4, { prefix: 'title:' }, { key: 'live:1' }),
    ],
    states: ['connecting', `catching-up ${transport}`, `live ${transport}`, 'closed closed by the caller'],
    version: 4,
    lag: true,
    isReceipt: true,
  },
  second: {
    events: [...[5, 6, 7].map((nth) => version(nth, { key: `title:${nth}` })), RESET, version(1, { all: true })],
    late: ours('timeout', false),
    state: 'closed',
    isReceipt: true,
    after: ours('closed'),
  },
  errors: {
    refused: { ...ours('unauthorized'), status: 401 },
    url: ours('bad-options'),
    catalog: ours('bad-options'),
    timing: ours('bad-options'),
    store: ours('store-failed'),
    garbage: ours('store-failed'),
    aborted: 'enough',
  },
});

test('the scenario', { concurrency: true }, async (t) => {
  const { broker } = await startSystem(t, { origin: false });
  const folder = await project(t);
  copyFileSync(fileURLToPath(new URL('client-scenario.mjs', import.meta.url)), join(folder, 'scenario.mjs'));
  /** Runs it by both transports at once; `run` takes what the scenario takes beside the package, and is in the runtime. */
  const check = async (runtime, run) => {
    const results = await Promise.all(
      TRANSPORTS.map((transport) => run({ url: broker.url, catalog: `${runtime}-${transport}`, tokens: TOKENS, transport })),
    );
    for (const [nth, transport] of TRANSPORTS.entries()) {
      const { stored, ...result } = JSON.parse(JSON.stringify(results[nth]));
      const name = transport === 'auto' ? 'websocket' : transport;
      assert.deepEqual(result, JSON.parse(JSON.stringify(outcome(name))), `${runtime}, ${transport}`);
      // How many writes there are depends on how many versions came at once; where they lead to does not.
      assert.deepEqual([stored.filter((version, nth) => version < (stored[nth - 1] ?? 0)), stored.at(-1)], [[0], 1]);
    }
  };

  await Promise.all([
    t.test('in Node', async () => {
      const newsreel = await import(pathToFileURL(installed(folder, 'dist/node.js')));
      await check('node', (options) => scenario(newsreel, options));
    }),

    t.test('in workerd', async (t) => {
      const url = await startWorker(t, folder);
      await check('workerd', async (options) => {
        const response = await fetch(url, { method: 'POST', body: JSON.stringify(options) });
        assert.equal(response.status, 200, await response.clone().text());
        return response.json();
      });
    }),

    t.test('in Chromium', async (t) => {
      const browser = await startChromium(t);
      if (!browser) return;
      writeFileSync(join(folder, 'index.html'), PAGE);
      const page = await openPage(t, browser, `${await serveFiles(t, folder)}/index.html`);
      await page.waitForFunction(() => globalThis.run);
      await check('browser', (options) => page.evaluate((options) => globalThis.run(options), options));
    }),
  ]);
});

const WORKER = `
import * as newsreel from 'newsreel';
import { scenario } from './scenario.mjs';
export default {
  fetch: async (request) => Response.json(await scenario(newsreel, await request.json())),
};`;

const WASM = { path: './newsreel.wasm', external: true };

/** A Worker on Miniflare that runs the scenario it is told; bundled with esbuild under wrangler's conditions. */
async function startWorker(t, folder) {
  const { outputFiles } = await build({
    stdin: { contents: WORKER, resolveDir: folder },
    bundle: true, write: false, format: 'esm', target: 'es2024', conditions: ['workerd', 'worker', 'browser'],
    plugins: [{ name: 'wasm', setup: (build) => build.onResolve({ filter: /\.wasm$/ }, () => WASM) }],
  });
  const modules = [
    { type: 'ESModule', path: 'main.mjs', contents: outputFiles[0].text },
    { type: 'CompiledWasm', path: 'newsreel.wasm', contents: readFileSync(installed(folder, 'dist/bindgen/newsreel_bg.wasm')) },
  ];
  const options = { name: 'scenario', modules, compatibilityDate: '2026-07-30', cf: false, log: new Log(LogLevel.ERROR) };
  const miniflare = new Miniflare(convertV4MiniflareOptions(options));
  t.after(() => miniflare.dispose());
  return miniflare.ready;
}

const PAGE = `<!doctype html>
<script type="importmap">{ "imports": { "newsreel": "./node_modules/newsreel/dist/browser.js" } }</script>
<script type="module">
import * as newsreel from 'newsreel';
import { scenario } from './scenario.mjs';
globalThis.run = (options) => scenario(newsreel, options);
</script>`;

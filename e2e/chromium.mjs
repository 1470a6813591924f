// A headless Chromium for tests of what runs in pages, and a server of files for it.

import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';

import { chromium } from 'playwright-core';

const EXECUTABLE = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';
// The browser may run as root, without a GPU and without a network, and makes no request that a test does not ask for.
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage',
];
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm' };

/** A browser with an empty profile, closed with the test; where there is none the test is skipped, and says so loudly. */
export async function startChromium(t) {
  if (!existsSync(EXECUTABLE)) {
    const reason = `NOT TESTED IN A BROWSER: there is no ${EXECUTABLE}; CHROMIUM_BIN says where another is`;
    console.error(`\n*** ${t.name}: ${reason} ***\n`);
    t.skip(reason);
    return undefined;
  }
  const browser = await chromium.launch({ executablePath: EXECUTABLE, headless: true, args: FLAGS });
  t.after(() => browser.close());
  return browser;
}

/** Serves a folder to `http://localhost:PORT`, a name that brokers in development allow. */
export async function serveFiles(t, folder) {
  const server = createServer((request, response) => {
    const path = join(folder, normalize(new URL(request.url, 'http://localhost').pathname));
    if (path.endsWith('favicon.ico')) return response.writeHead(204).end();
    const type = TYPES[extname(path)];
    if (!type || !existsSync(path)) return response.writeHead(404).end();
    response.writeHead(200, { 'content-type': type, 'cache-control': 'no-store' }).end(readFileSync(path));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://localhost:${server.address().port}`;
}

/** A page of the browser, on an address; an error in the page is the test's error. */
export async function openPage(t, browser, address) {
  const page = await browser.newPage();
  page.on('pageerror', (error) => console.error(`${t.name}, in the page: ${error.stack}`));
  await page.goto(address);
  return page;
}

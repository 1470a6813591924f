// The package's README: its code compiles against the package, and its codes and names exist.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { build } from 'esbuild';

import { openPage, serveFiles, startChromium } from './chromium.mjs';
import * as newsreel from './client.mjs';
import { FakeBroker } from './fake-broker.mjs';
import { installed, project, run } from './package.mjs';
import { ROOT } from './system.mjs';

const TSC = join(ROOT, 'node_modules/typescript/bin/tsc');
/** The names that a block uses and that the reader's own program declares. */
const OWN = `
declare const url: string;
declare const token: string;
declare const receipt: { position: string };
declare function forget(change: import('newsreel').Change): Promise<void>;
declare function forgetAll(changes: readonly import('newsreel').Change[]): Promise<void>;
declare function clear(): void;
declare const feed: import('newsreel').Feed;
declare function fetchFare(key: string): Promise<number>;
declare module '*.wasm' {
  const address: string;
  export default address;
}
`;

test('the README', async (t) => {
  const folder = await project(t);
  const readme = readFileSync(installed(folder, 'README.md'), 'utf8');
  const blocks = [...readme.matchAll(/```(?:js|ts)\n(.*?)```/gs)].map(([, code]) => code);

  await t.test('its code compiles', async () => {
    assert.ok(blocks.length >= 5, `${blocks.length} blocks`);
    writeFileSync(join(folder, 'own.d.ts'), OWN);
    for (const [nth, code] of blocks.entries()) writeFileSync(join(folder, `block-${nth}.ts`), code);
    const compilerOptions = { strict: true, noEmit: true, module: 'esnext', moduleResolution: 'bundler', target: 'es2022', types: [] };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }));
    await run(process.execPath, [TSC, '-p', folder]);
  });

  await t.test('its states are those there are', () => {
    const [, states] = /## States(.*?)\n## /s.exec(readme);
    const named = [...states.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, name]) => name);
    const declared = [...readFileSync(installed(folder, 'dist/feed/state.d.ts'), 'utf8').matchAll(/readonly name: '([a-z-]+)'/g)];
    assert.deepEqual(named.slice(1), declared.map(([, name]) => name), 'after the head of the table');
  });

  await t.test('its error codes are the package\'s and the broker\'s', () => {
    const [, errors] = /## Errors(.*?)\n## /s.exec(readme);
    const cells = [...errors.matchAll(/^\| (`.*?) \|/gm)].map(([, cell]) => cell);
    const named = [...cells.join().matchAll(/`([a-z-]+)`/g)].map(([, code]) => code);
    const sources = ['dist/error.d.ts', 'dist/shared.js'].map((path) => readFileSync(installed(folder, path), 'utf8'));
    const known = [...sources, readFileSync(join(ROOT, 'crates/core/PROTOCOL.md'), 'utf8')].join('\n');
    assert.ok(named.length > 10);
    assert.deepEqual(named.filter((code) => !new RegExp(`[\`'"]${code}[\`'"]`).test(known)), []);
  });

  await t.test('a page made by esbuild, as it says, has its module; and one without says so', async (t) => {
    const browser = await startChromium(t);
    if (!browser) return;
    const broker = await FakeBroker.start(t);
    const provided = blocks.find((code) => code.includes('provideWasm'));
    const begun = `globalThis.feed = await connect(${JSON.stringify(broker.url)}, { catalog: 'tv' });`;
    await bundle(folder, 'provided', `${provided}\n${begun}`);
    await bundle(folder, 'lost', `import { connect } from 'newsreel';\ntry { ${begun} } catch (error) { globalThis.feed = error; }`);
    const site = await serveFiles(t, folder);
    const live = broker.live();
    const page = await openPage(t, browser, `${site}/provided.html`);
    await live;
    await page.waitForFunction(() => globalThis.feed?.state.name === 'live');
    const lost = await openPage(t, browser, `${site}/lost.html`);
    const error = await lost.waitForFunction(() => globalThis.feed).then((feed) => feed.evaluate(({ code, message }) => ({ code, message })));
    assert.equal(error.code, 'no-wasm');
    assert.match(error.message, /newsreel_bg\.wasm answered 404.*provideWasm\(\) can say where it is/);
  });

  await t.test('its stores are there', () => {
    const stores = [...readme.matchAll(/^\| `(\w+Position)\(/gm)].map(([, name]) => name).filter((name) => name !== 'filePosition');
    assert.deepEqual(stores.filter((name) => typeof newsreel[name] !== 'function'), []);
  });
});

/** A page of that code, as esbuild makes it with the flags of the README. */
async function bundle(folder, name, contents) {
  const stdin = { contents, resolveDir: folder };
  await build({ stdin, bundle: true, format: 'esm', loader: { '.wasm': 'file' }, outfile: join(folder, `${name}.js`), logLevel: 'error' });
  writeFileSync(join(folder, `${name}.html`), `<!doctype html><script type="module" src="${name}.js"></script>`);
}

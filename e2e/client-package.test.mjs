// The npm package as it is installed: its files, its entries, its types, its size.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';

import { build } from 'esbuild';

import { declared } from './declared.mjs';
import { installed, project, readJson, run } from './package.mjs';
import { ROOT } from './system.mjs';

const TSC = join(ROOT, 'node_modules/typescript/bin/tsc');

test('what is in the tarball', async (t) => {
  const folder = await project(t);
  const manifest = readJson(installed(folder, 'package.json'));

  await t.test('needs nothing, and has nothing but the build', () => {
    assert.deepEqual(readdirSync(join(folder, 'node_modules')).filter((name) => !name.startsWith('.')), ['newsreel']);
    assert.equal(manifest.dependencies, undefined);
    assert.equal(manifest.scripts, undefined, 'nothing runs when it is installed');
    const files = readdirSync(installed(folder), { recursive: true }).filter((name) => /\.[^/]*$/.test(name));
    const unexpected = files.filter((name) => !/^dist\/.*(\.js|\.js\.map|\.d\.ts|\.wasm)$|^(bin\/newsreel\.js|package\.json|README\.md)$/.test(name));
    assert.deepEqual(unexpected, []);
    for (const license of ['LICENSE-APACHE', 'LICENSE-MIT']) assert.ok(statSync(installed(folder, license)).size > 0);
  });

  await t.test('is small: every entry together is less than 145 KB', () => {
    const files = readdirSync(installed(folder, 'dist'), { recursive: true }).filter((name) => /\.(js|wasm)$/.test(name));
    const size = (name) => gzipSync(readFileSync(installed(folder, 'dist', name)), { level: 9 }).length;
    // A page that shows an age loads the element alone.
    const bytes = files.filter((name) => name !== 'freshness.js').reduce((sum, name) => sum + size(name), 0);
    assert.ok(bytes < 145_000, `${bytes} bytes`);
    assert.ok(size('freshness.js') < 3_000, `the element has ${size('freshness.js')} bytes`);
  });

  await t.test('has a file for every entry, and the same names in all of them', async () => {
    const paths = Object.values(manifest.exports).flatMap((entry) => (typeof entry === 'string' ? entry : Object.values(entry)));
    for (const path of paths) assert.ok(statSync(installed(folder, path)).isFile(), path);
    const names = {};
    for (const entry of ['node', 'browser']) {
      names[entry] = Object.keys(await import(pathToFileURL(installed(folder, `dist/${entry}.js`)))).sort();
    }
    assert.deepEqual(names.browser, names.node);
    for (const name of ['EdgeCache', 'NewsreelError', 'connect', 'memoryPosition', 'provideWasm']) assert.ok(names.node.includes(name), name);
  });

  await t.test('resolves to the entry of each runtime', async () => {
    const resolved = async (...conditions) => {
      const flags = conditions.map((one) => `--conditions=${one}`);
      const names = ['newsreel', 'newsreel/file', 'newsreel/newsreel.wasm'];
      const script = `for (const name of ${JSON.stringify(names)}) console.log(import.meta.resolve(name))`;
      const { stdout } = await run(process.execPath, [...flags, '--input-type=module', '-e', script], { cwd: folder });
      return stdout.trim().split('\n').map((url) => url.slice(url.indexOf('/dist/') + 1));
    };
    const [file, wasm] = ['dist/file.js', 'dist/bindgen/newsreel_bg.wasm'];
    assert.deepEqual(await resolved(), ['dist/node.js', file, wasm]);
    assert.deepEqual(await resolved('workerd', 'worker', 'browser'), ['dist/workerd.js', file, wasm]);
    for (const [conditions, entry] of [[['workerd', 'worker', 'browser'], 'workerd'], [['browser'], 'browser'], [[], 'browser']]) {
      assert.equal(await bundledEntry(folder, conditions), `${entry}.js`, conditions.join());
    }
  });

  await t.test('tells of everything it declares', () => {
    const all = declared(installed(folder, 'dist'));
    assert.ok(all.some(({ name }) => name === 'Feed.waitFor') && all.length > 100, `${all.length} declarations`);
    assert.deepEqual(all.filter(({ told }) => !told).map(({ path, name }) => `${path}: ${name}`), []);
  });
});

/** The entry that a bundler with these conditions takes. */
async function bundledEntry(folder, conditions) {
  const { metafile } = await build({
    stdin: { contents: 'import { connect } from "newsreel"; connect();', resolveDir: folder },
    bundle: true, write: false, metafile: true, format: 'esm', platform: 'neutral', conditions, external: ['node:*', '*.wasm'],
    absWorkingDir: folder,
  });
  const entries = Object.keys(metafile.inputs).map((path) => path.split('/').at(-1));
  return entries.find((name) => /^(workerd|node|browser)\.js$/.test(name));
}

const USER = `
import { NewsreelError, connect, localStoragePosition, memoryPosition, durableObjectPosition } from 'newsreel';
import type { ConnectOptions, Feed, FeedEvent, FeedState, PositionStore } from 'newsreel';
import { filePosition } from 'newsreel/file';

const own: PositionStore = { read: () => undefined, write: (position: string) => { position.length; } };
export const stores: PositionStore[] = [own, memoryPosition(), localStoragePosition('key'), filePosition('position')];
export const inAnObject = (storage: { get(key: string): Promise<unknown>; put(key: string, value: string): Promise<void> }) =>
  durableObjectPosition(storage);

export async function follow(options: ConnectOptions): Promise<string[]> {
  const feed: Feed = await connect(new URL('https://newsreel.example'), { ...options, token: async ({ refused }) => (refused ? 'b' : 'a') });
  feed.watch((state: FeedState) => { if (state.name === 'waiting') state.until.toFixed(); });
  const seen: string[] = [];
  for await (const event of feed) seen.push(...event.changes.map((change) => told(event, change)));
  const error = await feed.closed;
  if (error instanceof NewsreelError && !error.terminal) seen.push(error.code, String(error.retryAfterMs ?? 0));
  return seen;
}

function told(event: FeedEvent, change: FeedEvent['changes'][number]): string {
  if ('key' in change) return change.key;
  switch (event.type) {
    case 'version': return \`\${event.at}\`;
    case 'fold': return \`\${event.version}\`;
    case 'reset': return event.reason;
  }
}
// @ts-expect-error The catalog is missing.
void connect('https://newsreel.example', {});
`;

test('a TypeScript project compiles against it, strictly', async (t) => {
  const folder = await project(t);
  writeFileSync(join(folder, 'user.ts'), USER);
  const strict = { strict: true, noEmit: true, skipLibCheck: false, exactOptionalPropertyTypes: true, types: [], noImplicitReturns: true };
  const projects = {
    node: { module: 'nodenext', target: 'es2022', lib: ['ES2022', 'DOM'] },
    bundler: { module: 'esnext', moduleResolution: 'bundler', target: 'es2022', customConditions: ['workerd', 'worker', 'browser'] },
    newest: { module: 'nodenext', target: 'esnext', verbatimModuleSyntax: true, isolatedModules: true },
  };
  for (const [name, options] of Object.entries(projects)) {
    const config = join(folder, `tsconfig.${name}.json`);
    writeFileSync(config, JSON.stringify({ compilerOptions: { ...strict, ...options }, files: ['user.ts'] }));
    await run(process.execPath, [TSC, '-p', config], { cwd: folder });
  }
});

// The peers' packages as they are published, of these versions, and the race's Worker bundled with them.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const FOLDER = join(ROOT, 'target/race');

/** Pinned; `npm pack` checks what it downloads. Their own dependencies are not needed by what the race runs. */
const PACKAGES = {
  '@vinext/cloudflare': '0.2.1',
  vinext: '1.4.0',
  '@opennextjs/cloudflare': '1.20.17',
  '@opennextjs/aws': '4.1.16',
  '@astrojs/cloudflare': '14.3.3',
  astro: '7.3.5',
};

/** Downloads what is missing. */
export function fetchPackages() {
  for (const [name, version] of Object.entries(PACKAGES)) {
    const folder = folderOf(name);
    if (existsSync(join(folder, 'package'))) continue;
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const tarball = execFileSync('npm', ['pack', `${name}@${version}`, '--silent', '--pack-destination', folder], { encoding: 'utf8' });
    execFileSync('tar', ['xzf', join(folder, tarball.trim().split('\n').at(-1)), '-C', folder]);
  }
}

const folderOf = (name) => join(FOLDER, `${name.replace('/', '-')}-${PACKAGES[name]}`);
const within = (name, path) => join(folderOf(name), 'package', path);

const ALIASES = {
  'astro-cloudflare-provider': within('@astrojs/cloudflare', 'dist/cache/provider.js'),
  'astro/cache/provider-utils': within('astro', 'dist/core/cache/provider-utils.js'),
  'vinext-kv-adapter': within('@vinext/cloudflare', 'dist/cache/kv-data-adapter.runtime.js'),
  'vinext/shims/request-context': within('vinext', 'dist/shims/request-context.js'),
  'opennext-cache': within('@opennextjs/aws', 'dist/adapters/cache.js'),
  'opennext-kv': within('@opennextjs/cloudflare', 'dist/api/overrides/incremental-cache/kv-incremental-cache.js'),
  'opennext-r2': within('@opennextjs/cloudflare', 'dist/api/overrides/incremental-cache/r2-incremental-cache.js'),
  'opennext-tags': within('@opennextjs/cloudflare', 'dist/api/overrides/tag-cache/do-sharded-tag-cache.js'),
  'opennext-tags-object': within('@opennextjs/cloudflare', 'dist/api/durable-objects/sharded-tag-cache.js'),
};

/** How the packages' own imports are found: the rest of OpenNext in its tarball, and the platform's cache as the race has it. */
const resolved = {
  name: 'race',
  setup(build) {
    build.onResolve({ filter: /^@opennextjs\/aws\// }, ({ path }) => {
      const file = within('@opennextjs/aws', `dist/${path.slice('@opennextjs/aws/'.length)}`);
      return { path: file.endsWith('.js') ? file : `${file}.js` };
    });
    build.onResolve({ filter: /^cloudflare:workers$/ }, ({ importer }) =>
      importer === ALIASES['astro-cloudflare-provider'] ? { path: 'workers', namespace: 'race' } : { path: 'cloudflare:workers', external: true },
    );
    build.onLoad({ filter: /.*/, namespace: 'race' }, () => ({
      contents: 'export const env = {}; export const cache = { purge: (options) => globalThis.raceCdn.purge(options) };',
    }));
    build.onResolve({ filter: /^newsreel-[ab]$/ }, ({ path }) => ({ path: `./${path.at(-1)}/index.js`, external: true }));
    // Not reached by what the race runs.
    build.onResolve({ filter: /^(next|@aws-sdk|react)(\/|$)/ }, ({ path }) => ({ path, namespace: 'absent' }));
    build.onLoad({ filter: /.*/, namespace: 'absent' }, () => ({ contents: 'export default undefined;' }));
  },
};

/** Returns the modules of the race's Worker for Miniflare, the main one first; without the peers if they are not wanted. */
export async function bundle(peers) {
  const { outputFiles } = await build({
    entryPoints: [join(ROOT, 'e2e/race/race.worker.mjs')],
    alias: { ...ALIASES, 'race-peers': join(ROOT, 'e2e/race', peers ? 'peers.mjs' : 'no-peers.mjs') },
    bundle: true, write: false, format: 'esm', target: 'es2024', plugins: [resolved],
    external: ['node:*'], conditions: ['workerd', 'worker', 'import'], logLevel: 'error',
    define: {
      ASTRO_VERSION: versions('@astrojs/cloudflare', 'astro'),
      VINEXT_VERSION: versions('@vinext/cloudflare', 'vinext'),
      OPENNEXT_VERSION: versions('@opennextjs/cloudflare', '@opennextjs/aws'),
      NEWSREEL_VERSION: JSON.stringify(JSON.parse(readFileSync(join(ROOT, 'packages/newsreel/package.json'), 'utf8')).version),
    },
  });
  const built = (name) => readFileSync(join(ROOT, 'crates/entry/build', name));
  const newsreel = ['a', 'b'].flatMap((location) => [
    { type: 'ESModule', path: `${location}/index.js`, contents: built('index.js').toString() },
    { type: 'CompiledWasm', path: `${location}/index_bg.wasm`, contents: built('index_bg.wasm') },
  ]);
  return [{ type: 'ESModule', path: 'race.mjs', contents: outputFiles[0].text }, ...newsreel];
}

const versions = (...names) => JSON.stringify(names.map((name) => `${name} ${PACKAGES[name]}`).join(', '));

// How Vite builds the console: into target/console/console, beside the headers that the platform sends with it.

import { fileURLToPath } from 'node:url';

import { defineConfig } from 'vite';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  root: here('.'),
  base: '/console/',
  resolve: {
    alias: [
      { find: /^newsreel$/, replacement: here('../newsreel/src/index.ts') },
      // The package's wasm without the cache, which the console does not use: scripts/build-console makes it.
      { find: /^.*\/bindgen\/newsreel\.js$/, replacement: here('src/newsreel/bound.js') },
      { find: 'bound-wasm', replacement: here('../../target/console-wasm') },
    ],
  },
  build: {
    outDir: here('../../target/console/console'),
    emptyOutDir: true,
    target: 'es2023',
    // An asset of its own may be cached for ever and needs no `data:` in the policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  logLevel: 'warn',
});

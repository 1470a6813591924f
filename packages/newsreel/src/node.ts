/** The package in Node (Deno and Bun too): the module is a file beside this one. */

import { readFile } from 'node:fs/promises';

import { provideWasm } from './wasm/wasm.js';

provideWasm(() => readFile(new URL('./bindgen/newsreel_bg.wasm', import.meta.url)));

export * from './index.js';

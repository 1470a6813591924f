/** The package in browsers, and wherever else `fetch` gets what lies beside a module. */

import { provideWasm } from './wasm/wasm.js';

provideWasm(async () => {
  const response = await fetch(new URL('./bindgen/newsreel_bg.wasm', import.meta.url));
  if (!response.ok) throw new Error(`${response.url} answered ${response.status}`);
  return response.arrayBuffer();
});

export * from './index.js';

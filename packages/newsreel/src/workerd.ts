/** The package in Workers and Durable Objects, which may not compile: the module comes as one. */

import module from './bindgen/newsreel_bg.wasm';
import { provideWasm } from './wasm/wasm.js';

provideWasm(module);

export * from './index.js';

/** The WebAssembly half of the package, compiled once, at the first use. */

import { Cache, Hit, Session, initSync, lastPanic } from '../bindgen/newsreel.js';
import { NewsreelError, textOf } from '../error.js';

export { Cache, Hit, Session, lastPanic };

/** The compiled module, its bytes, or a function that returns one of them. */
export type WasmSource = WebAssembly.Module | BufferSource | (() => WasmSource | Promise<WasmSource>);

/** The classes that the module exports. */
export interface Bound {
  /** The follower of one feed. */
  readonly Session: typeof Session;
  /** The decisions of a cache, without its values. */
  readonly Cache: typeof Cache;
}

let source: WasmSource | undefined;
let loading: Promise<Bound> | undefined;

/**
 * Sets the source of the WebAssembly module, before the first {@link connect}. Only needed where a bundler loses the
 * file `newsreel/newsreel.wasm`.
 */
export function provideWasm(from: WasmSource): void {
  source = from;
}

/** Loads the module, unless it is loaded. */
export function load(): Promise<Bound> {
  loading ??= start().catch((cause: unknown) => {
    // The next attempt may succeed: the network may have been down.
    loading = undefined;
    const help = 'is newsreel/newsreel.wasm where the bundle looks for it? provideWasm() can say where it is';
    throw new NewsreelError('no-wasm', `the WebAssembly module does not load: ${textOf(cause)}; ${help}`, { cause });
  });
  return loading;
}

async function start(): Promise<Bound> {
  let found = source;
  while (typeof found === 'function') found = await found();
  if (!found) throw new Error('nothing says where it is');
  initSync({ module: found instanceof WebAssembly.Module ? found : await WebAssembly.compile(found) });
  return { Session, Cache };
}

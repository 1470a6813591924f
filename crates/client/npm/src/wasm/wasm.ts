/** The WebAssembly half of the package: compiled once, when it is first needed. */

import { Cache, Session, initSync, lastPanic } from '../bindgen/newsreel.js';
import { NewsreelError, textOf } from '../error.js';

export { Cache, Session, lastPanic };

/** The compiled module, its bytes, or what gives one of them. */
export type WasmSource = WebAssembly.Module | BufferSource | (() => WasmSource | Promise<WasmSource>);

/** What the module exports once it runs. */
export interface Bound {
  /** A session around the follower. */
  readonly Session: typeof Session;
  /** A cache without its values. */
  readonly Cache: typeof Cache;
}

let source: WasmSource | undefined;
let loading: Promise<Bound> | undefined;

/**
 * Says where the WebAssembly module is, before the first {@link connect}. Only needed where a bundler loses the file:
 * it is `newsreel/newsreel.wasm`.
 */
export function provideWasm(from: WasmSource): void {
  source = from;
}

/** Loads the module, if that has not been done. */
export function load(): Promise<Bound> {
  loading ??= start().catch((cause: unknown) => {
    // Who tries again may have it: a network was gone.
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

// The bindings that the package `newsreel` imports, of a wasm without the cache: the console only follows.

export { Session, initSync, lastPanic } from 'bound-wasm/newsreel.js';

/** Absent: nothing in the console makes an `EdgeCache`. */
export const Cache = undefined;
/** Absent, as `Cache`. */
export const Hit = undefined;

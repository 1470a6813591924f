/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Follows a Newsreel catalog: every change once, in order, from where you were.
 *
 * @packageDocumentation
 */

export { type Answer, EdgeCache, type Fetcher } from './cache.js';
export type { BeyondBound, CacheOptions, CacheStats, ClassPolicy, ReadOptions } from './cache-options.js';
export { type Entry, type EntryOptions, entry } from './entry.js';
export { NewsreelError, type ErrorDetails } from './error.js';
export type {
  AllChange,
  Change,
  FeedEvent,
  FoldEvent,
  KeyChange,
  PrefixChange,
  ResetEvent,
  TagChange,
  VersionEvent,
} from './events.js';
export { type Feed, connect } from './feed.js';
export type { FetchContext } from './flights.js';
export type { ConnectOptions, Timing, Token, TokenContext } from './options.js';
export { type PositionStore, durableObjectPosition, localStoragePosition, memoryPosition } from './position.js';
export type { CatchingUp, Closed, Connecting, FeedState, Live, TransportName, Waiting } from './state.js';
export type { WaitOptions } from './waiters.js';
export { type WasmSource, provideWasm } from './wasm.js';

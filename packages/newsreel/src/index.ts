/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Follows a Newsreel catalog: every change once, in order, from the position that was handled last.
 *
 * @packageDocumentation
 */

export { type Answer, EdgeCache, type Fetcher } from './cache/cache.js';
export type { BeyondBound, CacheOptions, CacheStats, ClassPolicy, ReadOptions } from './cache/options.js';
export { type Entry, type EntryOptions, entry } from './cache/entry.js';
export type { Token, TokenContext } from './connect/token.js';
export type { TransportName } from './connect/transport/link.js';
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
  SourceEvent,
  VersionEvent,
} from './feed/events.js';
export { connect } from './feed/feed.js';
export type { FetchContext } from './cache/flights.js';
export type { ConnectOptions, Timing } from './feed/options.js';
export { type PositionStore, durableObjectPosition, localStoragePosition, memoryPosition } from './store/position.js';
export type { CatchingUp, Closed, Connecting, FeedState, Live, Waiting } from './feed/state.js';
export type { Feed } from './feed/types.js';
export type { WaitOptions } from './feed/waiters.js';
export { type WasmSource, provideWasm } from './wasm/wasm.js';

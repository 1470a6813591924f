/**
 * Follows a Newsreel catalog: every change once, in order, from where you were.
 *
 * @packageDocumentation
 */

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
export type { ConnectOptions, Timing, Token, TokenContext } from './options.js';
export { type PositionStore, durableObjectPosition, localStoragePosition, memoryPosition } from './position.js';
export type { CatchingUp, Closed, Connecting, FeedState, Live, TransportName, Waiting } from './state.js';
export type { WaitOptions } from './waiters.js';
export { type WasmSource, provideWasm } from './wasm.js';

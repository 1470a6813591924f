/** A feed as its callers, its handlers and its caches see it. Names no class, so that options and caches may name a feed. */

import type { NewsreelError } from '../error.js';
import type { Session } from '../wasm/wasm.js';
import type { FeedEvent } from './events.js';
import type { FeedState } from './state.js';
import type { WaitOptions } from './waiters.js';

/** The method by which caches attach themselves: see {@link Hearer}. */
export const ATTACH = Symbol('attach');
/** The method by which caches ask for a proof. */
export const PROVE = Symbol('prove');
/** The method by which caches read the session's clock. */
export const NOW = Symbol('now');

/** A cache that learns of changes at once, before any handler runs. */
export interface Hearer {
  /** Called after every input of the session, and once when it is attached. */
  hear(session: Session): void;
  /** Called when the feed has ended: no change will be heard any more. */
  closed(): void;
}

/** An iterator over events that can be left early. */
export type FeedIterator = AsyncIterator<FeedEvent, undefined> & {
  /** Leaves the loop, and closes the feed. */
  return(): Promise<IteratorResult<FeedEvent, undefined>>;
};

/** A catalog that is being followed. Made by {@link connect}. */
export interface Feed extends AsyncIterable<FeedEvent, undefined>, AsyncDisposable {
  /** Resolves when the feed has ended and its last handler has settled: with the error that ended the feed, if one did. */
  readonly closed: Promise<NewsreelError | undefined>;

  /** The state of the feed. */
  readonly state: FeedState;

  /** The position up to which everything is handled; absent before the first. */
  readonly position: string | undefined;

  /** The version in {@link position}; 0 before the first. */
  readonly version: number;

  /**
   * Returns the age, in milliseconds, of the last proof that everything committed by then has been handled; Infinity
   * before the first proof. An open connection proves nothing; the answer to a ping does.
   */
  lag(): number;

  /**
   * Resolves once every change that the feed missed has been handled.
   *
   * @throws {@link NewsreelError} that ended the feed, or `timeout`, or `closed`; the signal's reason.
   */
  live(options?: WaitOptions): Promise<void>;

  /**
   * Resolves once everything up to a version has been handled. `version` is a number, or (safe across epochs) a
   * position or the `epoch:version` that a publish was answered with.
   *
   * @throws like {@link live}; `bad-options` if it is no version.
   */
  waitFor(version: number | string, options?: WaitOptions): Promise<void>;

  /**
   * Resolves once everything that was committed up to `maxAgeMs` (0) before this call has been handled. Asks the broker
   * with one ping, unless that is already proved, and again after each new connection.
   *
   * @throws like {@link live}.
   */
  sync(options?: WaitOptions & { maxAgeMs?: number }): Promise<void>;

  /** Calls the listener with every new state; returns a function that ends this. */
  watch(listener: (state: FeedState) => void): () => void;

  /**
   * Ends the feed. The handler at work finishes, and its position is kept; no further event is handed out. Resolves at
   * once, so that a handler may call this; await {@link closed} to wait for the handler.
   */
  close(): Promise<void>;

  /** Closes, and waits for the handler at work. */
  [Symbol.asyncDispose](): Promise<void>;

  /**
   * Follows: `for await (const event of feed) …`. An event is handled once the loop asks for the next. The loop ends
   * when the feed is closed, and throws the error that ended the feed otherwise. Leaving the loop closes the feed; the
   * last event comes again the next time.
   */
  [Symbol.asyncIterator](): FeedIterator;

  /**
   * Returns the time that the session goes by.
   * @internal
   */
  [NOW](): number;

  /**
   * Attaches a cache; returns a function that detaches it.
   * @internal
   */
  [ATTACH](hearer: Hearer): () => void;

  /**
   * Says whether everything committed before `since` is in the floors, after asking the broker if need be.
   * @internal
   */
  [PROVE](since: number, timeoutMs: number): Promise<boolean>;
}

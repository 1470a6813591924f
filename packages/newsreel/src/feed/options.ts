/** The options of `connect`. */

import type { Token } from '../connect/token.js';
import type { PositionStore } from '../store/position.js';
import type { FeedEvent, ResetEvent } from './events.js';
import type { FeedState } from './state.js';
import type { Feed } from './types.js';

/** The times of a feed, in milliseconds; each is at least 1. */
export interface Timing {
  /** How long connecting and being greeted may take (10,000 each). */
  connectTimeoutMs: number;
  /** The interval of pings on an idle connection, which find a connection that is dead without notice (15,000). */
  pingEveryMs: number;
  /** How long the answer to a ping may take before the connection counts as dead (5,000). */
  pongTimeoutMs: number;
  /** How long a version may take to arrive after the answer to a ping has named it (1,000). */
  behindGraceMs: number;
  /** How long catching up may go without a page (30,000). */
  pageTimeoutMs: number;
  /** The longest time between a live change and its ack (10,000). */
  ackEveryMs: number;
  /** The first ceiling of the random wait between attempts; the ceiling doubles from there (250). */
  backoffBaseMs: number;
  /** The last ceiling (15,000). */
  backoffCapMs: number;
}

/** The options of {@link connect}. */
export interface ConnectOptions {
  /** The catalog to follow. */
  catalog: string;
  /** A token with the scope `follow`, or a function that is called for each connection and may renew it. */
  token?: Token;
  /** Hear only of keys with these prefixes (a class is `class:`); changes of tags and of everything always pass. At most 32. */
  topics?: readonly string[];
  /** The name in the broker's list of followers; at most 128 bytes. `client` by default. */
  name?: string;
  /** Where to begin when the store has no position: `now`, `start` (everything kept), or a position. `now` by default. */
  from?: string;
  /** The store of the position up to which everything is handled. Without a store the position is lost with the feed. */
  store?: PositionStore;
  /**
   * Takes the events of one frame, in order. The next call waits until this one has settled, and so do position and
   * ack. If the handler throws, the feed goes back to the last position handled, waits, and brings the events again.
   * Without this handler, events wait for a loop over the feed.
   */
  onChanges?: (events: readonly FeedEvent[], feed: Feed) => unknown;
  /** Takes resets. Without this handler `onChanges` gets them, each in a call of its own. */
  onReset?: (event: ResetEvent, feed: Feed) => unknown;
  /** Called with every new state. */
  onState?: (state: FeedState, feed: Feed) => void;
  /** Closes the feed when it aborts. */
  signal?: AbortSignal;
  /** `auto` falls back from WebSocket to polling where only HTTP passes, and tries again every 5 minutes. */
  transport?: 'auto' | 'websocket' | 'polling';
  /** The times of the feed. */
  timing?: Partial<Timing>;
}

/** What a caller of `connect` says, and what is made of it. */

import { NewsreelError } from '../error.js';
import type { FeedEvent, ResetEvent } from './events.js';
import type { Feed } from './feed.js';
import type { PositionStore } from '../store/position.js';
import type { FeedState } from './state.js';

/** The times of a feed, in milliseconds; each is at least 1. */
export interface Timing {
  /** How long connecting and being greeted may take (10,000 each). */
  connectTimeoutMs: number;
  /** How often the head is asked for when nothing else asks: a cut that nobody tells of is found so (15,000). */
  pingEveryMs: number;
  /** How long the answer may take before the connection counts as dead (5,000). */
  pongTimeoutMs: number;
  /** How long a version may take that such an answer told of (1,000). */
  behindGraceMs: number;
  /** How long catching up may go without a page (30,000). */
  pageTimeoutMs: number;
  /** The longest time between a live change and its ack (10,000). */
  ackEveryMs: number;
  /** The first ceiling of the random wait between attempts; it doubles from there (250). */
  backoffBaseMs: number;
  /** The last ceiling (15,000). */
  backoffCapMs: number;
}

/** A token, or what gives one. */
export type Token = string | ((context: TokenContext) => string | Promise<string>);

/** Why a token is asked for. */
export interface TokenContext {
  /** Whether the broker refused the last one: a new one is needed. */
  readonly refused: boolean;
}

/** What a caller of {@link connect} says. */
export interface ConnectOptions {
  /** The catalog to follow. */
  catalog: string;
  /** A token with the scope `follow`, or a function that is called for each connection and may renew it. */
  token?: Token;
  /** Hear only of keys that begin so (a class is `class:`); tags and everything always pass. At most 32. */
  topics?: readonly string[];
  /** What the broker's operator sees in the list of followers; at most 128 bytes. `client` by default. */
  name?: string;
  /** Where to begin when the store has no position: `now`, `start` (everything kept), or a position. `now` by default. */
  from?: string;
  /** Where the position of what has been handled is kept. Without one it is forgotten with the feed. */
  store?: PositionStore;
  /**
   * Takes what one frame brought, in order. The next call waits until this one has settled, and so do position and
   * ack. If it throws, the feed goes back to the last position handled, waits, and brings the events again. Without
   * it events wait for a loop over the feed.
   */
  onChanges?: (events: readonly FeedEvent[], feed: Feed) => unknown;
  /** Takes resets in the place of `onChanges`, which gets them, each alone, where this is absent. */
  onReset?: (event: ResetEvent, feed: Feed) => unknown;
  /** Hears of every new state. */
  onState?: (state: FeedState, feed: Feed) => void;
  /** Closes the feed when it aborts. */
  signal?: AbortSignal;
  /** `auto` falls back from WebSocket to polling where only HTTP passes, and tries again every 5 minutes. */
  transport?: 'auto' | 'websocket' | 'polling';
  /** The feed's times. */
  timing?: Partial<Timing>;
}

/** Where a catalog is. */
export interface Address {
  /** `http:` or `https:`, up to the catalog's name. */
  readonly http: string;
  /** The same for a WebSocket. */
  readonly socket: string;
}

/** Returns the addresses of a catalog below the broker's URL, which may be one of HTTP or WebSocket. */
export function addressOf(url: string | URL, catalog: string): Address {
  if (typeof catalog !== 'string') throw badOptions('catalog is missing: connect(url, { catalog: "…" })');
  let base: URL;
  try {
    // A page may name its own server: connect('/news', …).
    base = new URL(url, (globalThis as { location?: { href: string } }).location?.href);
  } catch {
    throw badOptions(`${String(url)} is not a URL: connect("https://newsreel.example.workers.dev", …)`);
  }
  const secure = /^(https|wss):$/.test(base.protocol);
  if (!secure && !/^(http|ws):$/.test(base.protocol)) {
    throw badOptions(`${base.protocol} is not spoken: the URL begins with https: or http:`);
  }
  const path = `${base.host}${base.pathname.replace(/\/+$/, '')}/v1/catalogs/${encodeURIComponent(catalog)}`;
  return { http: `http${secure ? 's' : ''}://${path}`, socket: `ws${secure ? 's' : ''}://${path}` };
}

/** Returns the error of who asks for what cannot be. */
export function badOptions(message: string): NewsreelError {
  return new NewsreelError('bad-options', message, { terminal: true });
}

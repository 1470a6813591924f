/** Where a feed is in its life. */

import type { NewsreelError } from '../error.js';

/** How a feed is connected. */
export type TransportName = 'websocket' | 'polling';

/** It is being opened, or open and not greeted. */
export interface Connecting {
  /** Tells it from the others. */
  readonly name: 'connecting';
}

/** What was missed is arriving, or being handled. */
export interface CatchingUp {
  /** Tells it from the others. */
  readonly name: 'catching-up';
  /** How it is connected. */
  readonly transport: TransportName;
}

/** Everything that has come is handled, and what is published comes at once. */
export interface Live {
  /** Tells it from the others. */
  readonly name: 'live';
  /** How it is connected. */
  readonly transport: TransportName;
}

/** It tries again by itself. */
export interface Waiting {
  /** Tells it from the others. */
  readonly name: 'waiting';
  /** What happened, for people. */
  readonly reason: string;
  /** When it tries again, in Unix milliseconds. */
  readonly until: number;
  /** The error, if there was one. */
  readonly error?: NewsreelError;
}

/** It is over. */
export interface Closed {
  /** Tells it from the others. */
  readonly name: 'closed';
  /** Why, for people. */
  readonly reason: string;
  /** What ended it; absent when it was closed on purpose. */
  readonly error?: NewsreelError;
}

/** The states of a feed. */
export type FeedState = Connecting | CatchingUp | Live | Waiting | Closed;

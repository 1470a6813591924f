/** The states of a feed. */

import type { TransportName } from '../connect/transport/link.js';
import type { NewsreelError } from '../error.js';

/** The connection is being opened, or is open and the broker has not greeted yet. */
export interface Connecting {
  /** The discriminant of the union. */
  readonly name: 'connecting';
}

/** The changes that the feed missed are arriving, or are being handled. */
export interface CatchingUp {
  /** The discriminant of the union. */
  readonly name: 'catching-up';
  /** The transport of the connection. */
  readonly transport: TransportName;
}

/** Every change that has arrived is handled, and each new one arrives at once. */
export interface Live {
  /** The discriminant of the union. */
  readonly name: 'live';
  /** The transport of the connection. */
  readonly transport: TransportName;
}

/** The feed has no connection, and connects again by itself. */
export interface Waiting {
  /** The discriminant of the union. */
  readonly name: 'waiting';
  /** The reason, for people. */
  readonly reason: string;
  /** The moment of the next attempt, in Unix milliseconds. */
  readonly until: number;
  /** The error that ended the connection, if one did. */
  readonly error?: NewsreelError;
}

/** The feed has ended. */
export interface Closed {
  /** The discriminant of the union. */
  readonly name: 'closed';
  /** The reason, for people. */
  readonly reason: string;
  /** The error that ended the feed; absent when the caller closed it. */
  readonly error?: NewsreelError;
}

/** The states of a feed. */
export type FeedState = Connecting | CatchingUp | Live | Waiting | Closed;

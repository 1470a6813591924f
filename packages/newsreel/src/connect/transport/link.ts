/** The interface of every transport: a link that sends texts, and a listener that learns what happens. */

import type { NewsreelError } from '../../error.js';
import type { Address } from '../address.js';

/** The way in which a feed is connected. */
export type TransportName = 'websocket' | 'polling';

/** An open or opening connection. */
export interface Link {
  /** Sends a text. The listener learns of a failure. */
  send(text: string): void;
  /** Closes the connection; the listener is not called after this. */
  hangUp(code: number, reason: string): void;
}

/** The receiver of a connection's events. No event comes after `closed` or `refused`. */
export interface Listener {
  /** Called when the connection is open. */
  opened(): void;
  /** Called with every text that the broker sends. */
  text(text: string): void;
  /** Called when the connection closed, or did not open (then `opened` was not called, and the code is 1006). */
  closed(code: number, reason: string): void;
  /** Called when the broker refused over HTTP, for good or for now. */
  refused(error: NewsreelError): void;
}

/** The place on the log where a connection begins. */
export interface Begin {
  /** The epoch of the log; empty for everything kept, on any log. */
  readonly epoch: string;
  /** The version after which the connection begins. */
  readonly version: number;
  /** The log's hash there. */
  readonly hash: string;
}

/** The parameters of a connection. */
export interface Dialing {
  /** The address of the catalog. */
  readonly address: Address;
  /** The query of the follow request. */
  readonly query: string;
  /** The place where the connection begins; `null` is the head. */
  readonly start: Begin | null;
  /** The topics that are asked for; everything where there are none. */
  readonly topics: readonly string[];
  /** The token that is shown, if there is one. */
  readonly token: string | undefined;
  /** The receiver of the connection's events. */
  readonly listener: Listener;
}

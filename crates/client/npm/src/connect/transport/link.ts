/** What every transport is to a feed: it can be told something, and it tells what happens. Decides nothing. */

import type { NewsreelError } from '../../error.js';
import type { Address } from '../../feed/options.js';

/** An open or opening connection. */
export interface Link {
  /** Sends a text. If that does not work, the listener hears of it. */
  send(text: string): void;
  /** Lets go; the listener hears nothing after this. */
  hangUp(code: number, reason: string): void;
}

/** Who hears of a connection. Nothing comes after `closed` or `refused`. */
export interface Listener {
  /** It is open. */
  opened(): void;
  /** It sent a text. */
  text(text: string): void;
  /** It closed, or (then `opened` did not come, and the code is 1006) did not open. */
  closed(code: number, reason: string): void;
  /** It answered over HTTP that it will not, or not now. */
  refused(error: NewsreelError): void;
}

/** Where a connection begins on the log. */
export interface Begin {
  /** The log; empty for everything kept, of whatever log. */
  readonly epoch: string;
  /** The version after which it begins. */
  readonly version: number;
  /** The log's hash there. */
  readonly hash: string;
}

/** What is needed to open a connection. */
export interface Dialing {
  /** The catalog's. */
  readonly address: Address;
  /** The query of a follower. */
  readonly query: string;
  /** Where it begins; `null` is the head. */
  readonly start: Begin | null;
  /** What is asked for; everything where there are none. */
  readonly topics: readonly string[];
  /** What is shown, if anything is. */
  readonly token: string | undefined;
  /** Who hears of it. */
  readonly listener: Listener;
}

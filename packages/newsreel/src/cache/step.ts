/** What the wasm says of a read, in words. The Rust side is `NextStep` in `cache/pending.rs`, and `Hit` in `cache.rs`. */

import { Hit } from '../wasm/wasm.js';
import { NewsreelError } from '../error.js';
import type { Flight } from './flights.js';

/** How recent an answer is. */
export type Freshness = 'fresh' | 'revalidating' | 'stale';

/** The work that follows an answer: no caller waits for it. */
export interface Behind {
  /** Whether to fetch the key again. */
  refresh: boolean;
  /** Whether to ask for a proof, which the next reads will need. */
  prove: boolean;
}

/** An answer with a value: the kept one, or the one that a flight brought. */
export interface Serve extends Behind {
  /** Tells this step from the others. */
  do: 'serve';
  /** The holder of the value: `memory` for the kept one, `origin` for the one of the flight. */
  from: 'memory' | 'origin';
  /** How recent the value is. */
  freshness: Freshness;
  /** Whether to keep the value. */
  keep: boolean;
}

/** The answer that the log gives: the key was removed. */
export interface Removed {
  /** Tells this step from the others. */
  do: 'removed';
  /** How recent the answer is. */
  freshness: Freshness;
}

/** The next step of a read: something to do, or the answer. */
export type NextStep =
  | { do: 'prove'; maxAgeMs: number }
  | { do: 'fetch' }
  | Serve
  | Removed
  | { do: 'fail'; failure: 'bound-not-kept' | 'min-version' | 'origin' };

/** Returns the next step of a read, which the wasm wrote as JSON. */
export function stepOf(json: string): NextStep {
  return JSON.parse(json) as NextStep;
}

/** Returns the work that follows a hit; nothing if none does. */
export function behind(hit: Hit): Behind | undefined {
  if (hit === Hit.Serve) return undefined;
  return { refresh: hit !== Hit.Prove, prove: hit !== Hit.Refresh };
}

/** Returns the error that a failed read throws. */
export function failure(why: 'bound-not-kept' | 'min-version' | 'origin', flight: Flight | undefined): unknown {
  switch (why) {
    case 'bound-not-kept':
      return new NewsreelError(why, 'it cannot be proved that every change has been heard');
    case 'min-version':
      return new NewsreelError(why, 'the version that was asked for has not been heard');
    case 'origin':
      if (flight?.failed) return flight.error;
      return new NewsreelError('bound-not-kept', 'changes overtook every fetch');
  }
}

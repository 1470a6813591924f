/** Singleflight: calls of fetchers that are under way. The wasm decides which reads share a call. */

import { Entry, sizeOf } from './entry.js';
import { NewsreelError, textOf } from '../error.js';
import type { Cache } from '../wasm/wasm.js';

/** The second argument of a fetcher. */
export interface FetchContext {
  /** Aborts when no read waits for the value any more. */
  readonly signal: AbortSignal;
}

type Fetch = (key: string, context: FetchContext) => unknown;

/** One call of a fetcher. */
export interface Flight {
  /** The number by which the wasm knows the call. */
  readonly number: number;
  /** The moment at which the call began, in Unix milliseconds. */
  readonly begunAt: number;
  /** Resolves when the fetcher has settled; never rejects. */
  readonly settled: Promise<void>;
  /** The value that the fetcher returned. */
  value: unknown;
  /** Whether the fetcher threw. */
  failed: boolean;
  /** The error that the fetcher threw, unchanged. */
  error: unknown;
}

interface UnderWay extends Flight {
  settled: Promise<void>;
  waiting: number;
  /** Whether the fetcher has settled. */
  done: boolean;
  abort: AbortController;
}

/** The calls of fetchers of one cache, by number. */
export class Flights {
  /** The number of calls, of failures, and of reads that shared the call of another. */
  readonly counts = { fetches: 0, fetchesFailed: 0, shared: 0 };
  #clock: () => number;
  #underWay = new Map<number, UnderWay>();
  #ended = false;

  /** Begins without calls; `clock` returns the time. */
  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /** Returns the flight that a read waits for, and whether another read had begun it. Begins the flight if need be. */
  board(inside: Cache, walk: number, key: string, fetcher: Fetch, tick: number): [Flight, boolean] {
    const begunAt = this.#clock();
    const number = inside.board(walk, tick, begunAt);
    let flight = this.#underWay.get(number);
    if (flight) {
      this.counts.shared += 1;
      flight.waiting += 1;
      return [flight, true];
    }
    const settled = Promise.resolve();
    flight = { number, begunAt, settled, value: undefined, failed: false, error: undefined, waiting: 1, done: false, abort: new AbortController() };
    this.#underWay.set(number, flight);
    flight.settled = this.#fly(inside, flight, key, fetcher);
    return [flight, false];
  }

  /** Ends the wait of one read. The flight ends with its last read. */
  leave(inside: Cache, flight: Flight): void {
    const left = this.#underWay.get(flight.number);
    if (!left || --left.waiting > 0) return;
    this.#underWay.delete(flight.number);
    if (!left.done) left.abort.abort(new NewsreelError('closed', 'nobody waits for it any more'));
    if (!this.#ended) inside.endFlight(flight.number);
  }

  /** Aborts every call under way with the terminal error `closed`, as the cache was disposed. */
  end(): void {
    this.#ended = true;
    const why = new NewsreelError('closed', 'the cache was disposed', { terminal: true });
    for (const { abort } of this.#underWay.values()) abort.abort(why);
  }

  async #fly(inside: Cache, flight: UnderWay, key: string, fetcher: Fetch): Promise<void> {
    this.counts.fetches += 1;
    const { signal } = flight.abort;
    try {
      // A fetcher may ignore the signal: the race ends the wait for it once every read has left.
      const came = await Promise.race([fetcher(key, { signal }), aborted(signal)]);
      if (this.#ended || !this.#underWay.has(flight.number)) return;
      flight.value = came instanceof Entry ? came.value : came;
      land(inside, flight.number, flight.value, came instanceof Entry ? came.options : {});
    } catch (error) {
      this.counts.fetchesFailed += 1;
      [flight.failed, flight.error] = [true, error];
    } finally {
      flight.done = true;
    }
  }
}

function land(inside: Cache, flight: number, value: unknown, options: Entry<unknown>['options']): void {
  const { tags = [], ttlMs = -1, staleForMs = -1, size = sizeOf(value), found = value != null } = options;
  try {
    inside.land(flight, found, [...tags], ttlMs, staleForMs, size);
  } catch (cause) {
    throw new NewsreelError('bad-entry', textOf(cause), { terminal: true, cause });
  }
}

/** Rejects when the signal aborts. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));
}

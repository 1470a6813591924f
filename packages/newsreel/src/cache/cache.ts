/**
 * A cache that drops exactly the entries that changed.
 *
 * The cache learns of changes from a feed, before any handler runs. The wasm decides which entries may be served, by
 * the rules of the edge's reader; this class keeps the values, waits, and calls fetchers.
 */

import { type CacheOptions, type CacheStats, type Checked, type ReadOptions, checked, named, wordOf } from './options.js';
import { now } from '../wasm/clock.js';
import { type Entry } from './entry.js';
import { NewsreelError, quietly, textOf } from '../error.js';
import { ATTACH, type Feed, type Hearer, NOW } from '../feed/types.js';
import { type FetchContext, type Flight, Flights } from './flights.js';
import { Proofs } from './proofs.js';
import { type Behind, type Freshness, type Removed, type Serve, behind, failure, stepOf } from './step.js';
import { Waiters } from '../feed/waiters.js';
import { Cache, Hit, type Session, load } from '../wasm/wasm.js';

/** Gets the value of a key from its source. `undefined` and `null` say that there is none. */
export type Fetcher<T> = (key: string, context: FetchContext) => T | Entry<T> | Promise<T | Entry<T>>;

/** An answer with its freshness and its source. */
export interface Answer<T> {
  /** The value; `undefined` if the log says that the key was removed. */
  value: T | undefined;
  /** The tier that gave the answer; `log` if the log says that the key was removed, so that no fetcher was called. */
  tier: 'memory' | 'origin' | 'log';
  /**
   * `fresh`: nothing newer was published longer ago than the lag bound. `revalidating`: expired or softly changed, and
   * being fetched. `stale`: older than the policy promises.
   */
  freshness: Freshness;
  /** How long ago the fetch of the value began, in milliseconds; 0 for an answer of the log. */
  ageMs: number;
  /** The age of the last proof that every change had been heard, in milliseconds; `Infinity` before the first proof. */
  lagMs: number;
  /** The position that the feed had when the entry was judged; absent before the first position. */
  position: string | undefined;
  /** The position at which the entry was filled; absent if the value is not kept. */
  filledAt: string | undefined;
  /** Whether the value was fetched for another read. */
  shared: boolean;
}

/** A kept value. The wasm has its envelope, under the same slot. */
interface Kept {
  key: string;
  slot: number;
  value: unknown;
  /** The moment at which the fetch began, in Unix milliseconds. */
  fetchedAt: number;
  /** Until this moment the key is not fetched again behind an answer. */
  sparedUntil: number;
}

/** How long a key is not fetched again behind an answer after its fetcher failed: the source may be down. */
const SPARED_MS = 1_000;
const NO_OPTIONS: ReadOptions = {};

/**
 * A bounded cache in memory, for any runtime, that keeps what a feed says has not changed.
 *
 * An entry lives until a change covers it (of its key, of one of its tags, of a prefix, of everything), until it
 * expires, or until its room is needed. The value of a fetch that began before a change arrived is never kept, nor
 * served as fresh to a read that began after the change. Many caches may listen to one feed, and the feed needs no
 * handlers for them.
 */
export class EdgeCache implements Disposable {
  #options: CacheOptions;
  #checked: Checked;
  #inside: Cache | undefined;
  #feed: Feed | undefined;
  #detach: (() => void) | undefined;
  #proofs: Proofs | undefined;
  #flights = new Flights(() => this.#clock());
  #kept = new Map<string, Kept>();
  #slots = new Map<number, Kept>();
  /** The reads that wait for the feed to hear a version. */
  #waiters = new Waiters();
  #evicted = 0;
  #disposed = false;
  /** The number of the current turn of the event loop. */
  #tick = 0;
  #ticks = false;

  /**
   * Returns an empty cache.
   *
   * @throws {@link NewsreelError} `bad-options`.
   */
  constructor(options: CacheOptions = {}) {
    this.#options = options;
    this.#checked = checked(options);
    if (options.feed) this.attach(options.feed);
  }

  /**
   * Listens to another feed, and forgets everything: the changes in between are unknown.
   *
   * @throws {@link NewsreelError} `bad-options`, or `closed` after {@link dispose}.
   */
  attach(feed: Feed): void {
    this.#check();
    // The caller has a feed, so the module is loaded.
    const inside = (this.#inside ??= newInside(this.#checked));
    this.#leave();
    inside.forget();
    this.#drop();
    this.#feed = feed;
    this.#proofs = new Proofs(feed);
    const hearer: Hearer = {
      hear: (session) => this.#hear(inside, session),
      closed: () => this.#waiters.look(),
    };
    this.#detach = feed[ATTACH](hearer);
  }

  /**
   * Returns a value: the kept one if it may be served, else the value that the fetcher gets. Reads of one key share a
   * fetch where the guarantees allow it. `undefined` also means that the key was removed.
   *
   * @throws The error of the fetcher, if no kept value may stand in; {@link NewsreelError} `bad-key`,
   * `bad-options`, `bound-not-kept`, `min-version`, `closed`; the signal's reason.
   */
  get<T>(key: string, fetcher: Fetcher<T>, options?: ReadOptions): Promise<T | undefined> {
    const kept = this.#kept.get(key);
    if (kept !== undefined && options === undefined && this.#inside) {
      const hit = this.#inside.hit(kept.slot, this.#clock());
      if (hit !== Hit.Miss) {
        this.#after(behind(hit), key, fetcher);
        return Promise.resolve(kept.value as T);
      }
    }
    return this.read(key, fetcher, options).then(({ value }) => value);
  }

  /** Reads like {@link get}, and returns the freshness and the source of the answer too. */
  async read<T>(key: string, fetcher: Fetcher<T>, options: ReadOptions = NO_OPTIONS): Promise<Answer<T>> {
    const { boundMs = -1, beyondBound, minVersion = '', anew = false, signal } = options;
    signal?.throwIfAborted();
    this.#check();
    const inside = (this.#inside ??= await this.#load());
    this.#check();
    const beyond = wordOf(beyondBound);
    let walk: number;
    try {
      walk = inside.begin(key, boundMs, beyond, minVersion, anew, this.#stamp(), this.#clock());
    } catch (cause) {
      throw refused(cause);
    }
    return (await this.#walk(inside, walk, key, fetcher, options)) as Answer<T>;
  }

  /** Drops the entry of a key, and voids a fetch under way for it; says whether there was an entry. */
  delete(key: string): boolean {
    const slot = this.#inside?.delete(key);
    if (slot === undefined) return false;
    this.#free(slot);
    return true;
  }

  /** Drops every entry, and voids every fetch under way. */
  clear(): void {
    this.#inside?.clear();
    this.#drop();
  }

  /** The number of kept entries. A read decides whether an entry may still be served. */
  get size(): number {
    return this.#kept.size;
  }

  /** Returns the counts since the cache was made. */
  stats(): CacheStats {
    return { ...named(this.#inside?.stats() ?? []), ...this.#flights.counts, evicted: this.#evicted };
  }

  /** Ends the cache: drops every entry, aborts fetches, and detaches from the feed, which goes on. Waiting reads reject with `closed`. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#leave();
    this.#drop();
    this.#flights.end();
    this.#waiters.look();
    const inside = this.#inside;
    this.#inside = undefined;
    inside?.free();
  }

  /** Ends the cache at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  // --- Changes heard ---

  #hear(inside: Cache, session: Session): void {
    if (inside.hear(session)) this.#drop();
    this.#waiters.look();
  }

  #leave(): void {
    this.#detach?.();
    this.#proofs?.stop();
    [this.#detach, this.#proofs, this.#feed] = [undefined, undefined, undefined];
  }

  // --- Values ---

  #drop(): void {
    this.#kept.clear();
    this.#slots.clear();
  }

  #free(slot: number): void {
    const kept = this.#slots.get(slot);
    this.#slots.delete(slot);
    if (kept && this.#kept.get(kept.key) === kept) this.#kept.delete(kept.key);
  }

  #keep(inside: Cache, key: string, walk: number, flight: Flight): void {
    const [slot, ...evicted] = inside.keep(walk, flight.number);
    if (slot === undefined) return;
    this.#evicted += evicted.length;
    for (const freed of evicted) this.#free(freed);
    const replaced = this.#kept.get(key);
    if (replaced) this.#slots.delete(replaced.slot);
    const kept: Kept = { key, slot, value: flight.value, fetchedAt: flight.begunAt, sparedUntil: 0 };
    this.#kept.set(key, kept);
    this.#slots.set(slot, kept);
  }

  // --- Reads ---

  /** Does what a read needs, step by step, until the read has an answer. */
  async #walk(inside: Cache, walk: number, key: string, fetcher: Fetcher<unknown>, options: ReadOptions) {
    let flight: Flight | undefined;
    let shared = false;
    try {
      for (let step = stepOf(inside.step(walk)); ; ) {
        if (step.do === 'prove') {
          const proved = await this.#prove(inside, walk, step.maxAgeMs, options);
          this.#check();
          step = stepOf(inside.proved(walk, proved, this.#clock()));
        } else if (step.do === 'fetch') {
          if (flight) this.#flights.leave(inside, flight);
          [flight, shared] = this.#flights.board(inside, walk, key, fetcher, this.#stamp());
          await unlessAborted(flight.settled, options.signal);
          this.#check();
          const at = this.#clock();
          step = stepOf(flight.failed ? inside.failed(walk, at) : inside.landed(walk, flight.number, at));
        } else if (step.do === 'fail') {
          throw failure(step.failure, flight);
        } else {
          return this.#answer(inside, step, walk, key, fetcher, flight, shared);
        }
      }
    } finally {
      if (flight) this.#flights.leave(inside, flight);
      if (!this.#disposed) inside.end(walk);
    }
  }

  #answer(
    inside: Cache,
    step: Serve | Removed,
    walk: number,
    key: string,
    fetcher: Fetcher<unknown>,
    flight: Flight | undefined,
    shared: boolean,
  ): Answer<unknown> {
    const served = step.do === 'serve' ? step : undefined;
    if (served?.from === 'origin' && flight && served.keep) this.#keep(inside, key, walk, flight);
    this.#after(served, key, fetcher);
    const kept = this.#kept.get(key);
    const at = this.#clock();
    const common = {
      freshness: step.freshness,
      lagMs: inside.lag(at) ?? Infinity,
      position: inside.position() || undefined,
    };
    if (served?.from === 'memory' && kept) {
      const { value, fetchedAt, slot } = kept;
      const filledAt = inside.filledAt(slot) || undefined;
      return { value, tier: 'memory', ...common, ageMs: Math.max(0, at - fetchedAt), filledAt, shared: false };
    }
    if (served?.from === 'origin' && flight) {
      const filledAt = kept?.value === flight.value && kept ? inside.filledAt(kept.slot) || undefined : undefined;
      const { value, begunAt } = flight;
      return { value, tier: 'origin', ...common, ageMs: Math.max(0, at - begunAt), filledAt, shared };
    }
    return { value: undefined, tier: 'log', ...common, ageMs: 0, filledAt: undefined, shared: false };
  }

  /** Waits for the version that a read wants, and for a proof; says whether both came in time. */
  async #prove(
    inside: Cache,
    walk: number,
    maxAgeMs: number,
    { waitMs = this.#options.waitMs ?? 3_000, signal }: ReadOptions,
  ): Promise<boolean> {
    const until = this.#clock() + waitMs;
    if (!inside.isHeard(walk) && !(await this.#heard(inside, walk, waitMs, signal))) return false;
    const since = this.#clock() - maxAgeMs;
    const left = Math.max(0, until - this.#clock());
    return unlessAborted(this.#proofs?.get(since, left) ?? Promise.resolve(false), signal);
  }

  /** Waits until the feed has heard the version that a read wants; says whether that happened in time. */
  async #heard(inside: Cache, walk: number, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    const isOver = () => this.#disposed || this.#feed === undefined || this.#feed.state.name === 'closed';
    const isHeard = () => isOver() || inside.isHeard(walk);
    const inTime = await this.#waiters.wait('a version', isHeard, { timeoutMs, signal }).then(
      () => true,
      () => false,
    );
    signal?.throwIfAborted();
    return inTime && !isOver();
  }

  // --- Behind an answer ---

  #after(work: Behind | undefined, key: string, fetcher: Fetcher<unknown>): void {
    if (work?.prove) this.#proofs?.soon();
    if (work?.refresh) void this.#refresh(key, fetcher);
  }

  async #refresh(key: string, fetcher: Fetcher<unknown>): Promise<void> {
    const [inside, kept] = [this.#inside, this.#kept.get(key)];
    const at = this.#clock();
    if (!inside || (kept && at < kept.sparedUntil)) return;
    const walk = inside.refresh(key, this.#stamp(), at);
    if (walk === undefined) return;
    try {
      await this.#walk(inside, walk, key, fetcher, NO_OPTIONS);
    } catch (error) {
      if (this.#disposed) return;
      if (kept) kept.sparedUntil = this.#clock() + SPARED_MS;
      quietly(() => this.#options.onRefreshError?.(error, key));
    }
  }

  // --- The rest ---

  #clock(): number {
    return this.#feed ? this.#feed[NOW]() : now();
  }

  /** Returns the number of this turn of the event loop. */
  #stamp(): number {
    if (!this.#ticks) {
      this.#ticks = true;
      queueMicrotask(() => ([this.#tick, this.#ticks] = [(this.#tick + 1) >>> 0, false]));
    }
    return this.#tick;
  }

  #check(): void {
    if (this.#disposed) throw new NewsreelError('closed', 'the cache was disposed', { terminal: true });
  }

  async #load(): Promise<Cache> {
    await load();
    return this.#inside ?? newInside(this.#checked);
  }
}

function newInside({ maxEntries, maxBytes, classes }: Checked): Cache {
  const inside = new Cache(maxEntries, maxBytes);
  for (const promise of classes) inside.promise(...promise);
  return inside;
}

/** Returns the error of a read that could not begin: the text of the wasm begins with the code. */
function refused(cause: unknown): NewsreelError {
  const [, code = 'internal', why = textOf(cause)] = /^([a-z-]+): (.*)$/s.exec(textOf(cause)) ?? [];
  return new NewsreelError(code, why, { terminal: true, cause });
}

/** Waits for a promise; rejects with the signal's reason if the signal aborts first. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const aborted = () => reject(signal.reason);
    if (signal.aborted) return aborted();
    signal.addEventListener('abort', aborted);
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', aborted));
  });
}

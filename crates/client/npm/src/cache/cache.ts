/**
 * A cache that drops exactly what changed.
 *
 * What changed is heard from a feed, at once, before any handler runs. The wasm decides what may be served, by the same
 * rules as the reader of the edge; this keeps the values, waits, and calls fetchers.
 */

import { type CacheOptions, type CacheStats, type Checked, type ReadOptions, checked, named, wordOf } from './options.js';
import { now } from '../wasm/clock.js';
import { type Entry } from './entry.js';
import { NewsreelError, quietly, textOf } from '../error.js';
import { ATTACH, type Feed, type Hearer, NOW } from '../feed/feed.js';
import { type FetchContext, type Flight, Flights } from './flights.js';
import { Proofs } from './proofs.js';
import { Waiters } from '../feed/waiters.js';
import { Cache, type Session, load } from '../wasm/wasm.js';

/** Gets the value of a key from where it is made. `undefined` and `null` say that there is none. */
export type Fetcher<T> = (key: string, context: FetchContext) => T | Entry<T> | Promise<T | Entry<T>>;

/** An answer, and how good it is. */
export interface Answer<T> {
  /** The value; `undefined` if the log says that it was removed. */
  value: T | undefined;
  /** Where it came from; `log` says that it was removed, and nobody was asked. */
  tier: 'memory' | 'origin' | 'log';
  /**
   * `fresh`: nothing newer was published longer ago than the bound. `revalidating`: expired, or changed softly; it is
   * being fetched. `stale`: older than promised.
   */
  freshness: 'fresh' | 'revalidating' | 'stale';
  /** How long ago its fetch began, in milliseconds; 0 of the log's. */
  ageMs: number;
  /** How long ago it was last proved that every change had been heard, in milliseconds; `Infinity` before the first proof. */
  lagMs: number;
  /** The position by which it was judged; absent before the feed has one. */
  position: string | undefined;
  /** The position at which it was filled; absent if it is not kept. */
  filledAt: string | undefined;
  /** Whether it was fetched for another read. */
  shared: boolean;
}

/** A value that is kept. Its envelope is in the wasm, under its slot. */
interface Kept {
  key: string;
  slot: number;
  value: unknown;
  /** When its fetch began. */
  fetchedAt: number;
  /** Until when it is not fetched again behind an answer. */
  sparedUntil: number;
}

/** What the wasm says is next: see `packed` in `cache.rs`. */
const PROVE_TURN = 1;
const FETCH_TURN = 2;
const MEMORY = 3;
const ORIGIN = 4;
const REMOVED = 5;
const KIND = 7;
const REFRESH = 32;
const KEEP = 64;
const BEHIND = 128;
const FRESHNESS = ['fresh', 'revalidating', 'stale'] as const;

/** How long a key is not fetched again behind an answer after its fetcher failed: an origin that is down is spared. */
const SPARED_MS = 1_000;
const NO_OPTIONS: ReadOptions = {};

/**
 * A bounded cache in memory, for any runtime, that keeps what a feed says has not changed.
 *
 * An entry lives until a change covers it (of its key, of one of its tags, of a prefix, of everything), it expires, or
 * room is needed. A fetch that began before a change was heard is never served as fresh to whoever reads after it, nor
 * kept. Many caches may listen to one feed, and a feed needs no handlers for them.
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
  #slots: (Kept | undefined)[] = [];
  /** Those who wait for something to be heard. */
  #waiters = new Waiters();
  #evicted = 0;
  #disposed = false;
  /** A number for what happens before any message can come in. */
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
   * Listens to another feed, and forgets everything: nobody can tell what changed in between.
   *
   * @throws {@link NewsreelError} `bad-options`, or `closed` after {@link dispose}.
   */
  attach(feed: Feed): void {
    this.#check();
    // Whoever has a feed has the module.
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
   * Returns a value: the one that is kept if it may be served, else what the fetcher gets. Reads of one key wait for one
   * fetch where that is right. `undefined` also says that the log tells of a removal.
   *
   * @throws What the fetcher threw, if nothing may be served in its place; {@link NewsreelError} `bad-key`,
   * `bad-options`, `bound-not-kept`, `min-version`, `closed`; the signal's reason.
   */
  get<T>(key: string, fetcher: Fetcher<T>, options?: ReadOptions): Promise<T | undefined> {
    const kept = this.#kept.get(key);
    if (kept !== undefined && options === undefined && this.#inside) {
      const turn = this.#inside.hit(kept.slot, this.#clock());
      if (turn !== 0) {
        if ((turn & (REFRESH | BEHIND)) !== 0) this.#after(turn, key, fetcher);
        return Promise.resolve(kept.value as T);
      }
    }
    return this.read(key, fetcher, options).then(({ value }) => value);
  }

  /** Does what {@link get} does, and tells how good the answer is. */
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

  /** Drops an entry, and voids what is being fetched for it; says whether there was one. */
  delete(key: string): boolean {
    const slot = this.#inside?.delete(key);
    if (slot === undefined) return false;
    this.#free(slot);
    return true;
  }

  /** Drops every entry, and voids whatever is being fetched. */
  clear(): void {
    this.#inside?.clear();
    this.#drop();
  }

  /** How many entries are kept. Whether they may still be served is found out when they are read. */
  get size(): number {
    return this.#kept.size;
  }

  /** Returns what was counted. */
  stats(): CacheStats {
    return { ...named(this.#inside?.stats() ?? []), ...this.#flights.counts, evicted: this.#evicted };
  }

  /** Ends it: drops everything, gives up fetches, and leaves the feed, which goes on. Reads that wait reject with `closed`. */
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

  /** The same, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  // --- What is heard ---

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
    this.#slots = [];
  }

  #free(slot: number): void {
    const kept = this.#slots[slot];
    this.#slots[slot] = undefined;
    if (kept && this.#kept.get(kept.key) === kept) this.#kept.delete(kept.key);
  }

  #keep(inside: Cache, key: string, walk: number, flight: Flight): void {
    const [slot, ...evicted] = inside.keep(walk, flight.number);
    if (slot === undefined) return;
    this.#evicted += evicted.length;
    for (const freed of evicted) this.#free(freed);
    const kept: Kept = { key, slot, value: flight.value, fetchedAt: flight.begunAt, sparedUntil: 0 };
    this.#kept.set(key, kept);
    this.#slots[slot] = kept;
  }

  // --- Reads ---

  /** Does what a walk needs until it has an answer. */
  async #walk(inside: Cache, walk: number, key: string, fetcher: Fetcher<unknown>, options: ReadOptions) {
    let flight: Flight | undefined;
    let shared = false;
    try {
      for (let turn = inside.turn(walk); ; ) {
        const kind = turn & KIND;
        if (kind === PROVE_TURN) {
          const proved = await this.#prove(inside, walk, options);
          this.#check();
          turn = inside.proved(walk, proved, this.#clock());
        } else if (kind === FETCH_TURN) {
          if (flight) this.#flights.leave(inside, flight);
          [flight, shared] = this.#flights.board(inside, walk, key, fetcher, this.#stamp());
          await unlessAborted(flight.settled, options.signal);
          this.#check();
          turn = flight.failed ? inside.failed(walk, this.#clock()) : inside.landed(walk, flight.number, this.#clock());
        } else {
          return this.#answer(inside, turn, walk, key, fetcher, flight, shared);
        }
      }
    } finally {
      if (flight) this.#flights.leave(inside, flight);
      if (!this.#disposed) inside.end(walk);
    }
  }

  #answer(
    inside: Cache,
    turn: number,
    walk: number,
    key: string,
    fetcher: Fetcher<unknown>,
    flight: Flight | undefined,
    shared: boolean,
  ): Answer<unknown> {
    const kind = turn & KIND;
    if (kind > REMOVED) throw failure(turn, flight);
    if (kind === ORIGIN && flight && turn & KEEP) this.#keep(inside, key, walk, flight);
    if (turn & (REFRESH | BEHIND)) this.#after(turn, key, fetcher);
    const kept = this.#kept.get(key);
    const at = this.#clock();
    const common = {
      freshness: FRESHNESS[(turn >> 3) & 3] ?? 'stale',
      lagMs: inside.lag(at) ?? Infinity,
      position: inside.position() || undefined,
    };
    if (kind === MEMORY && kept) {
      const { value, fetchedAt, slot } = kept;
      const filledAt = inside.filledAt(slot) || undefined;
      return { value, tier: 'memory', ...common, ageMs: Math.max(0, at - fetchedAt), filledAt, shared: false };
    }
    if (kind === ORIGIN && flight) {
      const filledAt = kept?.value === flight.value && kept ? inside.filledAt(kept.slot) || undefined : undefined;
      const { value, begunAt } = flight;
      return { value, tier: 'origin', ...common, ageMs: Math.max(0, at - begunAt), filledAt, shared };
    }
    return { value: undefined, tier: 'log', ...common, ageMs: 0, filledAt: undefined, shared: false };
  }

  /** Waits for the version that a walk wants, and for its proof; says whether it came. */
  async #prove(inside: Cache, walk: number, { waitMs = this.#options.waitMs ?? 3_000, signal }: ReadOptions): Promise<boolean> {
    const until = this.#clock() + waitMs;
    if (!inside.isHeard(walk) && !(await this.#heard(inside, walk, waitMs, signal))) return false;
    const since = this.#clock() - inside.maxAge(walk);
    const left = Math.max(0, until - this.#clock());
    return unlessAborted(this.#proofs?.get(since, left) ?? Promise.resolve(false), signal);
  }

  /** Waits until the version that a walk wants was heard; says whether it was, in time. */
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

  #after(turn: number, key: string, fetcher: Fetcher<unknown>): void {
    if (turn & BEHIND) this.#proofs?.soon();
    if (turn & REFRESH) void this.#refresh(key, fetcher);
  }

  async #refresh(key: string, fetcher: Fetcher<unknown>): Promise<void> {
    const [inside, kept] = [this.#inside, this.#kept.get(key)];
    const at = this.#clock();
    if (!inside || (kept && at < kept.sparedUntil)) return;
    const walk = inside.refresh(key, this.#stamp(), at);
    if (walk === 0) return;
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

/** Returns the error of a read that could not begin: its text has the code before it. */
function refused(cause: unknown): NewsreelError {
  const [, code = 'internal', why = textOf(cause)] = /^([a-z-]+): (.*)$/s.exec(textOf(cause)) ?? [];
  return new NewsreelError(code, why, { terminal: true, cause });
}

/** Returns what a read that failed throws. */
function failure(turn: number, flight: Flight | undefined): unknown {
  switch ((turn >> 3) & 3) {
    case 0:
      return new NewsreelError('bound-not-kept', 'it cannot be proved that every change has been heard');
    case 1:
      return new NewsreelError('min-version', 'the version that was asked for has not been heard');
    default:
      if (flight?.failed) return flight.error;
      return new NewsreelError('bound-not-kept', 'changes overtook every fetch');
  }
}

/** Waits, but not longer than until the signal aborts: then it throws its reason. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const aborted = () => reject(signal.reason);
    if (signal.aborted) return aborted();
    signal.addEventListener('abort', aborted);
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', aborted));
  });
}

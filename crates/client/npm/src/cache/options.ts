/** What a caller of a cache says, and what the cache tells of itself. */

import type { Feed } from '../feed/feed.js';
import { badOptions } from '../feed/options.js';

/** What is done when a bound cannot be kept: what is there is served, marked; the read fails; the fetcher is called. */
export type BeyondBound = 'stale' | 'fail' | 'fetch';

/** What a class of keys promises. Absent parts keep their default, see {@link CacheOptions.policy}. */
export interface ClassPolicy {
  /** How long an entry is fresh, in milliseconds from the start of its fetch; at least 1. */
  ttlMs?: number;
  /** How long after that it may be served, marked, while it is fetched or while its fetcher fails. */
  staleForMs?: number;
  /**
   * How long ago it may last have been proved that every change had been heard, in milliseconds: what was published
   * longer ago than that is never served as fresh. 0 asks the broker before every answer; else at least 250.
   */
  lagBoundMs?: number;
  /** What is done when that cannot be proved. */
  beyondBound?: BeyondBound;
}

/** What a caller of {@link EdgeCache} says. */
export interface CacheOptions {
  /**
   * The feed that tells of changes. Without one nothing can be relied on: each value is fetched anew, and none is kept
   * until {@link EdgeCache.attach}. Of a feed with topics, only keys that it hears of are kept.
   */
  feed?: Feed;
  /** How many entries are kept (10,000); what was used longest ago goes first. */
  maxEntries?: number;
  /** How many bytes all of them may take, by {@link EntryOptions.size} or an estimate (64 MiB). */
  maxBytes?: number;
  /**
   * The policy of each class, the part of a key before its first `:`, and of `other` for the rest. By default it is the
   * protocol's: `embedding` 24 h, then 48 h stale, bound 60 s, beyond it `stale`; `availability` 12 h, 24 h, 2 s, `stale`;
   * `trending` 5 min, 15 min, 1 s, `fetch`; `live` 5 s, 10 s, 0, `fetch`; `other` 7 d, 7 d, 2 s, `stale`.
   */
  policy?: Readonly<Record<string, ClassPolicy>>;
  /** How long a read may wait for a proof, or for a `minVersion`, in milliseconds (3,000). */
  waitMs?: number;
  /** Hears of fetches behind an answer that failed. The answer was given; nobody else is told. */
  onRefreshError?: (error: unknown, key: string) => void;
}

/** What one read wants that its class does not say. */
export interface ReadOptions {
  /** In the place of the class's {@link ClassPolicy.lagBoundMs}; any time, 0 included. */
  boundMs?: number;
  /** In the place of the class's {@link ClassPolicy.beyondBound}. */
  beyondBound?: BeyondBound;
  /**
   * Read your writes: the answer holds this version, a position or the `epoch:version` that a publish was answered with.
   * It is waited for, and the answer is never a stale one.
   */
  minVersion?: string;
  /** In the place of {@link CacheOptions.waitMs}. */
  waitMs?: number;
  /** Calls the fetcher, whatever is kept. */
  anew?: boolean;
  /** Gives up this read; a fetch that others wait for goes on. */
  signal?: AbortSignal;
}

/** What a cache has counted since it was made. */
export interface CacheStats {
  /** Entries that are kept. */
  entries: number;
  /** What they take, in bytes. */
  bytes: number;
  /** Floors that are held. */
  floors: number;
  /** Reads that were answered or failed. */
  reads: number;
  /** Those that found an entry which could be served as fresh. */
  hits: number;
  /** Those that did not. */
  misses: number;
  /** Entries that were found and refused: below the hard floor of what is named, below a soft one, past their time. */
  refused: { key: number; tag: number; prefix: number; everything: number; soft: number; expired: number };
  /** Answers that were fresh, with a value. */
  fresh: number;
  /** Answers that were marked, and fetched anew behind the answer. */
  revalidating: number;
  /** Answers marked stale. */
  stale: number;
  /** Fresh answers of the log: it was removed. */
  removed: number;
  /** Fresh answers that there is none. */
  notFound: number;
  /** Reads that failed with `bound-not-kept`. */
  boundNotKept: number;
  /** Reads that failed with `min-version`. */
  minVersion: number;
  /** Reads that failed because their fetcher did. */
  originFailed: number;
  /** Fetches behind an answer that were begun. */
  refreshes: number;
  /** Times that a read waited for a proof. */
  proofs: number;
  /** Calls of fetchers. */
  fetches: number;
  /** Those that threw. */
  fetchesFailed: number;
  /** Times that a read waited for a fetch which another had begun. */
  shared: number;
  /** Entries that had to go for others. */
  evicted: number;
}

/** The counts of the wasm, in its order. */
const COUNTED = [
  'entries', 'bytes', 'floors', 'reads', 'hits', 'misses', 'fresh', 'revalidating', 'stale', 'removed', 'notFound',
  'boundNotKept', 'minVersion', 'originFailed', 'refreshes', 'proofs',
] as const;
/** Those after them: why entries were refused. */
const REFUSED = ['key', 'tag', 'prefix', 'everything', 'soft', 'expired'] as const;

/** Names what the wasm has counted. */
export function named(counts: ArrayLike<number>): Omit<CacheStats, 'fetches' | 'fetchesFailed' | 'shared' | 'evicted'> {
  const name = <Name extends string>(names: readonly Name[], from: number) =>
    Object.fromEntries(names.map((name, index) => [name, counts[from + index] ?? 0])) as Record<Name, number>;
  return { ...name(COUNTED, 0), refused: name(REFUSED, COUNTED.length) };
}

const HOUR = 3_600_000;
/** The protocol's table; where a reader fails, for its origin is everybody's, the fetcher is at hand. */
const TABLE: Readonly<Record<string, Required<ClassPolicy>>> = {
  embedding: { ttlMs: 24 * HOUR, staleForMs: 48 * HOUR, lagBoundMs: 60_000, beyondBound: 'stale' },
  availability: { ttlMs: 12 * HOUR, staleForMs: 24 * HOUR, lagBoundMs: 2_000, beyondBound: 'stale' },
  trending: { ttlMs: HOUR / 12, staleForMs: HOUR / 4, lagBoundMs: 1_000, beyondBound: 'fetch' },
  live: { ttlMs: 5_000, staleForMs: 10_000, lagBoundMs: 0, beyondBound: 'fetch' },
  other: { ttlMs: 168 * HOUR, staleForMs: 168 * HOUR, lagBoundMs: 2_000, beyondBound: 'stale' },
};
const WORDS = ['stale', 'fail', 'fetch'];
const LONGEST_MS = 3_650 * 24 * HOUR;
const LEAST_BOUND_MS = 250;

/** What is promised, as it is told to the wasm, and the bounds. */
export interface Checked {
  /** At most so many. */
  maxEntries: number;
  /** At most so many of them. */
  maxBytes: number;
  /** What `Cache.promise` is told. */
  classes: [name: string, ttlMs: number, staleForMs: number, lagBoundMs: number, beyond: number][];
}

/** Returns the options with their defaults; throws for those that cannot be. */
export function checked({ maxEntries = 10_000, maxBytes = 64 * 2 ** 20, policy = {} }: CacheOptions): Checked {
  for (const [name, most] of Object.entries({ maxEntries, maxBytes })) {
    if (!(most >= 1)) throw badOptions(`${name} is a number of at least 1, not ${String(most)}`);
  }
  const other = { ...TABLE.other, ...policy.other } as Required<ClassPolicy>;
  const classes = [...new Set([...Object.keys(TABLE), ...Object.keys(policy)])].map((name) => {
    const promise = { ...(TABLE[name] ?? other), ...policy[name] } as Required<ClassPolicy>;
    refuse(name, promise);
    const { ttlMs, staleForMs, lagBoundMs, beyondBound } = promise;
    return [name, ttlMs, staleForMs, lagBoundMs, wordOf(beyondBound)] satisfies Checked['classes'][number];
  });
  // Infinity is a bound that some will write.
  return { maxEntries: Math.floor(Math.min(maxEntries, 2 ** 31)), maxBytes: Math.min(maxBytes, 2 ** 53), classes };
}

/** Returns the number of a word; 3 for none. */
export function wordOf(beyondBound: BeyondBound | undefined): number {
  const word = beyondBound === undefined ? 3 : WORDS.indexOf(beyondBound);
  if (word < 0) throw badOptions(`beyondBound is ${WORDS.join(', ')}, not ${String(beyondBound)}`);
  return word;
}

function refuse(name: string, { beyondBound, ...times }: Required<ClassPolicy>): void {
  if (name === '' || name.includes(':')) {
    throw badOptions(`policy.${name} is the class of no key: write what stands before the ':' of its keys, or other`);
  }
  wordOf(beyondBound);
  for (const [field, ms] of Object.entries(times)) {
    const why = complaint(field, ms);
    if (why) throw badOptions(`policy.${name}.${field} is ${String(ms)}, ${why}`);
  }
}

function complaint(field: string, ms: unknown): string | undefined {
  if (!['ttlMs', 'staleForMs', 'lagBoundMs'].includes(field)) return 'which nobody knows of';
  if (typeof ms !== 'number' || !(ms >= 0)) return 'and no time in milliseconds';
  if (ms > LONGEST_MS) return `longer than ten years: write at most ${LONGEST_MS}`;
  if (field === 'ttlMs' && ms < 1) return 'no life at all: write at least 1';
  const isTooShort = field === 'lagBoundMs' && ms > 0 && ms < LEAST_BOUND_MS;
  return isTooShort ? `too short to be proved over a network: write at least ${LEAST_BOUND_MS}, or 0` : undefined;
}

/** The options of a cache and of its reads, and the counts that a cache reports. */

import { badOptions } from '../error.js';
import type { Feed } from '../feed/types.js';

/** The behaviour when a lag bound cannot be kept: serve the kept value marked as stale, fail the read, or call the fetcher. */
export type BeyondBound = 'stale' | 'fail' | 'fetch';

/** The policy of a class of keys. Absent parts keep their default, see {@link CacheOptions.policy}. */
export interface ClassPolicy {
  /** How long an entry is fresh, in milliseconds from the start of its fetch; at least 1. */
  ttlMs?: number;
  /** How long after that an entry may be served, marked as stale, while it is fetched or while its fetcher fails. */
  staleForMs?: number;
  /**
   * The lag bound, in milliseconds: a value that was changed longer ago than this is never served as fresh. 0 asks the
   * broker before every answer; any other bound is at least 250.
   */
  lagBoundMs?: number;
  /** The behaviour when the bound cannot be kept. */
  beyondBound?: BeyondBound;
}

/** The options of {@link EdgeCache}. */
export interface CacheOptions {
  /**
   * The feed of changes. Without a feed every read calls its fetcher and nothing is kept, until
   * {@link EdgeCache.attach}. With a feed that has topics, only keys of these topics are kept.
   */
  feed?: Feed;
  /** The most entries that are kept (10,000); the least recently used entry is evicted first. */
  maxEntries?: number;
  /** The most bytes that all entries may take, by {@link EntryOptions.size} or an estimate (64 MiB). */
  maxBytes?: number;
  /**
   * The policy of each class, the part of a key before its first `:`, and of `other` for the rest. By default it is the
   * protocol's: `embedding` 24 h, then 48 h stale, bound 60 s, beyond it `stale`; `availability` 12 h, 24 h, 2 s, `stale`;
   * `trending` 5 min, 15 min, 1 s, `fetch`; `live` 5 s, 10 s, 0, `fetch`; `other` 7 d, 7 d, 2 s, `stale`.
   */
  policy?: Readonly<Record<string, ClassPolicy>>;
  /** How long a read may wait for a proof, or for a `minVersion`, in milliseconds (3,000). */
  waitMs?: number;
  /** Called when a fetch behind an answer failed. The answer was given before, so no caller sees the error. */
  onRefreshError?: (error: unknown, key: string) => void;
}

/** The options of one read, beyond the policy of its class. */
export interface ReadOptions {
  /** Replaces the class's {@link ClassPolicy.lagBoundMs}; any time, 0 included. */
  boundMs?: number;
  /** Replaces the class's {@link ClassPolicy.beyondBound}. */
  beyondBound?: BeyondBound;
  /**
   * Read your writes: the answer is at least as new as this version, given as a position or as the `epoch:version` of a
   * publish's answer. The read waits for the version, and its answer is never stale.
   */
  minVersion?: string;
  /** Replaces {@link CacheOptions.waitMs} for this read. */
  waitMs?: number;
  /** Calls the fetcher even if an entry is kept. */
  anew?: boolean;
  /** Aborts this read; a fetch that other reads wait for goes on. */
  signal?: AbortSignal;
}

/** The counts of a cache since it was made. */
export interface CacheStats {
  /** The entries that are kept. */
  entries: number;
  /** The size of all entries, in bytes. */
  bytes: number;
  /** The floors that are held. */
  floors: number;
  /** All reads, answered or failed. */
  reads: number;
  /** The reads that found an entry which could be served as fresh. */
  hits: number;
  /** The reads that did not. */
  misses: number;
  /** The entries that were found and refused: below a hard floor of the named kind, below a soft floor, or expired. */
  refused: { key: number; tag: number; prefix: number; everything: number; soft: number; expired: number };
  /** The fresh answers with a value. */
  fresh: number;
  /** The answers marked as revalidating: their value was fetched again behind the answer. */
  revalidating: number;
  /** The answers marked as stale. */
  stale: number;
  /** The answers `removed`, which the log gives. */
  removed: number;
  /** The fresh answers `not found`. */
  notFound: number;
  /** The reads that failed with `bound-not-kept`. */
  boundNotKept: number;
  /** The reads that failed with `min-version`. */
  minVersion: number;
  /** The reads that failed because their fetcher failed. */
  originFailed: number;
  /** The fetches behind an answer. */
  refreshes: number;
  /** How often a read waited for a proof. */
  proofs: number;
  /** The calls of fetchers. */
  fetches: number;
  /** The calls of fetchers that threw. */
  fetchesFailed: number;
  /** How often a read shared the fetch of another read. */
  shared: number;
  /** The entries that were evicted to make room. */
  evicted: number;
}

/** The names of the wasm's counts, in its order. */
const COUNTED = [
  'entries', 'bytes', 'floors', 'reads', 'hits', 'misses', 'fresh', 'revalidating', 'stale', 'removed', 'notFound',
  'boundNotKept', 'minVersion', 'originFailed', 'refreshes', 'proofs',
] as const;
/** The names of the counts that follow: the reasons for which entries were refused. */
const REFUSED = ['key', 'tag', 'prefix', 'everything', 'soft', 'expired'] as const;

/** Returns the wasm's counts by name. */
export function named(counts: ArrayLike<number>): Omit<CacheStats, 'fetches' | 'fetchesFailed' | 'shared' | 'evicted'> {
  const name = <Name extends string>(names: readonly Name[], from: number) =>
    Object.fromEntries(names.map((name, index) => [name, counts[from + index] ?? 0])) as Record<Name, number>;
  return { ...name(COUNTED, 0), refused: name(REFUSED, COUNTED.length) };
}

const HOUR = 3_600_000;
/** The protocol's table, except that `fetch` stands where a shared reader fails: here the fetcher is at hand. */
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

/** The options of a cache in the form that the wasm takes. */
export interface Checked {
  /** The most entries that the cache keeps; at least 1. */
  maxEntries: number;
  /** The most bytes of all entries, with their keys and tags; at least 1. */
  maxBytes: number;
  /** The arguments of `Cache.promise`, a tuple for each class. */
  classes: [name: string, ttlMs: number, staleForMs: number, lagBoundMs: number, beyond: number][];
}

/** Returns the options with their defaults; throws `bad-options` for values that are impossible. */
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
  // Callers may write Infinity.
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

/** The newest versions of the log as they are heard, and how far each follower was seen: plain lists, without a page. */

import type { Change, Follower, Row } from './api.js';
import { classOf, targetOf } from './format.js';

/** How many versions are kept; older ones are in the log. */
export const MOST_ROWS = 10_000;
/** How many sightings of a follower are kept. */
const MOST_SIGHTINGS = 500;

/** A version, and the words by which filters find it. */
export interface LiveRow extends Row {
  readonly words: string;
  readonly heardAt: number;
}

/** What a version must have to be shown; an empty text asks for nothing. */
export interface Filters {
  readonly key: string;
  readonly class: string;
  readonly tag: string;
  readonly op: string;
  /** A part of the name or the id of the source. */
  readonly source: string;
}

/** The filters that every version passes. */
export const EVERY_VERSION: Filters = { key: '', class: '', tag: '', op: '', source: '' };

/** When a follower was first seen to have acknowledged a version. */
interface Sighting {
  readonly version: number;
  readonly at: number;
}

/** The newest versions and sightings of one catalog. */
export class LiveLog {
  /** The oldest first. */
  private rows: LiveRow[] = [];
  private readonly sightings = new Map<string, Sighting[]>();
  /** How many versions were heard in all. */
  heard = 0;

  /** Takes versions in the order of the log. */
  take(rows: readonly Row[], now = Date.now()): void {
    const newest = this.rows.at(-1)?.version ?? 0;
    const fresh = rows.filter(({ version }) => version > newest);
    this.rows = [...this.rows, ...fresh.map((row) => ({ ...row, words: wordsOf(row), heardAt: now }))].slice(-MOST_ROWS);
    this.heard += fresh.length;
  }

  /** Forgets every version: what comes next is of another history. */
  clear(): void {
    this.rows = [];
    this.sightings.clear();
  }

  /** Takes how far the followers are. */
  see(followers: readonly Follower[], now = Date.now()): void {
    for (const { name, replica, acked } of followers) {
      if (!replica) continue;
      const seen = this.sightings.get(name) ?? [];
      if (seen.at(-1)?.version !== acked) seen.push({ version: acked, at: now });
      this.sightings.set(name, seen.slice(-MOST_SIGHTINGS));
    }
  }

  /** Returns each replica that was seen, and when it was first seen to have acknowledged a version. */
  seenAt(version: number): { name: string; at: number | undefined; isBefore: boolean }[] {
    return [...this.sightings].map(([name, seen]) => {
      const at = seen.findIndex((one) => one.version >= version);
      // The first sighting of all says only that it was there by then.
      return { name, at: seen[at]?.at, isBefore: at === 0 };
    });
  }

  /** Returns the versions that pass, the newest first. */
  passing(filters: Filters): LiveRow[] {
    const tests = testsOf(filters);
    const fits = ({ changes, source, traceparent }: LiveRow) =>
      (!filters.source || `${source?.name ?? ''} ${source?.id ?? ''} ${traceparent ?? ''}`.includes(filters.source)) &&
      (tests.length === 0 || changes.some((change) => tests.every((passes) => passes(change))));
    return this.rows.filter(fits).reverse();
  }
}

function wordsOf({ changes }: Row): string {
  return changes.slice(0, 4).map((change) => targetOf(change).name).join(' ');
}

/** Returns the tests of the filters that ask for something. A change of everything passes those of key, class and tag. */
function testsOf({ key, class: className, tag, op }: Filters): ((change: Change) => boolean)[] {
  const tests: ((change: Change) => boolean)[] = [];
  if (key) tests.push((change) => change.all === true || (change.key ?? '').includes(key) || (change.prefix !== undefined && (key.startsWith(change.prefix) || change.prefix.includes(key))));
  if (className) tests.push((change) => change.all === true || classOf(change.key ?? change.prefix ?? '') === className);
  if (tag) tests.push((change) => change.all === true || (change.tag ?? '').includes(tag) || (change.tags ?? []).some((one) => one.includes(tag)));
  if (op) tests.push((change) => (op === 'remove' ? change.op === 'remove' : op === 'soft' ? change.soft === true : change.op !== 'remove' && !change.soft));
  return tests;
}

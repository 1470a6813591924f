/** How old a value is and what that means to its reader: from an answer's headers, from an envelope, or from attributes. */

/** The mark that an edge gives an answer. */
export type Mark = 'fresh' | 'revalidating' | 'stale';

/** The colour in words: as it should be, older than it should be, too old. */
export type Level = 'fresh' | 'aging' | 'stale';

/** What is known of a value. */
export interface Standing {
  /** When the value was fetched from its origin, in Unix milliseconds by this machine's clock. */
  readonly updatedAt: number;
  /** The edge's mark. */
  readonly mark: Mark;
  /** When the value ends to be fresh, by the class's policy, in Unix milliseconds; absent where the answer does not say. */
  readonly freshUntil?: number;
}

/** The member `freshness` of an envelope (`?envelope=1`), as far as it is used. */
export interface EnvelopeFreshness {
  /** When the value was fetched, in Unix milliseconds. */
  readonly last_updated: number;
  /** When the value is to be fetched again, in Unix milliseconds. */
  readonly next_update?: number;
  /** Whether the value is older than its class promises, or may be. */
  readonly stale: boolean;
  /** How sure the edge is of the value, from 0 to 1. */
  readonly confidence?: number;
}

/** Ages in milliseconds from which a value counts as aging, and as stale. */
export interface Thresholds {
  /** The age from which a value counts as aging. */
  readonly agingAfter?: number;
  /** The age from which a value counts as stale. */
  readonly staleAfter?: number;
}

const MARKS: readonly string[] = ['fresh', 'revalidating', 'stale'] satisfies Mark[];

/** Returns the mark of a word; an unknown one is taken for the worst. */
export function markOf(word: string): Mark {
  return MARKS.includes(word) ? (word as Mark) : 'stale';
}

/** Reads `Newsreel-Freshness`, and `Age` where the first has none; nothing where neither is there. */
export function ofHeaders(headers: Headers, now: number): Standing | undefined {
  const [word = '', ...parameters] = (headers.get('newsreel-freshness') ?? '').split(';').map((part) => part.trim());
  const age = parameters.find((part) => part.startsWith('age='))?.slice(4) ?? headers.get('age') ?? '';
  if (!/^\d+(\.\d+)?$/.test(age)) return undefined;
  return { updatedAt: now - Number(age) * 1000, mark: word === '' ? 'fresh' : markOf(word) };
}

/** Reads the freshness of an envelope. */
export function ofEnvelope({ last_updated: updatedAt, next_update: freshUntil, stale, confidence }: EnvelopeFreshness): Standing {
  const mark = !stale ? 'fresh' : confidence === 0 ? 'stale' : 'revalidating';
  return { updatedAt, mark, ...(freshUntil === undefined ? {} : { freshUntil }) };
}

/** Judges a value by the edge's mark, by its class's own time, and by thresholds where the page has some. */
export function levelOf({ updatedAt, mark, freshUntil }: Standing, { agingAfter, staleAfter }: Thresholds, now: number): Level {
  const age = now - updatedAt;
  if (mark === 'stale' || (staleAfter !== undefined && age >= staleAfter)) return 'stale';
  const isOld = agingAfter !== undefined ? age >= agingAfter : freshUntil !== undefined && now >= freshUntil;
  return mark === 'revalidating' || isOld ? 'aging' : 'fresh';
}

const UNITS: readonly (readonly [Intl.RelativeTimeFormatUnit, number])[] = [
  ['year', 31_536_000_000], ['month', 2_592_000_000], ['week', 604_800_000], ['day', 86_400_000], ['hour', 3_600_000], ['minute', 60_000], ['second', 1000],
];

/** Writes how long ago a moment was, in a language: "2 hours ago". A moment to come is the present: clocks differ. */
export function ago(updatedAt: number, now: number, language: string | undefined): string {
  const age = Math.max(0, now - updatedAt);
  const [unit, size] = UNITS.find(([, one]) => age >= one) ?? ['second', 1000];
  return new Intl.RelativeTimeFormat(language, { numeric: 'auto' }).format(-Math.floor(age / size), unit);
}

/** Returns after how long the words of {@link ago} change at the soonest. */
export function changesIn(updatedAt: number, now: number): number {
  const age = Math.max(0, now - updatedAt);
  const size = UNITS.find(([, one]) => age >= one)?.[1] ?? 1000;
  // A page need not count seconds.
  return Math.min(3_600_000, Math.max(5000, size - (age % size)));
}

/** Entries, which a fetcher may return in place of plain values, and an estimate of the size of values. */

/** The tags and times of a value. */
export interface EntryOptions {
  /** The tags of the value, e.g. `platform:netflix`: a change of any of them invalidates the value. None by default. */
  tags?: readonly string[];
  /** How long the value is fresh, in milliseconds from the start of its fetch. A value with 0 is not kept. The class's by default. */
  ttlMs?: number;
  /** How long after that the value may be served, marked as stale, in milliseconds. The class's by default. */
  staleForMs?: number;
  /** The size of the value in bytes. An estimate by default. */
  size?: number;
  /**
   * Whether there is a value. A key that is not found may come to carry any tag, so a change of any tag invalidates the
   * answer. By default `undefined` and `null` are not found.
   */
  found?: boolean;
}

/** A value with its tags and times. Made by {@link entry}. */
export class Entry<T> {
  /** The value, as the fetcher made it. */
  readonly value: T;
  /** @internal */
  readonly options: EntryOptions;

  /** @internal */
  constructor(value: T, options: EntryOptions) {
    this.value = value;
    this.options = options;
  }
}

/** Returns a value with its tags and times, for a fetcher to return. */
export function entry<T>(value: T, options: EntryOptions = {}): Entry<T> {
  return new Entry(value, options);
}

/** The most parts of a value that are measured; further parts are taken to be of the same size. */
const MOST_PARTS = 1_000;
/** The bytes of an object or an array beside its parts. */
const OBJECT_BYTES = 32;

/** Estimates how many bytes a value takes. */
export function sizeOf(value: unknown): number {
  const left: unknown[] = [value];
  const seen = new Set<object>();
  let bytes = 0;
  let parts = 0;
  while (left.length > 0 && parts < MOST_PARTS) {
    const part = left.pop();
    parts += 1;
    bytes += flatSize(part);
    if (typeof part !== 'object' || part === null || seen.has(part) || isFlat(part)) continue;
    seen.add(part);
    if (part instanceof Map) left.push(...take(part.entries()));
    else if (Array.isArray(part) || part instanceof Set) left.push(...take(part.values()));
    else for (const name in part) left.push(name, (part as Record<string, unknown>)[name]);
  }
  return parts < MOST_PARTS ? bytes : Math.round((bytes * (parts + left.length)) / parts);
}

function flatSize(part: unknown): number {
  if (typeof part === 'string') return OBJECT_BYTES / 2 + part.length * 2;
  if (typeof part !== 'object' || part === null) return 8;
  if (part instanceof ArrayBuffer || ArrayBuffer.isView(part)) return OBJECT_BYTES + part.byteLength;
  if (typeof Blob !== 'undefined' && part instanceof Blob) return OBJECT_BYTES + part.size;
  return OBJECT_BYTES;
}

function isFlat(part: object): boolean {
  return part instanceof ArrayBuffer || ArrayBuffer.isView(part) || (typeof Blob !== 'undefined' && part instanceof Blob);
}

/** Copies at most {@link MOST_PARTS} members: a spread of more would exceed the arguments that a call may have. */
function take(values: Iterable<unknown>): unknown[] {
  const taken: unknown[] = [];
  for (const value of values) {
    if (taken.push(value) >= MOST_PARTS) break;
  }
  return taken;
}

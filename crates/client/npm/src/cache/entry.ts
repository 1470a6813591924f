/** What a fetcher may return beside a value, and how much room a value takes. */

/** What is known of a value. */
export interface EntryOptions {
  /** Its surrogate keys, e.g. `platform:netflix`: a change of any of them ends it. None by default. */
  tags?: readonly string[];
  /** How long it is fresh, in milliseconds from the start of its fetch. 0: it is not kept. The class's by default. */
  ttlMs?: number;
  /** How long after that it may be served, marked, in milliseconds. The class's by default. */
  staleForMs?: number;
  /** How many bytes it takes. An estimate by default. */
  size?: number;
  /**
   * Whether there is a value. What is not found may come to carry any tag, so a change of any tag ends it. By default
   * `undefined` and `null` are not found.
   */
  found?: boolean;
}

/** A value and what is known of it. Made by {@link entry}. */
export class Entry<T> {
  /** The value. */
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

/** How many parts of a value are looked at: those of a larger one are taken to be like them. */
const MOST_PARTS = 1_000;
/** What an object or an array takes beside its parts. */
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

/** No array is spread that has more members than a call may have. */
function take(values: Iterable<unknown>): unknown[] {
  const taken: unknown[] = [];
  for (const value of values) {
    if (taken.push(value) >= MOST_PARTS) break;
  }
  return taken;
}

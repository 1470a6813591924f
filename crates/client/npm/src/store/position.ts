/** Where the position of what has been handled is kept, so that whoever comes back goes on from there. */

/** A place for one position: any object with these two functions. One feed writes to it, one write at a time. */
export interface PositionStore {
  /** Returns the position last written; nothing (or an empty text) if there is none. */
  read(): string | null | undefined | Promise<string | null | undefined>;
  /** Keeps the position. When this has settled, what led to it will not come again. */
  write(position: string): unknown;
}

/** Keeps the position in memory: for a second feed of the same process, and for tests. */
export function memoryPosition(position?: string): PositionStore {
  return { read: () => position, write: (next) => void (position = next) };
}

/** The part of `localStorage` (or `sessionStorage`) that is needed. */
export interface WebStorage {
  /** Returns what is kept under a key. */
  getItem(key: string): string | null;
  /** Keeps a text under a key. */
  setItem(key: string, value: string): void;
}

/**
 * Keeps the position in the browser's `localStorage` under a key of your choice, or in another storage like it.
 * Pages that are open together must each have a key of their own.
 */
export function localStoragePosition(key: string, storage?: WebStorage): PositionStore {
  // Looked at when it is used: in a page that may not store, even the look throws.
  const place = () => {
    const found = storage ?? (globalThis as { localStorage?: WebStorage }).localStorage;
    if (!found) throw new Error('there is no localStorage here');
    return found;
  };
  return { read: () => place().getItem(key), write: (position) => place().setItem(key, position) };
}

/** The part of a Durable Object's `ctx.storage` that is needed. */
export interface ObjectStorage {
  /** Returns what is kept under a key. */
  get(key: string): Promise<unknown>;
  /** Keeps a value under a key. */
  put(key: string, value: string): Promise<unknown>;
}

/**
 * Keeps the position in a Durable Object's storage: `durableObjectPosition(this.ctx.storage)`. What your handler
 * writes before it settles is durable no later than the position, since the object's writes keep their order.
 */
export function durableObjectPosition(storage: ObjectStorage, key = 'newsreel-position'): PositionStore {
  const read = async () => {
    const found = await storage.get(key);
    if (found !== undefined && typeof found !== 'string') throw new Error(`${key} is not a text`);
    return found;
  };
  return { read, write: (position) => storage.put(key, position) };
}

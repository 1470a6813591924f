/** Stores of a feed's position, from which the next feed goes on. */

/** A store of one position: any object with these two functions. One feed writes to a store, one write at a time. */
export interface PositionStore {
  /** Returns the position that was written last; nothing, or an empty text, if there is none. */
  read(): string | null | undefined | Promise<string | null | undefined>;
  /** Stores the position. Once this has settled, the events up to the position do not come again. */
  write(position: string): unknown;
}

/** Keeps the position in memory: for a second feed of the same process, and for tests. */
export function memoryPosition(position?: string): PositionStore {
  return { read: () => position, write: (next) => void (position = next) };
}

/** The part of `localStorage` (or `sessionStorage`) that this package uses. */
export interface WebStorage {
  /** Returns the value under a key. */
  getItem(key: string): string | null;
  /** Stores a text under a key. */
  setItem(key: string, value: string): void;
}

/**
 * Keeps the position in the browser's `localStorage` under a key of your choice, or in another storage like it.
 * Pages that are open together must each have a key of their own.
 */
export function localStoragePosition(key: string, storage?: WebStorage): PositionStore {
  // Evaluated at each use: in a page that may not store, even the access throws.
  const place = () => {
    const found = storage ?? (globalThis as { localStorage?: WebStorage }).localStorage;
    if (!found) throw new Error('there is no localStorage here');
    return found;
  };
  return { read: () => place().getItem(key), write: (position) => place().setItem(key, position) };
}

/** The part of a Durable Object's `ctx.storage` that this package uses. */
export interface ObjectStorage {
  /** Returns the value under a key. */
  get(key: string): Promise<unknown>;
  /** Stores a value under a key. */
  put(key: string, value: string): Promise<unknown>;
}

/**
 * Keeps the position in a Durable Object's storage: `durableObjectPosition(this.ctx.storage)`. Writes of your handler
 * are durable no later than the position, since the object's writes keep their order.
 */
export function durableObjectPosition(storage: ObjectStorage, key = 'newsreel-position'): PositionStore {
  const read = async () => {
    const found = await storage.get(key);
    if (found !== undefined && typeof found !== 'string') throw new Error(`${key} is not a text`);
    return found;
  };
  return { read, write: (position) => storage.put(key, position) };
}

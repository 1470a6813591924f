//! A map that holds at most so many bytes: the entry that was used longest ago goes first.

/** Keeps values with their sizes in bytes. */
export class Lru {
  #most;
  #bytes = 0;
  #kept = new Map();

  constructor(most) {
    this.#most = most;
  }

  get(key) {
    const kept = this.#kept.get(key);
    if (kept === undefined) return undefined;
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    return kept.value;
  }

  /** Keeps a value, unless it alone is larger than all that may be kept. */
  set(key, value, bytes) {
    this.delete(key);
    if (bytes > this.#most) return;
    this.#kept.set(key, { value, bytes });
    this.#bytes += bytes;
    while (this.#bytes > this.#most) this.delete(this.#kept.keys().next().value);
  }

  delete(key) {
    this.#bytes -= this.#kept.get(key)?.bytes ?? 0;
    this.#kept.delete(key);
  }
}

// The platform's stores as the race has them, on the race's clock. Every call is counted for the contender that makes it.

import { clock } from './clock.mjs';

/** The longest lag of a write to KV at another location. */
const KV_LAG_MS = 60_000;
/** How many purges a zone may have in how long. */
const PURGES = 5;
const PURGE_WINDOW_MS = 60_000;

/** Calls by kind: `kv`, `r2`, `object` (requests to Durable Objects), `purge`. */
export class Calls {
  counts = { kv: 0, r2: 0, object: 0, purge: 0 };

  async count(kind, call) {
    this.counts[kind] += 1;
    return call();
  }
}

/** Workers KV: a write is seen at its own location at once, and at every other after a lag of 0 to 60 s, drawn for each. */
export class Kv {
  #writes = new Map();

  constructor(calls, random) {
    Object.assign(this, { calls, random });
  }

  #write(location, name, bytes, metadata) {
    const writes = this.#writes.get(name) ?? [];
    writes.push({ location, seenElsewhere: clock.now + Math.floor(this.random() * KV_LAG_MS), bytes, metadata });
    this.#writes.set(name, writes);
  }

  /** The newest write that a location sees. A write that is seen hides all that came before it. */
  #seen(location, name) {
    const writes = this.#writes.get(name) ?? [];
    for (let at = writes.length - 1; at >= 0; at -= 1) {
      const write = writes[at];
      if (write.location === location || write.seenElsewhere <= clock.now) return write;
    }
    return undefined;
  }

  /** The namespace as a Worker at a location has it. */
  at(location) {
    const value = (name, type) => {
      const bytes = this.#seen(location, name)?.bytes;
      if (bytes === undefined) return null;
      if (type === 'stream') return new Response(bytes).body;
      if (type === 'arrayBuffer') return bytes.slice().buffer;
      const text = new TextDecoder().decode(bytes);
      return type === 'json' ? JSON.parse(text) : text;
    };
    const typeOf = (options) => (typeof options === 'string' ? options : (options?.type ?? 'text'));
    return {
      get: (name, options) =>
        this.calls.count('kv', async () =>
          Array.isArray(name) ? new Map(name.map((one) => [one, value(one, typeOf(options))])) : value(name, typeOf(options)),
        ),
      getWithMetadata: (name, options) =>
        this.calls.count('kv', async () => ({
          value: value(name, typeOf(options)), metadata: this.#seen(location, name)?.metadata ?? null, cacheStatus: null,
        })),
      put: (name, given, options) =>
        this.calls.count('kv', async () => {
          const bytes = new Uint8Array(await new Response(given).arrayBuffer());
          this.#write(location, name, bytes, options?.metadata);
        }),
      delete: (name) => this.calls.count('kv', async () => this.#write(location, name, undefined)),
      list: () => this.calls.count('kv', async () => ({ keys: [], list_complete: true })),
    };
  }
}

/** R2: strongly consistent. */
export class R2 {
  #objects = new Map();

  constructor(calls) {
    this.calls = calls;
  }

  get(name) {
    return this.calls.count('r2', async () => {
      const object = this.#objects.get(name);
      return object ? { uploaded: object.uploaded, json: async () => JSON.parse(object.text), text: async () => object.text } : null;
    });
  }

  put(name, text) {
    return this.calls.count('r2', async () => void this.#objects.set(name, { text, uploaded: new Date() }));
  }

  delete(name) {
    return this.calls.count('r2', async () => void this.#objects.delete(name));
  }
}

/**
 * The cache in front of a Worker, one at each location. A purge reaches all of them at once, which is kinder than the platform.
 * Five a minute are taken, as of a zone on the free plan, and a further one waits for its turn; each page has a zone of its own.
 */
export class Cdn {
  #kept = new Map();
  /** When each zone was purged lately. */
  #purged = new Map();

  constructor(calls) {
    this.calls = calls;
  }

  match(location, url) {
    return this.#kept.get(`${location} ${url}`)?.value;
  }

  put(location, url, value, tags) {
    this.#kept.set(`${location} ${url}`, { value, tags });
  }

  async purge({ tags }) {
    await this.calls.count('purge', async () => {
      const zone = tags.join();
      for (;;) {
        const lately = (this.#purged.get(zone) ?? []).filter((at) => at > clock.now - PURGE_WINDOW_MS);
        this.#purged.set(zone, lately);
        if (lately.length < PURGES) break;
        await clock.sleep(lately[0] + PURGE_WINDOW_MS - clock.now);
      }
      this.#purged.get(zone).push(clock.now);
      for (const [name, entry] of this.#kept) {
        if (entry.tags.some((tag) => tags.includes(tag))) this.#kept.delete(name);
      }
    });
  }
}

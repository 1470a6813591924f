//! The driver. An item is written to the driver below first and published then, so whoever hears of it finds it there.

import { publish } from './publish.js';

const POLICY = { ttlMs: 7 * 24 * 3_600_000, staleForMs: 0, lagBoundMs: 2_000, beyondBound: 'fetch' };
/** How many keys `watch` remembers, to say of a whole prefix that was cleared which items are gone. */
const MOST_SEEN = 100_000;

/** Returns the driver's factory on a client: `EdgeCache` and `connect` of the package `newsreel`. */
export function driverOn({ EdgeCache, connect }) {
  return (options) => {
    const { driver: below, timeoutMs = 5_000, class: name = 'storage' } = options;
    const keyOf = (item) => `${name}:${item}`;
    const listeners = new Set();
    const seen = new Set();
    let following;

    const follow = () => (following ??= open());
    async function open() {
      const { url, catalog, followToken: token, maxEntries, maxBytes } = options;
      const feed = await connect(url, { catalog, token, name: 'unstorage', onChanges: (events) => tell(events) });
      const cache = new EdgeCache({ feed, maxEntries, maxBytes, policy: { [name]: { ...POLICY, ...options.policy } } });
      return { feed, cache };
    }

    /** Tells the watchers; for a prefix or everything item by item, as unstorage knows no other way. */
    async function tell(events) {
      if (listeners.size === 0) return;
      for (const { changes } of events) for (const change of changes) await tellOf(change);
    }

    async function tellOf({ key, op, prefix, all }) {
      const say = (event, item) => listeners.forEach((listener) => listener(event, item));
      if (key?.startsWith(`${name}:`)) return say(op === 'remove' ? 'remove' : 'update', key.slice(name.length + 1));
      if (prefix === undefined && !all) return;
      const under = all || `${name}:`.startsWith(prefix) ? '' : prefix.slice(name.length + 1);
      const items = new Set((await below.getKeys('', {})).filter((item) => item.startsWith(under)));
      for (const item of items) say('update', item);
      for (const item of seen) {
        if (!item.startsWith(under) || items.has(item)) continue;
        seen.delete(item);
        say('remove', item);
      }
    }

    function see(item) {
      seen.delete(item);
      seen.add(item);
      if (seen.size > MOST_SEEN) seen.delete(seen.values().next().value);
    }

    /** Publishes what was written, and waits until this process has heard of it. */
    async function written(changes) {
      const { feed } = await follow();
      const position = await publish({ timeoutMs, ...options }, changes);
      await feed.waitFor(position, { timeoutMs });
    }

    return {
      name: 'newsreel',
      flags: below.flags,
      options,
      getInstance: () => follow().then(({ feed }) => feed),

      hasItem: (item, opts) => below.hasItem(item, opts),
      async getItem(item, opts) {
        see(item);
        const { cache } = await follow();
        return (await cache.get(keyOf(item), () => below.getItem(item, opts))) ?? null;
      },
      // Bytes are the caller's to change, so they are not shared.
      getItemRaw: below.getItemRaw && ((item, opts) => below.getItemRaw(item, opts)),
      getKeys: (base, opts) => below.getKeys(base, opts),
      getMeta: below.getMeta && ((item, opts) => below.getMeta(item, opts)),

      setItem: below.setItem && (async (item, value, opts) => {
        await below.setItem(item, value, opts);
        await written([{ key: keyOf(item) }]);
      }),
      setItems: below.setItem && (async (items, opts) => {
        if (below.setItems) await below.setItems(items, opts);
        else await Promise.all(items.map(({ key, value, options }) => below.setItem(key, value, { ...opts, ...options })));
        await written(items.map(({ key }) => ({ key: keyOf(key) })));
      }),
      setItemRaw: below.setItemRaw && (async (item, value, opts) => {
        await below.setItemRaw(item, value, opts);
        await written([{ key: keyOf(item) }]);
      }),
      removeItem: below.removeItem && (async (item, opts) => {
        await below.removeItem(item, opts);
        await written([{ key: keyOf(item), op: 'remove' }]);
      }),
      clear: below.clear && (async (base, opts) => {
        await below.clear(base, opts);
        await written([{ prefix: keyOf(base ?? '') }]);
      }),

      async watch(listener) {
        const { feed } = await follow();
        listeners.add(listener);
        await feed.live({ timeoutMs });
        return () => void listeners.delete(listener);
      },
      async dispose() {
        listeners.clear();
        const { feed, cache } = (await following) ?? {};
        cache?.dispose();
        await feed?.close();
        await below.dispose?.();
      },
    };
  };
}

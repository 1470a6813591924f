// OpenNext for Cloudflare: its cache adapter, over R2 or KV, with its tag cache in a Durable Object.

import { AsyncLocalStorage } from 'node:async_hooks';

import Cache from 'opennext-cache';
import kvCache from 'opennext-kv';
import r2Cache from 'opennext-r2';
import tagCacheOf from 'opennext-tags';

export { DOShardedTagCache } from 'opennext-tags-object';

const environment = new AsyncLocalStorage();
Object.defineProperty(globalThis, Symbol.for('__cloudflare-context__'), { get: () => environment.getStore()?.context });
globalThis.__openNextAls = { getStore: () => environment.getStore()?.request };
globalThis.openNextConfig = { dangerous: {}, default: { override: {} } };
globalThis.cdnInvalidationHandler = { invalidatePaths: async () => {} };
globalThis.nextVersion = '16.4.6';

const opennext = (title, incrementalCache) => ({ env, kv, r2 }) => {
  const [cache, tagCache] = [new Cache(), tagCacheOf({ baseShardSize: 12 })];
  /** Runs one request at a location; what it leaves behind is awaited, so that nothing is lost. */
  const request = async (location, run) => {
    const left = [];
    const requestCache = { getOrCreate: (name) => (maps[name] ??= new Map()) };
    const maps = {};
    const store = {
      context: { env: { ...env, NEXT_INC_CACHE_KV: kv.at(location), NEXT_INC_CACHE_R2_BUCKET: r2 }, ctx: { waitUntil: (promise) => left.push(promise) }, cf: {} },
      request: { requestId: 'race', requestCache, writtenTags: new Set(), pendingPromiseRunner: { add: (promise) => left.push(promise) } },
    };
    globalThis.incrementalCache = incrementalCache;
    globalThis.tagCache = tagCache;
    const result = await environment.run(store, run);
    await Promise.all(left);
    return result;
  };
  return {
    name: `OpenNext with ${title} and its Durable Object tag cache`,
    version: OPENNEXT_VERSION,
    read: ({ location, page, tag, render }) =>
      request(location, async () => {
        const options = { kind: 'FETCH', tags: [tag], softTags: [] };
        const kept = await cache.get(page, options);
        if (kept?.value && kept.lastModified !== 1) return { value: Number(kept.value.data.body) };
        const value = await render();
        const data = { headers: {}, body: String(value), url: '' };
        await cache.set(page, { kind: 'FETCH', data, revalidate: 3_600, tags: [tag] }, options);
        return { value };
      }),
    revalidate: ({ location, tag }) => request(location, () => cache.revalidateTag(tag)),
  };
};

export const opennextR2 = opennext('R2', r2Cache);
export const opennextKv = opennext('KV', kvCache);

// vinext with its KV data adapter.

import { KVCacheHandler } from 'vinext-kv-adapter';

import { SPEED } from '../clock.mjs';

/** How long the adapter believes the time of a tag that it has read: its default. */
const TAG_CACHE_MS = 5_000;

export const vinext = ({ kv, locations }) => {
  const make = (location) =>
    new KVCacheHandler(kv.at(location), { tagCacheTtlMs: TAG_CACHE_MS / SPEED });
  const handlers = Object.fromEntries(locations.map((location) => [location, make(location)]));
  return {
    name: 'vinext with its KV adapter',
    version: VINEXT_VERSION,
    async read({ location, page, tag, render }) {
      const kept = await handlers[location].get(page);
      if (kept?.value && kept.cacheState !== 'stale') return { value: Number(kept.value.data.body) };
      const value = await render();
      const data = { headers: {}, body: String(value), url: '' };
      await handlers[location].set(page, { kind: 'FETCH', data, revalidate: 3_600, tags: [tag] }, { tags: [tag] });
      return { value };
    },
    revalidate: ({ location, tag }) => handlers[location].revalidateTag(tag),
  };
};

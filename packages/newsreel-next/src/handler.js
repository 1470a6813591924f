//! The memory of `'use cache'`, which drops what any process revalidated. Knows nothing of Next but the handler's contract.

import { now } from './floors.js';
import { Lru } from './lru.js';

const BUILD_BYTES = 64 * 2 ** 20;

/** Returns a handler. `of` returns the follower, or nothing while Next builds; `revalidate` publishes by it. */
export function createHandler(of, revalidate) {
  const writing = new Map();
  let kept;
  const memory = () => (kept ??= new Lru(of()?.settings.maxBytes ?? BUILD_BYTES));

  return {
    async get(cacheKey, softTags) {
      await writing.get(cacheKey);
      const found = memory().get(cacheKey);
      if (found === undefined) return undefined;
      const { entry, bytes } = found;
      const judged = of() ? judge(of(), entry, softTags) : 'fresh';
      if (judged === 'hard' || now() > entry.timestamp + entry.expire * 1_000) return undefined;
      // A life that is over makes Next show the entry and make it anew behind that.
      return { ...entry, revalidate: judged === 'soft' ? -1 : entry.revalidate, value: new Blob([bytes]).stream() };
    },

    async set(cacheKey, pendingEntry) {
      const written = store(memory(), cacheKey, pendingEntry, of());
      const settled = written.catch(() => {});
      writing.set(cacheKey, settled);
      await settled;
      if (writing.get(cacheKey) === settled) writing.delete(cacheKey);
    },

    async refreshTags() {
      await of()?.prove();
    },

    /** Leaves soft tags to `get`, which knows what came since the request began. */
    async getExpiration() {
      return Infinity;
    },

    async updateTags(tags, durations) {
      if (of()) await revalidate(of(), tags, durations);
    },
  };
}

function judge(follower, entry, softTags) {
  return follower.isReliable ? follower.judge([...entry.tags, ...softTags], entry.timestamp) : 'hard';
}

/** Keeps an entry once its stream has ended; a stream that breaks is not kept. */
async function store(memory, cacheKey, pendingEntry, follower) {
  const { value, ...entry } = await pendingEntry;
  const bytes = new Uint8Array(await new Response(value).arrayBuffer());
  // An entry without a life is made anew at every read.
  if (entry.expire === 0 || follower?.isKept(entry.timestamp) === false) return;
  memory.set(cacheKey, { entry, bytes }, bytes.byteLength + cacheKey.length);
}

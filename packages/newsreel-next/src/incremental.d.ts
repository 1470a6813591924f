import type { CacheHandler } from 'next/dist/server/lib/incremental-cache/index.js';

/** The handler of pages, route handlers, `fetch` and `unstable_cache`, for `cacheHandler` of next.config. */
declare const NewsreelIncrementalCache: typeof CacheHandler;
export default NewsreelIncrementalCache;

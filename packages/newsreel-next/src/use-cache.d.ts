import type { CacheHandler } from 'next/dist/server/lib/cache-handlers/types.js';

/** The handler of `'use cache'`, for `cacheHandlers` of next.config. */
declare const handler: CacheHandler;
export default handler;

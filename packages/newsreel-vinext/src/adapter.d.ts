import type { CacheHandler } from 'vinext/shims/cache-handler';

import type { NewsreelDataAdapterOptions } from './index.js';

/** Makes the data cache of a Worker. vinext calls it with the Worker's environment. */
export default function adapter(given: { env: Record<string, unknown>; options?: NewsreelDataAdapterOptions }): CacheHandler;

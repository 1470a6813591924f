import type { CacheProviderFactory } from 'astro';

import type { NewsreelConfig } from './index.js';

/** The provider's factory, which Astro calls with the settings. */
declare const factory: CacheProviderFactory<NewsreelConfig>;
export default factory;

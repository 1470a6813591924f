import type { CacheProviderConfig } from 'astro';
import type { ReadPolicy } from 'newsreel/worker';

/** The settings of the provider. */
export interface NewsreelConfig {
  /** The name of the service binding. `NEWSREEL` by default. */
  binding?: string;
  /** The catalog, where the binding's props name none. */
  catalog?: string;
  /** What reads change of the policy of the class `page`. */
  policy?: ReadPolicy;
  /** Request headers by whose values pages differ: each value has an entry of its own. */
  vary?: string[];
}

/** Returns the cache provider, for `cache.provider` of astro.config. */
export declare function cacheNewsreel(config?: NewsreelConfig): CacheProviderConfig<NewsreelConfig>;

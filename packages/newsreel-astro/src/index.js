//! The provider as astro.config names it.

/** Returns the cache provider, for `cache.provider` of astro.config. */
export function cacheNewsreel(config = {}) {
  return { name: 'newsreel', entrypoint: 'newsreel-astro/provider', config };
}

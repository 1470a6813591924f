//! The provider: pages are read through Newsreel, and an invalidation is one publish.

import { collectInvalidationTags, pathTag } from 'astro/cache/provider-utils';
import * as workers from 'cloudflare:workers';
import { withNewsreel } from 'newsreel/worker';

import { isKept, marked, tagOf } from './pages.js';

const STORED = new Set([200, 203, 204, 301, 308]);

export default ({ binding: name = 'NEWSREEL', ...config } = {}) => {
  const binding = () => {
    // A site that is one Worker with Newsreel exports the entrypoint itself.
    const bound = workers.env[name] ?? workers.exports?.Newsreel;
    if (!bound) throw new Error(`newsreel-astro: the service ${name} is not bound`);
    return bound;
  };
  return {
    name: 'newsreel',

    async onRequest({ request, url, waitUntil = (promise) => void promise.catch(() => {}) }, next) {
      // Astro makes the page of the request that it has, and of a HEAD only the head.
      if (request.method !== 'GET') return next();
      const read = withNewsreel(
        async () => {
          const response = await next();
          return isKept(response) ? marked(response) : response;
        },
        { ...config, binding, tags: [await tagOf(pathTag(url.pathname))], store: (response) => STORED.has(response.status) && isKept(response) },
      );
      return read(request, workers.env, { waitUntil });
    },

    async invalidate(options) {
      const tags = await Promise.all(collectInvalidationTags(options).map(tagOf));
      if (tags.length > 0) await binding().purgeTags(tags, { catalog: config.catalog });
    },
  };
};

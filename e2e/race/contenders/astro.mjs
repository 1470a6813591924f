// Astro's Cloudflare cache provider: it names the tags, the platform's cache keeps the page, and `invalidate` purges.

import provider from 'astro-cloudflare-provider';

export const astro = ({ cdn }) => {
  globalThis.raceCdn = cdn;
  const cache = provider();
  const url = (page) => `https://site.example/${encodeURIComponent(page)}`;
  return {
    name: "Astro's Cloudflare cache provider",
    version: ASTRO_VERSION,
    async read({ location, page, tag, render }) {
      const kept = cdn.match(location, page);
      if (kept !== undefined) return { value: kept };
      const value = await render();
      const headers = cache.setHeaders({ maxAge: 3_600, tags: [tag] }, new Request(url(page)));
      cdn.put(location, page, value, headers.get('Cache-Tag').split(','));
      return { value };
    },
    revalidate: ({ tag }) => cache.invalidate({ tags: [tag] }),
  };
};

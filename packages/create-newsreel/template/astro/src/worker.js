// Your Worker: Astro's pages, PUT /title:1 that changes a title, and Newsreel's HTTP API below /v1/.

import astro from '@astrojs/cloudflare/entrypoints/server';
import newsreel from 'newsreel-worker';

export { Broker, Newsreel, Replica } from 'newsreel-worker';
export { Titles } from './titles.js';

const API = /^\/(v1\/|healthz$|readyz$)/;

export default {
  async fetch(request, env, context) {
    const { pathname } = new URL(request.url);
    if (API.test(pathname)) return newsreel.fetch(request, env, context);
    if (request.method === 'PUT') return change(request, env, context, decodeURIComponent(pathname.slice(1)));
    return astro.fetch(request, env, context);
  },
  scheduled: newsreel.scheduled,
};

/** First the change, then the publish: a page that is made after the publish has the new value. */
async function change(request, env, context, key) {
  if (!env.EDIT_TOKEN || request.headers.get('Authorization') !== `Bearer ${env.EDIT_TOKEN}`) {
    return Response.json({ error: 'the token is missing or wrong' }, { status: 401 });
  }
  await env.TITLES.getByName('all').put(key, await request.text());
  return Response.json(await context.exports.Newsreel.purgeTags([key], { waitMs: 5_000 }));
}

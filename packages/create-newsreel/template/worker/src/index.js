// Your Worker: GET /title:1 reads a title through Newsreel, PUT /title:1 changes it. Newsreel's HTTP API is below /v1/.

import newsreel from 'newsreel-worker';
import { read } from 'newsreel/worker';

export { Broker, Newsreel, Replica } from 'newsreel-worker';
export { Titles } from './titles.js';

const API = /^\/(v1\/|healthz$|readyz$)/;

export default {
  async fetch(request, env, context) {
    const { origin, pathname } = new URL(request.url);
    if (API.test(pathname)) return newsreel.fetch(request, env, context);
    const key = decodeURIComponent(pathname.slice(1));
    if (!key.includes(':')) return new Response(`Read ${origin}/title:1\n`, { status: key ? 404 : 200 });
    const titles = env.TITLES.getByName('all');
    if (request.method === 'PUT') return change(request, env, context, key, titles);
    // On a miss Newsreel calls the function, and keeps what it returns until a publish of the key. An edge is a location.
    const options = { colo: request.cf?.colo };
    const entry = await read(context.exports.Newsreel, context, key, () => titles.get(key), options);
    const headers = { Newsreel: `from=${entry.from}; ${entry.freshness}; age=${entry.ageMs}ms` };
    return Response.json(entry.value, { status: entry.found ? 200 : 404, headers });
  },
  scheduled: newsreel.scheduled,
};

/** First the change, then the publish: a read after the publish finds the new value in the origin. */
async function change(request, env, context, key, titles) {
  if (!env.EDIT_TOKEN || request.headers.get('Authorization') !== `Bearer ${env.EDIT_TOKEN}`) {
    return Response.json({ error: 'the token is missing or wrong' }, { status: 401 });
  }
  await titles.put(key, await request.text());
  return Response.json(await context.exports.Newsreel.publish({ key }, { waitMs: 5_000 }));
}

// Your Worker, in Hono: GET /title:1 is kept at the edge, PUT /title:1 changes it. Newsreel's HTTP API is below /v1/.

import { exports } from 'cloudflare:workers';
import { Hono } from 'hono';
import { bearerAuth } from 'hono/bearer-auth';
import { newsreel } from 'newsreel-hono';
import worker from 'newsreel-worker';

export { Broker, Newsreel, Replica } from 'newsreel-worker';
export { Titles } from './titles.js';

const app = new Hono();
const titles = (c) => c.env.TITLES.getByName('all');
const kept = newsreel(app, {
  // This Worker's own entrypoint; in another Worker leave it out and bind NEWSREEL.
  binding: () => exports.Newsreel,
  key: (c) => c.req.param('key'),
});
const edit = bearerAuth({ verifyToken: (token, c) => Boolean(c.env.EDIT_TOKEN) && token === c.env.EDIT_TOKEN });

for (const path of ['/v1/*', '/healthz', '/readyz']) app.all(path, (c) => worker.fetch(c.req.raw, c.env, c.executionCtx));

app.get('/', (c) => c.text(`Read ${new URL('/title:1', c.req.url)}\n`));

// The handler runs on a miss only. What it answers is kept until the key is published.
app.get('/:key{.+:.+}', kept, async (c) => {
  const title = await titles(c).get(c.req.param('key'));
  return title ? c.json(title) : c.notFound();
});

// First the change, then the publish: a read after the publish finds the new value in the origin.
app.put('/:key{.+:.+}', edit, async (c) => {
  const key = c.req.param('key');
  await titles(c).put(key, await c.req.text());
  return c.json(await exports.Newsreel.publish({ key }, { waitMs: 5_000 }));
});

export default { fetch: app.fetch, scheduled: worker.scheduled };

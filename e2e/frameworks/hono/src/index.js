import { Hono } from 'hono';
import { etag } from 'hono/etag';
import { newsreel } from 'newsreel-hono';

const app = new Hono();
const valueOf = async (c) => (await fetch(`${c.env.VALUES_URL}/${c.req.param('name')}`)).text();
const tags = (c) => [`value:${c.req.param('name')}`];

app.use(async (c, next) => {
  await next();
  c.header('x-before', 'seen');
});
app.onError((error, c) => c.text(`failed: ${error.message}`, 500));

app.get('/value/:name', newsreel(app, { tags }), async (c) => c.text(`value=${await valueOf(c)};`, 200, { 'x-route': 'seen' }));
app.post('/value/:name', newsreel(app, { tags }), async (c) => c.text(`posted ${await c.req.text()}`));
app.get('/etag/:name', newsreel(app, { tags }), etag(), async (c) => c.text(`value=${await valueOf(c)};`));
app.get('/keyed/:name', newsreel(app, { key: (c) => (c.req.query('fresh') ? null : `keyed:${c.req.param('name')}`) }), async (c) => c.text(`value=${await valueOf(c)};`));
app.get('/cookie/:name', newsreel(app, { tags }), async (c) => c.text(`value=${await valueOf(c)};`, 200, { 'set-cookie': 'a=b' }));
app.get('/throws', newsreel(app), () => {
  throw new Error('no such page');
});
app.post('/update/:name', async (c) => c.json(await c.env.NEWSREEL.purgeTags(tags(c), { soft: c.req.query('soft') !== undefined })));

export default app;

// A site of a test: its pages are what the test's origin says, read through `withNewsreel` of the built package.
// The first part of a path chooses how: /shadow, /language, /cookies, /broken, /away; everything else has no options.

import { withNewsreel } from '../target/client/package/dist/worker.js';

const reports = [];
/** A cache as the site had it: it keeps a page for ever. */
const old = new Map();

async function page(request, env) {
  const { pathname } = new URL(request.url);
  if (pathname.startsWith('/throws')) throw new RangeError('no such page');
  const response = await fetch(`${env.ORIGIN}/tv/${encodeURIComponent(`page:${pathname}`)}`);
  return new Response(response.body, response);
}

async function oldPage(request, env) {
  const { pathname } = new URL(request.url);
  if (request.headers.get('x-old') !== 'cache') return page(request, env);
  if (!old.has(pathname)) old.set(pathname, await (await page(request, env)).text());
  return new Response(old.get(pathname));
}

const away = { read: async () => { throw Object.assign(new Error('internal: it is away'), { name: 'NewsreelError' }); } };

const HANDLERS = {
  shadow: withNewsreel({ fetch: oldPage }, { shadow: { fresh: page, report: (report) => reports.push(report) } }),
  language: withNewsreel(page, { vary: ['Accept-Language'] }),
  cookies: withNewsreel(page, { store: () => true, key: ({ url }) => `page:${new URL(url).pathname}`, tags: ({ url }) => [`path:${new URL(url).pathname}`] }),
  away: withNewsreel(page, { binding: () => away }),
  short: withNewsreel(page, { policy: { ttl_ms: 1, stale_for_ms: 60_000 } }),
};

const usual = withNewsreel({ fetch: page, scheduled: () => 'kept' });

export default {
  async fetch(request, env, context) {
    const { pathname } = new URL(request.url);
    if (pathname === '/reports') return Response.json(reports);
    if (pathname === '/call') {
      const { call, args } = await request.json();
      return Response.json({ result: await env.NEWSREEL[call](...args) });
    }
    const handler = HANDLERS[pathname.split('/')[1]] ?? usual;
    try {
      return await (handler.fetch ?? handler)(request, env, context);
    } catch ({ name, message }) {
      return new Response(`${name}: ${message}`, { status: 599 });
    }
  },
};

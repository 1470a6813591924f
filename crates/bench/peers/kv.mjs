// A Worker that reads KV on each request, as one does without a cache of one's own.

export default {
  async fetch(request, env) {
    const value = await env.ENTRIES.get(new URL(request.url).pathname, 'stream');
    if (value === null) return new Response(null, { status: 404 });
    return new Response(value, { headers: { 'content-type': 'application/json' } });
  },
};

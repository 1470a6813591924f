// A Worker in front of an origin that keeps answers in the Cache API for a minute.

export default {
  async fetch(request, env, ctx) {
    const cached = await caches.default.match(request);
    if (cached) return cached;
    const answer = await fetch(env.ORIGIN_URL + new URL(request.url).pathname);
    const kept = new Response(answer.body, answer);
    kept.headers.set('cache-control', 'public, max-age=60');
    ctx.waitUntil(caches.default.put(request, kept.clone()));
    return kept;
  },
};

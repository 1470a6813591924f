export async function POST({ cache, params, url }) {
  const path = url.searchParams.get('path');
  await cache.invalidate(path ? { path } : { tags: [`value:${params.name}`] });
  return Response.json({ done: true });
}

import { expireTags } from 'newsreel-next/server';

export async function POST(request) {
  const { tag } = await request.json();
  await expireTags(tag);
  return Response.json({ done: true });
}

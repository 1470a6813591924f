import { revalidatePath, revalidateTag } from 'next/cache';

export async function POST(request) {
  const { tag, path, profile } = await request.json();
  if (path) await revalidatePath(path);
  else await revalidateTag(tag, profile);
  return Response.json({ done: true });
}

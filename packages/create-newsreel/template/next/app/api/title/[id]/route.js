import { expireTags } from 'newsreel-next/server';

import { putTitle } from '../../../titles.js';

/** Changes a title. First the change, then the publish: whoever reads after the answer, in any process, finds the new title. */
export async function PUT(request, { params }) {
  if (!process.env.EDIT_TOKEN || request.headers.get('Authorization') !== `Bearer ${process.env.EDIT_TOKEN}`) {
    return Response.json({ error: 'the token is missing or wrong' }, { status: 401 });
  }
  const key = `title:${(await params).id}`;
  await putTitle(key, await request.text());
  await expireTags(key);
  return Response.json({ published: key });
}

import { cacheLife, cacheTag } from 'next/cache';

export const dynamic = 'force-dynamic';

async function valueOf(name) {
  'use cache';
  cacheLife('max');
  cacheTag(`value:${name}`);
  const answer = await fetch(`${process.env.VALUES_URL}/${name}`);
  return answer.text();
}

/** A page that is rendered for each request, from a cached function. */
export default async function Page({ params }) {
  const { name } = await params;
  return <main>value={await valueOf(name)};</main>;
}

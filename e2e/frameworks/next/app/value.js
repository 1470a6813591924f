import { cacheLife, cacheTag } from 'next/cache';

/** The value that the test's server has, for ever, until its tag is revalidated. */
export async function valueOf(name) {
  'use cache';
  cacheLife('max');
  cacheTag(`value:${name}`);
  const answer = await fetch(`${process.env.VALUES_URL}/${name}`);
  return answer.text();
}

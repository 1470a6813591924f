import { env } from 'cloudflare:workers';

export const revalidate = 3_600;

/** A page that is kept whole, with the tag of its fetch. */
export default async function Page({ params }) {
  const { name } = await params;
  const answer = await fetch(`${env.VALUES_URL}/${name}`, { next: { tags: [`value:${name}`], revalidate: 3_600 } });
  return <main>value={await answer.text()};</main>;
}

import { env } from 'cloudflare:workers';

export const dynamic = 'force-dynamic';

/** A page that is rendered for each request, from a fetch with a tag. */
export default async function Page({ params }) {
  const { name } = await params;
  const answer = await fetch(`${env.VALUES_URL}/${name}`, { next: { tags: [`value:${name}`], revalidate: 3_600 } });
  return <main>value={await answer.text()};</main>;
}

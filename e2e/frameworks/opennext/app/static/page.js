/** A page that Next renders once and keeps, from a fetch with a tag. */
export default async function Page() {
  const answer = await fetch(`${process.env.VALUES_URL}/static`, { cache: 'force-cache', next: { tags: ['value:static'] } });
  return <main>value={await answer.text()};</main>;
}

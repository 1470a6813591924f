import { Suspense } from 'react';

import { valueOf } from '../../value.js';

async function Value({ params }) {
  const { name } = await params;
  return <main>value={await valueOf(name)};</main>;
}

/** A page that is rendered for each request, of a cached value. */
export default function Page({ params }) {
  return <Suspense fallback="…"><Value params={params} /></Suspense>;
}

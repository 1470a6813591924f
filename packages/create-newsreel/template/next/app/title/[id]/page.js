import { Suspense } from 'react';

import { titleOf } from '../../titles.js';

async function Title({ params }) {
  const { id } = await params;
  const { title, readAt } = await titleOf(`title:${id}`);
  return <main>{`${title ?? 'There is no such title'} (read at ${readAt})`}</main>;
}

export default function Page({ params }) {
  return (
    <Suspense fallback="…">
      <Title params={params} />
    </Suspense>
  );
}

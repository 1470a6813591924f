import { updateTag } from 'next/cache';

async function update(form) {
  'use server';
  updateTag(form.get('tag'));
}

/** A form whose server action calls `updateTag`. */
export default function Page() {
  return <form action={update}><input name="tag" /><button>update</button></form>;
}

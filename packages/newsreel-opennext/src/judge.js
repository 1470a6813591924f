//! What Newsreel says of an entry that a request has read.

import { binding, request } from './request.js';
import { tagOf } from './tags.js';

/** Says what changed since an entry was made; `hard` of an entry that this request has not read. */
export async function judge(tags, lastModified) {
  const { entries, judged } = request();
  const lease = entries.get(lastModified);
  if (lease === undefined) return 'hard';
  const names = [...new Set(tags.map(tagOf))].sort();
  const question = JSON.stringify([lease, names]);
  if (!judged.has(question)) judged.set(question, binding().judge(lease, names));
  return judged.get(question);
}

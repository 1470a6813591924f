//! Next revalidates each tag several times: once a handler, and for a server action again after the page is rendered.
//! This module publishes each once.

import storage from 'next/dist/server/app-render/work-async-storage.external.js';

/** Of each request's store, the publish of each tag, and the moment of the revalidation that it stands for. */
const published = new WeakMap();

/** Publishes that tags changed, unless this request has published the same revalidation already; resolves when all are published. */
export async function revalidate(follower, tags, durations) {
  const store = storage.workAsyncStorage.getStore();
  if (!store) return follower.update(tags, durations);
  if (!published.has(store)) published.set(store, new Map());
  const known = published.get(store);
  const nameOf = (tag) => `${JSON.stringify(durations)} ${tag}`;
  const moments = new Map(tags.map((tag) => [tag, momentOf(store, tag)]));
  const fresh = tags.filter((tag) => !(known.get(nameOf(tag))?.at >= moments.get(tag)));
  if (fresh.length > 0) {
    const promise = follower.update(fresh, durations);
    for (const tag of fresh) known.set(nameOf(tag), { at: moments.get(tag), promise });
  }
  await Promise.all(tags.map((tag) => known.get(nameOf(tag))?.promise));
}

function momentOf({ pendingRevalidatedTags = [] }, tag) {
  return Math.max(0, ...pendingRevalidatedTags.filter((item) => item.tag === tag).map((item) => item.revalidatedAt));
}

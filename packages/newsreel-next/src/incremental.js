//! The handler of pages, of route handlers, of `fetch` and of `unstable_cache`, for `cacheHandler` of next.config.
//!
//! Next's own cache keeps the entries, in the memory of the process; what the build rendered comes from its files. This
//! class decides which of them may be served. An entry counts from when its request asked for it, not from when it was
//! stored: a render that a change overtook is not served. Next makes one handler for each request.

import fileSystemCache from 'next/dist/server/lib/incremental-cache/file-system-cache.js';
import manifest from 'next/dist/server/lib/incremental-cache/tags-manifest.external.js';

import { now } from './floors.js';
import { follower } from './follower.js';
import { revalidate } from './revalidate.js';

const FileSystemCache = fileSystemCache.default;
const { tagsManifest } = manifest;
const TAGS_HEADER = 'x-next-cache-tags';

/** Next's cache of files and memory, with the floors of the follower. */
export default class NewsreelIncrementalCache extends FileSystemCache {
  #follower = follower();
  #created = now();
  #began = new Map();

  constructor(context) {
    // Another process may write the same files, and would not say from before which changes they are.
    super({ ...context, flushToDisk: follower() ? false : context.flushToDisk });
  }

  async get(key, context) {
    if (!this.#follower) return super.get(key, context);
    await this.#follower.prove();
    if (!this.#began.has(key)) this.#began.set(key, now());
    if (!this.#follower.isReliable) return null;
    const found = await super.get(key, context);
    if (!found) return found;
    const tags = tagsOf(found.value, context);
    const judged = this.#follower.judge(tags, found.lastModified);
    if (judged === 'hard') return null;
    if (judged === 'soft') this.#soften(tags, found.lastModified);
    return found;
  }

  async set(key, data, context) {
    const began = this.#began.get(key) ?? this.#created;
    if (this.#follower?.isKept(began) === false) return;
    const written = super.set(key, data, context);
    if (this.#follower) {
      // Set a moment ago, with the moment of its writing.
      const kept = FileSystemCache.memoryCache?.get(key);
      if (kept?.value === data) kept.lastModified = began;
    }
    await written;
  }

  async revalidateTag(tags, durations) {
    const all = [tags].flat();
    if (this.#follower) await revalidate(this.#follower, all, durations);
    else await super.revalidateTag(all, durations);
  }

  /** Tells Next, which asks its own list of tags whether a page is to be rendered anew behind the answer. */
  #soften(tags, began) {
    for (const tag of tags) {
      if (this.#follower.judge([tag], began) === 'soft') tagsManifest.set(tag, { ...tagsManifest.get(tag), stale: now() });
    }
  }
}

function tagsOf(value, { tags = [], softTags = [] }) {
  const header = value?.headers?.[TAGS_HEADER];
  const own = typeof header === 'string' ? header.split(',') : (value?.tags ?? []);
  return [...own, ...tags, ...softTags];
}

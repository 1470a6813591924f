//! The tag cache: no store of its own, but the log. What changed since an entry's lease is asked of Newsreel; a revalidation is
//! one publish.

import { judge } from './judge.js';
import { binding, request } from './request.js';
import { tagOf } from './tags.js';

class NewsreelTagCache {
  mode = 'nextMode';
  name = 'newsreel-tag-cache';

  /**
   * Returns a moment before which entries of this request may not be used. OpenNext asks for the tags of the page, which no
   * entry carries, and compares the moment with the clock of whoever made an entry. Here the entries are judged by their
   * leases: those that were read, and by `incremental-cache` those that this request reads later.
   */
  async getLastRevalidated(tags) {
    const { entries, page } = request();
    for (const tag of tags) page.add(tag);
    const judged = await Promise.all([...entries.keys()].map((moment) => judge(tags, moment)));
    return judged.includes('hard') ? Date.now() : 0;
  }

  async hasBeenRevalidated(tags, lastModified) {
    const judged = await judge(tags, lastModified);
    return judged === 'hard' || (judged === 'soft' && request().eternal.has(lastModified));
  }

  async isStale(tags, lastModified) {
    return (await judge(tags, lastModified)) === 'soft';
  }

  async writeTags(tags) {
    if (tags.length === 0) return;
    const now = Date.now();
    const changes = tags.map((one) => {
      if (typeof one === 'string') return { tag: tagOf(one) };
      const isSoft = one.stale !== undefined && !(one.expire <= now);
      return isSoft ? { tag: tagOf(one.tag), soft: true } : { tag: tagOf(one.tag) };
    });
    await binding().publish(changes);
    // What this request reads from here on is judged anew.
    request().judged.clear();
  }
}

export default new NewsreelTagCache();

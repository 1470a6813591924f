//! What one request remembers: its stamp, the leases that its reads were given, and those of the entries that it read.

import { getCloudflareContext } from '@opennextjs/cloudflare';

const NAME = 'newsreel';

/** Returns the binding `NEWSREEL`. */
export function binding() {
  const { NEWSREEL } = getCloudflareContext().env;
  if (!NEWSREEL) throw new Error('newsreel-opennext: the service NEWSREEL is not bound');
  return NEWSREEL;
}

/** Returns this request's memory; a new one where OpenNext has none, so that nothing is shared between requests. */
export function request() {
  const memory = globalThis.__openNextAls?.getStore()?.requestCache.getOrCreate(NAME) ?? new Map();
  if (!memory.has('leases')) memory.set('leases', new Map()).set('entries', new Map()).set('judged', new Map()).set('page', new Set()).set('eternal', new Set());
  return {
    /** The leases of keys that had no entry. */
    leases: memory.get('leases'),
    /** Of each entry that was read its lease, by the moment that OpenNext knows the entry by. */
    entries: memory.get('entries'),
    /** The moments of entries that Next takes for fresh at any age, so that it never makes them anew behind an answer. */
    eternal: memory.get('eternal'),
    /** The tags of the page that is rendered, once they are known. */
    page: memory.get('page'),
    /** What was judged already. */
    judged: memory.get('judged'),
    /** Takes the request's stamp, once: before anything is fetched that may be stored. */
    stamp() {
      if (!memory.has('stamp')) memory.set('stamp', binding().stamp());
      return memory.get('stamp');
    },
    /** Returns the stamp if it was taken; a value that was fetched without one is not stored. */
    stamped: () => memory.get('stamp'),
    /** Returns the moment by which OpenNext knows an entry: of two entries of a millisecond the second is a little later. */
    remember(lease, at) {
      const { entries } = this;
      let moment = at;
      while (entries.has(moment) && entries.get(moment) !== lease) moment += 0.001;
      entries.set(moment, lease);
      return moment;
    },
  };
}

//! The incremental cache: pages, fetches and `'use cache'` as entries of Newsreel, in its KV, R2 and memory.
//!
//! An entry is stored under the position of the log from before its making began. A change of one of its tags meanwhile, and
//! it is not stored.

import { createHash } from 'node:crypto';

import { judge } from './judge.js';
import { binding, request } from './request.js';
import { tagOf } from './tags.js';

const TAGS_HEADER = 'x-next-cache-tags';
const A_YEAR_S = 31_536_000;

/** Every read asks the log, so that no answer is older than a revalidation that has returned. Next keeps the times. */
const STRICT = { lag_bound_ms: 0, beyond_bound: 'fail' };

class NewsreelIncrementalCache {
  name = 'newsreel-incremental-cache';

  async get(key, type = 'cache') {
    try {
      return await read(keyOf(key, type), type);
    } catch (error) {
      // Without Newsreel every page is rendered, and none is old.
      console.error(`newsreel-opennext: ${key} was not read:`, error);
      return null;
    }
  }

  async set(key, value, type = 'cache') {
    const name = keyOf(key, type);
    const { leases, stamped } = request();
    const lease = leases.get(name) ?? (await stamped());
    if (lease === undefined) return;
    leases.delete(name);
    const at = Date.now();
    // OpenNext takes the tags out of a value that it has read, so they are in the value, too.
    await binding().put(name, lease, { lease, at, value }, { tags: [...new Set(tagsOf(value).map(tagOf))], policy: STRICT });
  }

  async delete(key) {
    await binding().publish({ key: keyOf(key, 'cache') });
  }
}

async function read(name, type) {
  const memory = request();
  const [answer] = await Promise.all([binding().begin(name, { type: 'json', policy: STRICT }), memory.stamp()]);
  if ('lease' in answer) {
    memory.leases.set(name, answer.lease);
    return null;
  }
  const { found, value, freshness } = answer.entry;
  if (!found || freshness === 'stale') return null;
  const lastModified = memory.remember(value.lease, value.at);
  // OpenNext calls an entry old by giving it a moment near 1970. Next stores "for ever" as a year, and takes no age for too old then.
  if (type === 'fetch' && value.value.revalidate >= A_YEAR_S) memory.eternal.add(lastModified);
  const isOld = type === 'composable' && memory.page.size > 0 && (await judge([...memory.page], lastModified)) === 'hard';
  return isOld ? null : { value: value.value, lastModified };
}

/** Returns the key of an entry: of one build, and of any length. */
function keyOf(key, type) {
  const hash = createHash('sha256').update(key).digest('hex');
  return `next:${process.env.OPEN_NEXT_BUILD_ID ?? 'no-build-id'}/${type}/${hash}`;
}

function tagsOf(value) {
  const header = value?.meta?.headers?.[TAGS_HEADER];
  return [...(value?.tags ?? []), ...(value?.data?.tags ?? []), ...(typeof header === 'string' ? header.split(',') : [])];
}

export default new NewsreelIncrementalCache();

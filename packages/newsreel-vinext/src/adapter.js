//! The adapter as vinext loads it in the Worker: its values as entries of Newsreel, in its KV, R2 and memory.
//!
//! A value is stored under the position of the log from before it was made: what vinext asks for and does not find, or finds
//! too old, it makes anew and sets. A change of a tag meanwhile, and the value is not stored.

import { createHash } from 'node:crypto';

import { getRequestExecutionContext } from 'vinext/shims/request-context';

import { packed, unpacked } from './bytes.js';
import { tagOf } from './tags.js';

/** Every read asks the log, so that no answer is older than a revalidation that has returned. vinext keeps the times. */
const STRICT = { lag_bound_ms: 0, beyond_bound: 'fail' };

export default function adapter({ env, options = {} }) {
  const name = options.binding ?? 'NEWSREEL';
  const binding = env?.[name];
  if (!binding) {
    throw new Error(
      `newsreel-vinext: the service ${name} is not bound. Write into the site's wrangler.jsonc:\n` +
        `  "services": [{ "binding": "${name}", "service": "newsreel", "entrypoint": "Newsreel", "props": { "catalog": "tv" } }]`,
    );
  }
  return new NewsreelDataCache(binding, options.catalog === undefined ? {} : { catalog: options.catalog });
}

class NewsreelDataCache {
  #binding;
  #call;
  /** Of each request the leases of what it may make: of keys that had no value, or an old one. */
  #leases = new WeakMap();

  constructor(binding, call) {
    this.#binding = binding;
    this.#call = call;
  }

  async get(key, context) {
    try {
      return await this.#read(key, context);
    } catch (error) {
      // Without Newsreel everything is made anew, and nothing is old.
      console.error(`newsreel-vinext: ${key} was not read:`, error);
      return null;
    }
  }

  async #read(key, context) {
    const name = keyOf(key);
    const answer = await this.#binding.begin(name, { ...this.#call, type: 'json', policy: STRICT });
    if ('lease' in answer) {
      this.#remember(key, answer.lease);
      return null;
    }
    const { found, value: kept, freshness } = answer.entry;
    if (!found) {
      this.#remember(key, await this.#binding.stamp(this.#call));
      return null;
    }
    const soft = tagsOf(context?.softTags);
    const verdict = soft.length > 0 ? await this.#binding.judge(kept.lease, soft, this.#call) : 'fresh';
    const now = Date.now();
    const isOver = kept.expireAt !== null && now > kept.expireAt;
    const revalidate = context?.revalidate > 0 ? kept.lastModified + context.revalidate * 1_000 : Infinity;
    const isOld = freshness !== 'fresh' || verdict === 'soft' || now > Math.min(kept.revalidateAt ?? Infinity, revalidate);
    // What vinext makes anew after this is stamped with a moment from before it.
    if (isOld || isOver || verdict === 'hard') this.#remember(key, await this.#binding.stamp(this.#call));
    if (isOver || verdict === 'hard') return null;
    const { lastModified, cacheControl } = kept;
    return { lastModified, value: unpacked(kept.value), cacheControl, ...(isOld && { cacheState: 'stale' }) };
  }

  async set(key, value, context = {}) {
    const revalidate = value?.revalidate ?? context.revalidate ?? context.cacheControl?.revalidate;
    const lease = this.#take(key);
    // Nobody asked for it before it was made, so how old it is cannot be told.
    if (revalidate === 0 || lease === undefined) return;
    const expire = context.expire ?? context.cacheControl?.expire;
    const now = Date.now();
    const after = (seconds) => (typeof seconds === 'number' && seconds > 0 ? now + seconds * 1_000 : null);
    const kept = {
      lease,
      lastModified: now,
      revalidateAt: after(revalidate),
      expireAt: after(expire),
      ...(context.cacheControl && { cacheControl: context.cacheControl }),
      value: packed(value),
    };
    const tags = tagsOf([...(value?.tags ?? []), ...(context.tags ?? [])]);
    await this.#binding.put(keyOf(key), lease, kept, { ...this.#call, tags, policy: STRICT });
  }

  /** One publish: hard, or soft where Next means that the old value may be shown while it is made anew. */
  async revalidateTag(tags, durations) {
    const names = tagsOf([tags].flat());
    if (names.length === 0) return;
    await this.#binding.purgeTags(names, { ...this.#call, ...(durations?.expire > 0 && { soft: true }) });
  }

  #remember(key, lease) {
    const context = getRequestExecutionContext();
    if (!context) return;
    if (!this.#leases.has(context)) this.#leases.set(context, new Map());
    this.#leases.get(context).set(key, lease);
  }

  #take(key) {
    const leases = this.#leases.get(getRequestExecutionContext() ?? this);
    const lease = leases?.get(key);
    leases?.delete(key);
    return lease;
  }
}

/** Returns the key of an entry, of any length: vinext's keys are paths and arguments. */
const keyOf = (key) => `vinext:${createHash('sha256').update(key).digest('hex')}`;

const tagsOf = (tags) => [...new Set((Array.isArray(tags) ? tags : []).filter((tag) => typeof tag === 'string' && tag !== '').map(tagOf))];

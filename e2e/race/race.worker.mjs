// The Worker of the race: every contender in one workerd, on one clock. `POST /` plays seeds against one of them.

import { astro, opennextKv, opennextR2, vinext } from 'race-peers';

import { cdnPurge } from './contenders/cdn.mjs';
import { newsreelAsks } from './contenders/newsreel.mjs';
import { plainKv } from './contenders/plain-kv.mjs';
import { add, LOCATIONS, play, randomOf } from './interleaving.mjs';
import { Calls, Cdn, Kv, R2 } from './stores.mjs';

export { Broker, Replica } from 'newsreel-a';
export { DOShardedTagCache } from 'race-peers';

const CONTENDERS = { newsreelAsks, opennextR2, opennextKv, vinext, astro, cdnPurge, plainKv };

export default {
  async fetch(request, env, context) {
    const present = Object.keys(CONTENDERS).filter((name) => CONTENDERS[name]);
    if (request.method === 'GET') return Response.json(present);
    const { contender: wanted, from, count } = await request.json();
    const calls = new Calls();
    const stores = { calls, kv: new Kv(calls, randomOf(from)), r2: new R2(calls), cdn: new Cdn(calls) };
    const counted = { ...env, NEXT_TAG_CACHE_DO_SHARDED: tagObjects(env.TAG_CACHE, calls) };
    const contender = CONTENDERS[wanted]({ ...stores, env: counted, context, locations: LOCATIONS });
    const sums = {};
    const seeds = Array.from({ length: count }, (_, at) => from + at);
    for (const told of await Promise.all(seeds.map((seed) => play(contender, seed)))) add(sums, told);
    return Response.json({ name: contender.name, version: contender.version, interleavings: count, ...sums, calls: calls.counts });
  },
};

/** OpenNext's tag objects, whose calls are counted. */
const tagObjects = (namespace, calls) =>
  new Proxy(namespace, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (name !== 'get') return typeof value === 'function' ? value.bind(target) : value;
      return (id, options) => {
        const stub = target.get(id, options);
        return new Proxy(stub, {
          get: (one, method) => (...words) => calls.count('object', () => one[method](...words)),
        });
      };
    },
  });

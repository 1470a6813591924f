// Newsreel: the deployed Worker's own entrypoint, an instance of the wasm at each location.

import * as a from 'newsreel-a';
import * as b from 'newsreel-b';

const INSTANCES = { a, b };

/** The objects' namespaces, whose requests are counted. */
const counted = (namespace, calls) =>
  new Proxy(namespace, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (name !== 'getByName') return name !== 'constructor' && typeof value === 'function' ? value.bind(target) : value;
      return (...words) => {
        const stub = target.getByName(...words);
        const fetch = (...request) => calls.count('object', () => stub.fetch(...request));
        return new Proxy(stub, { get: (one, what) => (what === 'fetch' ? fetch : Reflect.get(one, what, one)) });
      };
    },
  });

/** A namespace of KV in the form of the real binding. */
const lagging = (binding, kv) => new Proxy(binding, { get: (target, name) => kv[name] ?? Reflect.get(target, name, target) });

const newsreel = (title, boundMs) => ({ env, kv, calls, context }) => {
  const entrypoints = Object.fromEntries(
    Object.entries(INSTANCES).map(([location, { Newsreel }]) => {
      const own = {
        ...env,
        EDGE: location,
        POLICY: JSON.stringify({ page: { lag_bound_ms: boundMs, beyond_bound: 'fail' } }),
        ENTRIES: lagging(env.ENTRIES, kv.at(location)),
        BROKER: counted(env.BROKER, calls),
        REPLICA: counted(env.REPLICA, calls),
      };
      return [location, new Newsreel({ waitUntil: (promise) => context.waitUntil(promise), props: { catalog: 'race' } }, own)];
    }),
  );
  return {
    name: `Newsreel, ${title}`,
    version: NEWSREEL_VERSION,
    async read({ location, page, tag, render }) {
      const entry = await entrypoints[location].read(page, async () => ({ value: await render() }), { tags: [tag] });
      return { value: entry.value.value, marked: entry.freshness !== 'fresh' };
    },
    revalidate: ({ location, tag }) => entrypoints[location].purgeTags([tag]),
  };
};

export const newsreelAsks = newsreel('asking before every answer', 0);

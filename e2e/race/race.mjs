// Starts the race's Worker and plays seeds against its contenders.

import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from 'miniflare';

import { add } from './interleaving.mjs';
import { bundle, fetchPackages } from './packages.mjs';

/** Starts it, with the peers' packages or with the platform's own stores alone. The caller disposes of what is returned. */
export async function startRace({ peers = true } = {}) {
  if (peers) fetchPackages();
  const options = {
    name: 'race',
    modules: await bundle(peers),
    compatibilityDate: '2026-07-30',
    compatibilityFlags: ['nodejs_compat'],
    durableObjects: {
      BROKER: { className: 'Broker', useSQLite: true },
      REPLICA: { className: 'Replica', useSQLite: true },
      TAG_CACHE: { className: 'DOShardedTagCache', useSQLite: true },
    },
    kvNamespaces: ['ENTRIES'],
    bindings: { CATALOGS: 'race', ADMIN_TOKENS: 'race=race' },
    cf: false,
    log: new Log(LogLevel.ERROR),
  };
  const miniflare = new Miniflare(convertV4MiniflareOptions(options));
  const url = await miniflare.ready;
  return { url, dispose: () => miniflare.dispose() };
}

/** Returns the contenders, by the names that `run` takes. */
export const contenders = async ({ url }) => (await fetch(url)).json();

/** Plays `count` seeds from `from` on against a contender, some at a time; returns the sums. */
export async function run({ url }, contender, { from, count, atOnce = 20, watch = () => {} }) {
  const [sums, calls] = [{}, {}];
  let contenderIs = {};
  for (let done = 0; done < count; done += atOnce) {
    const body = JSON.stringify({ contender, from: from + done, count: Math.min(atOnce, count - done) });
    const response = await fetch(url, { method: 'POST', body });
    if (!response.ok) throw new Error(`${contender}: ${response.status} ${await response.text()}`);
    const { name, version, calls: made, ...told } = await response.json();
    contenderIs = { name, version };
    add(calls, made);
    add(sums, told);
    watch(sums.interleavings);
  }
  return { ...contenderIs, ...sums, calls };
}

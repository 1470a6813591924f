// The production Worker whose objects a test kills, and asks when their alarm is set and how many rows they have, and whose
// questions to KV and R2 are counted, for tests only.

import production, { Broker as ProductionBroker, Replica as ProductionReplica } from 'WORKER';

/** The operations on KV and R2 that were asked for, each as the platform would charge it. */
const asked = { kvReads: 0, kvWrites: 0, kvDeletes: 0, r2A: 0, r2B: 0 };

/** A binding whose calls are counted before they are made. */
const counted = (binding, counts) =>
  new Proxy(binding, {
    get(target, name) {
      const method = target[name];
      // The Worker asks a binding for its class.
      if (typeof method !== 'function' || name === 'constructor') return method;
      return (...words) => {
        counts[name]?.(words);
        return method.apply(target, words);
      };
    },
  });

const keys = (names) => (Array.isArray(names) ? names.length : 1);
const KV = {
  get: ([names]) => (asked.kvReads += keys(names)),
  getWithMetadata: ([names]) => (asked.kvReads += keys(names)),
  put: () => (asked.kvWrites += 1),
  delete: () => (asked.kvDeletes += 1),
};
const R2 = { get: () => (asked.r2B += 1), head: () => (asked.r2B += 1), put: () => (asked.r2A += 1) };

const watched = (env) => ({
  ...env,
  ENTRIES: counted(env.ENTRIES, KV),
  COPIES: counted(env.COPIES, R2),
});

/** An object of a class with `/abort`, `/alarm`, `/armed` and `/rows`. */
function withCommands(Production) {
  return class extends Production {
    constructor(state, env) {
      super(state, watched(env));
      this.ctx = state;
    }

    async fetch(request) {
      switch (new URL(request.url).pathname) {
        case '/abort':
          setTimeout(() => this.ctx.abort('a test'), 0);
          return new Response('gone');
        case '/alarm':
          await this.alarm();
          return new Response('rung');
        case '/armed':
          return Response.json(await this.ctx.storage.getAlarm());
        case '/rows':
          return Response.json(this.ctx.storage.sql.exec('SELECT count(*) AS rows FROM series_10').one().rows);
        default:
          return super.fetch(request);
      }
    }
  };
}

export { AlertBoard } from 'WORKER';
export class Broker extends withCommands(ProductionBroker) {}
export class Replica extends withCommands(ProductionReplica) {}

export default {
  async fetch(request, env, context) {
    const { pathname, searchParams } = new URL(request.url);
    const space = { '/broker': env.BROKER, '/replica': env.REPLICA }[pathname];
    if (pathname === '/asked') return Response.json(asked);
    if (space === undefined) return production.fetch(request, watched(env), context);
    return space.get(space.idFromName(searchParams.get('name'))).fetch(`https://object/${searchParams.get('do')}`);
  },
};

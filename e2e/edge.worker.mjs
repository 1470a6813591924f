// The production Worker twice in one, for tests only: two readers that share KV, R2 and replica and nothing else; and
// faults in between, which a test sets by `POST /test`.
//
// A request says by `x-isolate: 2` that it is for the second. `holds` are operations that wait until they are no
// longer held, `throws` how often operations fail: an operation is `kv.get`, `kv.many`, `kv.put`, `kv.delete`,
// `r2.get`, `r2.head`, `r2.put`, `replica.sync`, or `r2.put title:1` of one name. `GET /test` tells how often each was
// called, what waits, and how long the replica's answers were together. The replica has its KV through the same faults.
// `POST /cron` does what is done by schedule, and answers when it is done.

import first, { Replica as Production } from 'WORKER';
import second from 'SECOND';

export * from 'WORKER';

let faults = { holds: [], throws: {} };
let told = { calls: {}, waiting: {}, replicaBytes: 0 };

/** Notes an operation, lets it wait while it is held, and fails where it shall. */
async function through(operation, name = '') {
  told.calls[operation] = (told.calls[operation] ?? 0) + 1;
  const meant = (fault) => fault === operation || (fault.startsWith(`${operation} `) && name.includes(fault.split(' ')[1]));
  for (const held of faults.holds.filter(meant)) {
    told.waiting[held] = (told.waiting[held] ?? 0) + 1;
    // By its own timer: the platform lets no request wake another.
    while (faults.holds.includes(held)) await new Promise((woken) => setTimeout(woken, 5));
    told.waiting[held] -= 1;
  }
  for (const fault of Object.keys(faults.throws).filter(meant)) {
    if (faults.throws[fault] <= 0) continue;
    faults.throws[fault] -= 1;
    throw new Error(`${operation} failed: 429 Too Many Requests`);
  }
}

/** A binding whose operations go through the above. */
function around(tier, binding, names) {
  return new Proxy(binding, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (!names.includes(name)) return value;
      return async (...words) => {
        await through(`${tier}.${Array.isArray(words[0]) ? 'many' : name}`, String(words[0]));
        return value.apply(target, words);
      };
    },
  });
}

/** The replicas' namespace, whose objects are asked through the above. */
function askedThrough(namespace) {
  const ask = (stub) => async (request) => {
    await through(`replica.${new URL(request.url).pathname.slice(1)}`);
    const response = await stub.fetch(request);
    if (response.webSocket) return response;
    const body = await response.arrayBuffer();
    told.replicaBytes += body.byteLength;
    return new Response(body, response);
  };
  return new Proxy(namespace, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (name !== 'getByName') return value;
      return (...words) => {
        const stub = value.apply(target, words);
        return new Proxy(stub, { get: (one, what) => (what === 'fetch' ? ask(one) : Reflect.get(one, what, one)) });
      };
    },
  });
}

export class Replica extends Production {
  constructor(state, env) {
    super(state, { ...env, ENTRIES: around('kv', env.ENTRIES, ['get', 'put', 'delete']) });
  }
}

export default {
  async fetch(request, given, context) {
    if (new URL(request.url).pathname === '/test') {
      if (request.method === 'GET') return Response.json(told);
      faults = { holds: [], throws: {}, ...(await request.json()) };
      told = { ...told, calls: {}, replicaBytes: 0 };
      return new Response();
    }
    const { ENTRIES, COPIES, REPLICA } = given;
    const env = {
      ...given,
      ENTRIES: around('kv', ENTRIES, ['get', 'put', 'delete']),
      ...(COPIES && { COPIES: around('r2', COPIES, ['get', 'head', 'put']) }),
      REPLICA: askedThrough(REPLICA),
    };
    if (new URL(request.url).pathname === '/cron') {
      await first.scheduled({ cron: '0 4 * * *', scheduledTime: Date.now() }, env, context);
      return new Response();
    }
    const reader = request.headers.get('x-isolate') === '2' ? second : first;
    return reader.fetch(request, env, context);
  },
};

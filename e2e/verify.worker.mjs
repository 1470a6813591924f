// The production Worker with faults that no honest deployment has, for tests of `newsreel verify` only. `POST /sabotage` with
// `{"catalog": "fault"}` breaks the edge of a catalog from then on. The catalogs `floors` and `stopped` have no follow windows,
// so that every question of their readers passes here. `POST /scheduled` with a cron trigger runs what is scheduled by it.
//
// `floors`: the reader is told positions and no floors. `stopped`: the replica stands still, and claims that it has just been
// proved. `early`: the replica acknowledges a version, and writes its floors a minute later.

import production, { Replica as Production } from 'WORKER';

export * from 'WORKER';

const faults = {};
const LATE_MS = 60_000;

let patched = false;
export class Replica extends Production {
  constructor(state, env) {
    if (!patched) patch(Object.getPrototypeOf(state.storage.sql));
    patched = true;
    super(state, env);
  }
}

/** Holds floors back: those of the catalogs whose replica acknowledges early. The ids of their keys begin with the catalog. */
function patch(sql) {
  const { exec } = sql;
  sql.exec = function (query, ...bindings) {
    const isEarly = (catalog) => faults[catalog] === 'early' && String(bindings[0]).includes(`:${catalog}`);
    if (!/^INSERT INTO floors \(/m.test(query) || !Object.keys(faults).some(isEarly)) return exec.call(this, query, ...bindings);
    setTimeout(() => exec.call(this, query, ...bindings), LATE_MS);
    return exec.call(this, 'SELECT 1 WHERE 0');
  };
}

/** The answers of the replicas that stand still, by catalog. */
const stood = {};

function replicas(namespace) {
  const ask = (stub, catalog) => async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === '/window' && ['floors', 'stopped'].includes(catalog)) return new Response('sync first', { status: 503 });
    const fault = faults[catalog];
    if (!['floors', 'stopped'].includes(fault) || pathname !== '/sync') return stub.fetch(request);
    if (fault === 'stopped') return stood[catalog] ? Response.json(stood[catalog], { headers: PROVED }) : hold(stub, catalog, request);
    const response = await stub.fetch(request);
    if (!response.ok) return response;
    return Response.json({ ...(await response.json()), floors: [], looked: [] }, { headers: PROVED });
  };
  return new Proxy(namespace, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (name !== 'getByName') return value;
      return (full) => {
        const stub = value.call(target, full);
        const fetch = ask(stub, full.split('@')[0]);
        return new Proxy(stub, { get: (one, what) => (what === 'fetch' ? fetch : Reflect.get(one, what, one)) });
      };
    },
  });
}

const PROVED = { 'Newsreel-Proved': '1' };

async function hold(stub, catalog, request) {
  const response = await stub.fetch(request);
  if (!response.ok) return response;
  const reply = await response.json();
  stood[catalog] = { ...reply, from: reply.to, floors: [], looked: [], proof_age_ms: 0 };
  return Response.json(reply, { headers: PROVED });
}

export default {
  async fetch(request, env, context) {
    if (new URL(request.url).pathname === '/sabotage') {
      Object.assign(faults, await request.json());
      return new Response();
    }
    const broken = { ...env, REPLICA: replicas(env.REPLICA) };
    if (new URL(request.url).pathname === '/scheduled') {
      await production.scheduled({ cron: await request.text(), scheduledTime: Date.now() }, broken, context);
      return new Response();
    }
    return production.fetch(request, broken, context);
  },
};

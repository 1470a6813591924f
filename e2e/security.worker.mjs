// The production Worker that remembers which objects were made or called, and all it logs, for tests only.

import production, { Broker as ProductionBroker, Replica as ProductionReplica } from 'WORKER';

const touched = [];
const logged = [];
for (const level of ['log', 'info', 'warn', 'error', 'debug']) {
  const say = console[level].bind(console);
  console[level] = (...what) => (logged.push(what.map(String).join(' ')), say(...what));
}

const watched = (Production, kind) =>
  class extends Production {
    constructor(state, env) {
      super(state, env);
      this.touched = `${kind} ${state.id.name}`;
      touched.push(`${this.touched} made`);
    }

    fetch(request) {
      touched.push(`${this.touched} called`);
      return super.fetch(request);
    }

    publish(...words) {
      touched.push(`${this.touched} called`);
      return super.publish(...words);
    }
  };

export { AlertBoard } from 'WORKER';
export const Broker = watched(ProductionBroker, 'broker');
export const Replica = watched(ProductionReplica, 'replica');

export default {
  async fetch(request, env, context) {
    const { pathname } = new URL(request.url);
    if (pathname === '/touched') return Response.json(touched.splice(0));
    if (pathname === '/logged') return Response.json(logged);
    return production.fetch(request, env, context);
  },
};

// The production Worker with a dataset that remembers its points and a replica whose alarm a test rings, for tests only.

import production, { Broker, Replica as Production } from 'WORKER';

export { AlertBoard } from 'WORKER';
export { Broker };

const points = [];
const METRICS = { writeDataPoint: (point) => void points.push(point) };

export class Replica extends Production {
  constructor(state, env) {
    super(state, { ...env, METRICS });
    this.state = state;
  }

  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === '/alarm') return (await this.alarm(), new Response('rung'));
    if (pathname === '/abort') {
      setTimeout(() => this.state.abort('a test'), 0);
      return new Response('gone');
    }
    return super.fetch(request);
  }
}

export default {
  async fetch(request, env, context) {
    const { pathname } = new URL(request.url);
    if (pathname === '/points') return Response.json(points);
    if (pathname === '/alarm' || pathname === '/abort') {
      return env.REPLICA.get(env.REPLICA.idFromName('tv@e2e')).fetch(`https://replica${pathname}`);
    }
    return production.fetch(request, { ...env, METRICS }, context);
  },
};

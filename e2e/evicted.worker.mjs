// The production Worker whose replica a test can end, for tests only: the harness evicts no object that has an outgoing
// socket. `POST /replica` ends the replica as the platform would: its memory is gone, its rows stay. `/replica` answers
// with the number of times that one woke.

import production, { Replica as Production } from 'WORKER';

export * from 'WORKER';

let births = 0;

export class Replica extends Production {
  constructor(state, env) {
    super(state, env);
    this.state = state;
    births += 1;
  }

  async fetch(request) {
    if (new URL(request.url).pathname !== '/end') return super.fetch(request);
    // Not from inside an event: its answer would end with the object.
    setTimeout(() => this.state.abort('evicted'));
    return new Response();
  }
}

export default {
  async fetch(request, env, context) {
    const { pathname } = new URL(request.url);
    if (pathname !== '/replica') return production.fetch(request, env, context);
    if (request.method === 'POST') await env.REPLICA.getByName('tv@e2e').fetch('https://replica/end', { method: 'POST' });
    return Response.json(births);
  },
};

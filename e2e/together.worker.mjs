// The production Worker whose broker counts the publishes of each call, and holds calls back when told to: for tests only.

import production, { Broker as Production } from 'WORKER';

export * from 'WORKER';

/** How many publishes each call had. */
const calls = [];
let isHeld = false;

export class Broker extends Production {
  async publish(heads, bodies) {
    calls.push(heads.split('\n').length / 4);
    // A promise that another request resolves would not keep this call alive.
    while (isHeld) await new Promise((next) => setTimeout(next, 1));
    return super.publish(heads, bodies);
  }
}

export default {
  async fetch(request, env, context) {
    const { pathname } = new URL(request.url);
    if (!['/hold', '/release', '/calls'].includes(pathname)) return production.fetch(request, env, context);
    if (pathname !== '/calls') isHeld = pathname === '/hold';
    return Response.json(pathname === '/calls' ? calls.splice(0) : []);
  },
};

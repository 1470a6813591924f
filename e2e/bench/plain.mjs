// A Worker with a Durable Object and nothing else: what `startup.mjs` compares with.

import { DurableObject } from 'cloudflare:workers';

export class Plain extends DurableObject {
  fetch() {
    return new Response('here\n');
  }
}

export default {
  fetch: (request, env) => env.PLAIN.getByName('tv').fetch(request),
};

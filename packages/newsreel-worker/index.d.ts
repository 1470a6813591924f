/** Newsreel's Worker. The types of the platform come from `wrangler types` or `@cloudflare/workers-types`. */

import { DurableObject } from 'cloudflare:workers';

import type { Bindings, Secrets, Variables } from './variables.js';

export type { Bindings, Policy, Secrets, Variables } from './variables.js';

/** All that the Worker reads of its environment. */
export interface NewsreelEnv extends Bindings, Variables, Secrets {}

/** The Durable Object that keeps the log of a catalog. There is one for each catalog. */
export class Broker extends DurableObject<NewsreelEnv> {
  fetch(request: Request): Promise<Response>;
  alarm(): Promise<void>;
}

/** The Durable Object that follows the log for an edge. There is one for each edge and catalog. */
export class Replica extends DurableObject<NewsreelEnv> {
  fetch(request: Request): Promise<Response>;
  alarm(): Promise<void>;
}

/** The HTTP API, and the schedule that prefetches hot keys. */
declare const worker: {
  fetch(request: Request, env: NewsreelEnv, context: ExecutionContext): Promise<Response>;
  scheduled(event: ScheduledController, env: NewsreelEnv, context: ExecutionContext): Promise<void>;
};
export default worker;

/** Newsreel's Worker. The types of the platform come from `wrangler types` or `@cloudflare/workers-types`. */

import { DurableObject, WorkerEntrypoint } from 'cloudflare:workers';

import type { NewsreelBinding } from './binding.js';
import type { Bindings, Secrets, Variables } from './variables.js';

export type * from './binding.js';
export type { Bindings, Hook, Policy, Secrets, Variables } from './variables.js';

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

/** The Durable Object that keeps the alerts of a catalog, and tells receivers of them. Optional. */
export class AlertBoard extends DurableObject<NewsreelEnv> {
  fetch(request: Request): Promise<Response>;
  alarm(): Promise<void>;
}

/** What the configuration of a binding to `Newsreel` may say: the catalog of its calls, and the name of the publisher. */
export interface NewsreelProps {
  catalog?: string;
  publisher?: string;
}

/** The entrypoint of service bindings, and of `context.exports.Newsreel` in the Worker itself. */
export class Newsreel extends WorkerEntrypoint<NewsreelEnv, NewsreelProps> {
  fetch(request: Request): Promise<Response>;
}
export interface Newsreel extends Omit<NewsreelBinding, 'fetch'> {}

/** The HTTP API, and the schedule that prefetches hot keys. */
declare const worker: {
  fetch(request: Request, env: NewsreelEnv, context: ExecutionContext): Promise<Response>;
  scheduled(event: ScheduledController, env: NewsreelEnv, context: ExecutionContext): Promise<void>;
};
export default worker;

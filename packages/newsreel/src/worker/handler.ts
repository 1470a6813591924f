/** `withNewsreel`: the responses of a fetch handler, kept as entries. */

import type { NewsreelBinding, ReadOptions } from './binding.js';
import { fitting, pageKey } from './key.js';
import { type FetchHandler, type NewsreelOptions, valueOf } from './options.js';
import { compare } from './shadow.js';
import { type Page, Visit } from './visit.js';

/**
 * Returns a handler whose GET and HEAD responses are read through Newsreel: a change of the key, or of a tag of the response,
 * ends what is kept of it, at every edge. Everything else goes to the handler as it is, and so does a request that Newsreel
 * cannot answer.
 */
export function withNewsreel<Env, Handler extends FetchHandler<Env> | { fetch?: unknown }>(
  handler: Handler,
  options: NewsreelOptions<Env> = {},
): Handler {
  if (typeof handler === 'function') return reading(handler as FetchHandler<Env>, options) as unknown as Handler;
  const { fetch } = handler as { fetch?: FetchHandler<Env> };
  if (typeof fetch !== 'function') throw new TypeError('withNewsreel(handler): the handler has no fetch');
  return { ...handler, fetch: reading(fetch.bind(handler), options) };
}

function reading<Env>(handler: FetchHandler<Env>, options: NewsreelOptions<Env>): FetchHandler<Env> {
  return async (request, env, context) => {
    const page = await pageOf(request, env, options);
    if (!page) return handler(request, env, context);
    const binding = options.binding ? options.binding(env) : (env as { NEWSREEL?: NewsreelBinding }).NEWSREEL;
    if (!binding) throw new TypeError('withNewsreel: env.NEWSREEL is not bound; pass { binding: (env) => … }');
    const visit = new Visit(handler, request, env, context, options, page, binding);
    return options.shadow ? compare(visit, options.shadow) : visit.answer();
  };
}

async function pageOf<Env>(request: Request, env: Env, options: NewsreelOptions<Env>): Promise<Page | undefined> {
  if (request.method !== 'GET' && request.method !== 'HEAD') return undefined;
  if (request.headers.has('Upgrade')) return undefined;
  if (!options.key && request.headers.has('Authorization')) return undefined;
  const given = options.key ? await options.key(request, env) : await pageKey(request, options.vary ?? []);
  if (given === null || given === undefined) return undefined;
  const read: ReadOptions = { type: 'bytes' };
  if (options.catalog !== undefined) read.catalog = options.catalog;
  const { cf } = request as { cf?: { colo?: string } };
  if (cf?.colo) read.colo = cf.colo;
  if (options.tags) read.tags = await valueOf(options.tags, request, env);
  if (options.policy) {
    const policy = await valueOf(options.policy, request, env);
    if (policy) read.policy = policy;
  }
  const minVersion = request.headers.get('Newsreel-Min-Version');
  if (minVersion !== null) read.minVersion = minVersion;
  return { key: await fitting(given), options: read };
}

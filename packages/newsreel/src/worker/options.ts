/** What a site says of its pages to `withNewsreel`. */

import type { NewsreelBinding, ReadPolicy } from './binding.js';

/** The part of a Worker's context that is used. */
export interface WaitUntil {
  /** Keeps the Worker alive until a promise has settled. */
  waitUntil(promise: Promise<unknown>): void;
}

/** The `fetch` of a Worker. */
export type FetchHandler<Env> = (request: Request, env: Env, context: WaitUntil) => Response | Promise<Response>;

/** A value, or a function of the request. */
export type Of<Env, Value> = Value | ((request: Request, env: Env) => Value | Promise<Value>);

/** What a site says of its pages. */
export interface NewsreelOptions<Env> {
  /** The binding. By default `env.NEWSREEL`. */
  binding?: (env: Env) => NewsreelBinding;
  /**
   * The key of a request, or null for one that is not cached. By default `page:` with host, path and query. Only GET and
   * HEAD are cached; of those, none with `Authorization` unless this function is given.
   */
  key?: (request: Request, env: Env) => string | null | undefined | Promise<string | null | undefined>;
  /** Tags of the response, beside those of its own `Cache-Tag`. */
  tags?: Of<Env, string[]>;
  /** What the read changes of the policy of its class. */
  policy?: Of<Env, ReadPolicy | undefined>;
  /**
   * Request headers by whose values responses differ: each value has an entry of its own. A response that varies by a header
   * that is not here (nor `Accept-Encoding`) is not stored.
   */
  vary?: string[];
  /**
   * Whether a response is stored. By default those with status 200, 203, 204, 301 or 308 that set no cookie. `private` and
   * `no-store` are never stored.
   */
  store?: (response: Response) => boolean;
  /** The `Cache-Control` of what is served. By default what is left of the lag bound, so that no cache in front is behind. */
  cacheControl?: string;
  /** The catalog, where the binding's props name none. */
  catalog?: string;
  /** Serves what the handler answers, and reports what Newsreel would have served. */
  shadow?: boolean | ShadowOptions<Env>;
}

/** What a site says of shadow mode. */
export interface ShadowOptions<Env = never> {
  /** The handler without the cache that it has today, which fills Newsreel's entries. By default the handler as it is. */
  fresh?: FetchHandler<Env>;
  /** The share of requests that are compared, from 0 to 1. By default all. */
  sample?: number;
  /** Receives each comparison. By default it is logged as a line of JSON. */
  report?: (report: ShadowReport) => void;
}

/** What a visitor got, beside what Newsreel would have given. */
export interface ShadowReport {
  /** The key of the page. */
  key: string;
  /**
   * `same`; `older` or `newer`: Newsreel's page is from before or after the one that was served; `differs`: neither is what
   * the handler says when it is asked once more, so the page changes by itself; `error`: Newsreel gave none.
   */
  outcome: 'same' | 'older' | 'newer' | 'differs' | 'error';
  /** The tier that had it. */
  from?: string;
  /** How recent it was said to be. */
  freshness?: string;
  /** How long ago its fetch began, in milliseconds. */
  ageMs?: number;
  /** How long the page that was served took, in milliseconds. */
  servedMs: number;
  /** How long Newsreel's took. */
  newsreelMs?: number;
  /** Why Newsreel gave none. */
  error?: string;
}

const STORED = new Set([200, 203, 204, 301, 308]);

/** Returns why a response is not stored; undefined for one that is. */
export function unstorable<Env>(response: Response, options: NewsreelOptions<Env>): string | undefined {
  const said = (response.headers.get('Cache-Control') ?? '').toLowerCase();
  if (/(^|[,\s])(private|no-store)(?=$|[,;=\s])/.test(said)) return 'Cache-Control';
  const allowed = new Set(['accept-encoding', ...(options.vary ?? []).map((name) => name.toLowerCase())]);
  const vary = (response.headers.get('Vary') ?? '').split(',').map((name) => name.trim().toLowerCase());
  if (vary.some((name) => name !== '' && !allowed.has(name))) return 'Vary';
  if (options.store) return options.store(response) ? undefined : 'store';
  if (!STORED.has(response.status)) return 'status';
  return response.headers.has('Set-Cookie') ? 'Set-Cookie' : undefined;
}

/** Returns a value that may be a function of the request. */
export async function valueOf<Env, Value>(given: Of<Env, Value>, request: Request, env: Env): Promise<Value> {
  return typeof given === 'function' ? (given as (request: Request, env: Env) => Value)(request, env) : given;
}

import type { Context, Env, Hono, MiddlewareHandler } from 'hono';
import type { NewsreelBinding, NewsreelOptions, ReadPolicy } from 'newsreel/worker';

/** The options of the middleware: those of `withNewsreel`, whose functions get Hono's context. */
export interface HonoNewsreelOptions<E extends Env = Env>
  extends Pick<NewsreelOptions<unknown>, 'vary' | 'store' | 'cacheControl' | 'catalog' | 'shadow'> {
  /** The binding. By default `c.env.NEWSREEL`. */
  binding?: (c: Context<E>) => NewsreelBinding;
  /** The key of a request, or null for one that is not cached. By default `page:` with host, path and query. */
  key?: (c: Context<E>) => string | null | undefined | Promise<string | null | undefined>;
  /** Tags of the response, beside those of its own `Cache-Tag`. */
  tags?: string[] | ((c: Context<E>) => string[] | Promise<string[]>);
  /** What the read changes of the policy of its class. */
  policy?: ReadPolicy | ((c: Context<E>) => ReadPolicy | undefined);
}

/**
 * Returns a middleware that keeps the GET and HEAD responses behind it in Newsreel. A page that is not kept is made by the
 * app: it is asked once more for the whole page, so what stands before the middleware runs for it, too.
 */
export declare function newsreel<E extends Env = Env>(app: Hono<E, any, any>, options?: HonoNewsreelOptions<E>): MiddlewareHandler<E>;

/** One request for a page: read through Newsreel, filled by the handler, answered as it asks. */

import type { Entry, Fill, NewsreelBinding, ReadOptions } from './binding.js';
import { answerTo } from './conditions.js';
import { KEPT_TYPE, type Kept, pack, unpack } from './kept.js';
import { type FetchHandler, type NewsreelOptions, unstorable, type WaitUntil } from './options.js';

/** A page's key and how it is read. */
export interface Page {
  /** Its key. */
  key: string;
  /** How the key is read. */
  options: ReadOptions;
}

/** One request for a page. */
export class Visit<Env> {
  /** A response of the handler that is not stored: it goes to its visitor as it is. */
  #passed: Response | undefined;
  /** The error of the handler. */
  #thrown: { error: unknown } | undefined;

  /** Holds one request, which `answer` answers. */
  constructor(
    /** The site's own. */
    private readonly handler: FetchHandler<Env>,
    /** The visitor's. */
    readonly request: Request,
    /** The environment of the site. */
    private readonly env: Env,
    /** Keeps the Worker alive behind the answer. */
    readonly context: WaitUntil,
    /** What the site says of its pages. */
    private readonly options: NewsreelOptions<Env>,
    /** The page that is asked for. */
    readonly page: Page,
    /** Where pages are kept. */
    private readonly binding: NewsreelBinding,
  ) {}

  /** Answers with what is kept, or with what the handler says. */
  async answer(): Promise<Response> {
    let entry: Entry<ArrayBuffer>;
    try {
      entry = await this.read();
    } catch (error) {
      return this.#without(error);
    }
    const kept = entry.value && entry.contentType === KEPT_TYPE ? unpack(entry.value) : undefined;
    // A marked answer of the tiers stands in for a handler that failed.
    if (this.#passed && (!kept || this.#passed.status < 500)) return this.#asAsked(this.#passed);
    if (!kept) return this.plain();
    if (entry.freshness === 'revalidating') this.context.waitUntil(this.#refresh());
    return this.serve(entry, kept);
  }

  /** Reads the page through Newsreel. */
  read(): Promise<Entry<ArrayBuffer>> {
    return this.binding.read<ArrayBuffer>(this.page.key, this.#fill, this.page.options);
  }

  /** Answers by the handler alone. */
  async plain(): Promise<Response> {
    return this.handler(this.request, this.env, this.context);
  }

  /** Returns the whole page as the handler makes it, in shadow mode without the cache that it has today. */
  async fresh(): Promise<Response> {
    const { shadow } = this.options;
    const handler = (typeof shadow === 'object' && shadow.fresh) || this.handler;
    return handler(this.#whole(), this.env, this.context);
  }

  /** Returns the response that an entry is to this request. */
  serve(entry: Entry<ArrayBuffer>, kept: Kept): Response {
    const headers = new Headers(kept.headers);
    if (!headers.has('ETag') && entry.etag !== null && kept.status === 200) headers.set('ETag', entry.etag);
    headers.delete('Cache-Tag');
    headers.set('Age', String(Math.floor(entry.ageMs / 1_000)));
    headers.set('Cache-Control', this.options.cacheControl ?? entry.cacheControl);
    headers.set('Cache-Status', `newsreel; ${entry.from === 'origin' ? 'fwd=miss; stored' : `hit; detail=${entry.from}`}`);
    headers.set('Newsreel-Freshness', `${entry.freshness}; age=${(entry.ageMs / 1_000).toFixed(3)}`);
    if (entry.known !== null) headers.set('Newsreel-Version', entry.known);
    for (const name of this.options.vary ?? []) headers.append('Vary', name);
    return answerTo(this.request, kept.status, headers, kept.body);
  }

  /** Runs the handler for a whole page, and makes an entry of its response. */
  #fill: Fill = async () => {
    let response: Response;
    try {
      response = await this.fresh();
    } catch (error) {
      this.#thrown = { error };
      throw error;
    }
    this.#thrown = undefined;
    if (response.status >= 500) return this.#pass(response, response.status);
    if (unstorable(response, this.options)) return this.#pass(response, 200);
    this.#passed = undefined;
    const headers = new Headers({ 'Content-Type': KEPT_TYPE });
    for (const name of ['Cache-Tag', 'Surrogate-Key', 'Cache-Control', 'Expires', 'Date', 'Age']) {
      const value = response.headers.get(name);
      if (value !== null) headers.set(name, value);
    }
    const keepCookies = this.options.store !== undefined;
    return new Response(await pack(response, keepCookies), { headers });
  };

  /** Keeps a response for this visitor alone, and tells Newsreel to store nothing. */
  #pass(response: Response, status: number): Response {
    this.#passed = response;
    return new Response(null, { status, headers: { 'Cache-Control': 'no-store', 'Content-Type': KEPT_TYPE } });
  }

  /** Returns the request for the whole page: a GET without conditions, so that what is kept is whole. */
  #whole(): Request {
    const headers = new Headers(this.request.headers);
    for (const name of ['If-None-Match', 'If-Modified-Since', 'If-Match', 'If-Unmodified-Since', 'If-Range', 'Range']) {
      headers.delete(name);
    }
    return new Request(this.request, { method: 'GET', headers });
  }

  /** Returns a whole response as this request asks for it: HEAD is answered without the body. */
  #asAsked(response: Response): Response {
    return this.request.method === 'HEAD' ? new Response(null, response) : response;
  }

  async #refresh(): Promise<void> {
    await this.binding.refresh(this.page.key, this.#fill, this.page.options);
  }

  /** Answers where Newsreel gives no entry: the handler's own answer is right at any time. */
  async #without(error: unknown): Promise<Response> {
    if (this.#passed) return this.#asAsked(this.#passed);
    if (this.#thrown) throw this.#thrown.error;
    const response = await this.plain();
    const told = new Response(response.body, response);
    const code = error instanceof Error ? (error.message.split(':')[0] ?? '') : '';
    told.headers.append('Cache-Status', `newsreel; fwd=bypass; detail=${/^[a-z-]+$/.test(code) ? code : 'unreachable'}`);
    return told;
  }
}

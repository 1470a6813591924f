/** The addresses of a catalog, made from the URL of its broker. */

import { badOptions } from '../error.js';

/** The addresses of one catalog. */
export interface Address {
  /** The address of HTTP requests: `http:` or `https:`, up to the catalog's name. */
  readonly http: string;
  /** The same address for a WebSocket: `ws:` or `wss:`. */
  readonly socket: string;
}

/** Returns the addresses of a catalog below the broker's URL, which may be one of HTTP or WebSocket. */
export function addressOf(url: string | URL, catalog: string): Address {
  if (typeof catalog !== 'string') throw badOptions('catalog is missing: connect(url, { catalog: "…" })');
  let base: URL;
  try {
    // A page may name its own server: connect('/news', …).
    base = new URL(url, (globalThis as { location?: { href: string } }).location?.href);
  } catch {
    throw badOptions(`${String(url)} is not a URL: connect("https://newsreel.example.workers.dev", …)`);
  }
  const secure = /^(https|wss):$/.test(base.protocol);
  if (!secure && !/^(http|ws):$/.test(base.protocol)) {
    throw badOptions(`${base.protocol} is not spoken: the URL begins with https: or http:`);
  }
  const path = `${base.host}${base.pathname.replace(/\/+$/, '')}/v1/catalogs/${encodeURIComponent(catalog)}`;
  return { http: `http${secure ? 's' : ''}://${path}`, socket: `ws${secure ? 's' : ''}://${path}` };
}

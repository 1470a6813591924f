/** The key of a page: its class, its path and query, and the values of the headers that it varies by. */

/** The longest key, in bytes. */
const KEY_BYTES = 400;

/**
 * Returns the key of a request: `page:`, its path and its query with the parameters in order, then the values of the headers
 * that it varies by. What is too long is replaced by its hash.
 */
export async function pageKey(request: Request, vary: string[]): Promise<string> {
  const url = new URL(request.url);
  url.searchParams.sort();
  const varied = vary.map((name) => `\n${name.toLowerCase()}=${request.headers.get(name)?.trim() ?? ''}`).join('');
  const host = url.host;
  const key = `page:${host}${url.pathname}${url.search}${encodeURIComponent(varied)}`;
  return fitting(key);
}

/** Returns a key with what does not fit replaced by a hash of the whole; its beginning stays, for prefixes. */
export async function fitting(key: string): Promise<string> {
  const bytes = new TextEncoder().encode(key);
  if (bytes.length <= KEY_BYTES) return key;
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  const text = [...hash].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  let kept = key.slice(0, KEY_BYTES - text.length - 1);
  while (new TextEncoder().encode(kept).length + text.length + 1 > KEY_BYTES) kept = kept.slice(0, -1);
  return `${kept}~${text}`;
}

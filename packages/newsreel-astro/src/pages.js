//! What Astro says of a page, as Newsreel understands it.

const COOKIES = Symbol.for('astro.cookies');
const MOST_BYTES = 256;

/** Returns a tag of the protocol: printable ASCII without space and comma, at most 256 bytes. */
export async function tagOf(tag) {
  const encoded = tag.replace(/[^\x21-\x2b\x2d-\x7e]/gu, (character) =>
    [...new TextEncoder().encode(character)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''));
  if (encoded.length <= MOST_BYTES) return encoded;
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(tag)));
  return `sha256:${[...hash].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

/** Says whether a page may be kept: the page asked for it, and it sets no cookie. */
export function isKept(response) {
  if (response.headers.has('Set-Cookie') || setsCookies(response)) return false;
  const times = response.headers.get('CDN-Cache-Control');
  return times === null ? response.headers.has('Cache-Tag') : /max-age=0*[1-9]/.test(times) || /stale-while-revalidate=0*[1-9]/.test(times);
}

/** Gives a page that is kept its times and its tags in the headers that Newsreel reads. */
export async function marked(response) {
  const times = response.headers.get('CDN-Cache-Control');
  if (times === null) response.headers.delete('Cache-Control');
  else response.headers.set('Cache-Control', `public, ${times}`);
  response.headers.delete('Expires');
  const tags = (response.headers.get('Cache-Tag') ?? '').split(',').map((tag) => tag.trim()).filter(Boolean);
  if (tags.length > 0) response.headers.set('Cache-Tag', (await Promise.all(tags.map(tagOf))).join(','));
  return response;
}

/** Astro keeps cookies beside the headers until the response is sent. */
function setsCookies(response) {
  const cookies = Reflect.get(response, COOKIES);
  return cookies ? !cookies.headers().next().done : false;
}

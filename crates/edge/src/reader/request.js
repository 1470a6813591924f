// Tells wasm in one call which requests a value in memory answers as it is.

/** The headers by which a request asks for a part of a value, a newer one, none that it has, or one that a page may see. */
const CONDITIONS = ['If-None-Match', 'Newsreel-Min-Version', 'Origin', 'Range'];

/** Says whether a request is a GET without any of these headers. */
export function isPlainGet({ method, headers }) {
  return method === 'GET' && !CONDITIONS.some((name) => headers.has(name));
}

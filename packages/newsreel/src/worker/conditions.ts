/** What a request asks of a response that is at hand: 304, a part of it, or its headers alone (RFC 9110). */

/** Returns the response to a request for a whole 200 with these headers and this body. */
export function answerTo(request: Request, status: number, headers: Headers, body: Uint8Array<ArrayBuffer>): Response {
  const isHead = request.method === 'HEAD';
  if (status !== 200) return new Response(isHead || body.length === 0 ? null : body, { status, headers });
  const etag = headers.get('ETag');
  const held = request.headers.get('If-None-Match');
  if (etag !== null && held !== null && names(held, etag)) {
    headers.delete('Content-Length');
    return new Response(null, { status: 304, headers });
  }
  headers.set('Accept-Ranges', 'bytes');
  const range = isHead ? undefined : rangeOf(request, etag, body.length);
  if (range === 'none') {
    headers.set('Content-Range', `bytes */${body.length}`);
    return new Response(null, { status: 416, headers });
  }
  if (range) {
    const [first, last] = range;
    headers.set('Content-Range', `bytes ${first}-${last}/${body.length}`);
    return new Response(body.slice(first, last + 1), { status: 206, headers });
  }
  headers.set('Content-Length', String(body.length));
  return new Response(isHead ? null : body, { status, headers });
}

const weakly = (etag: string): string => etag.trim().replace(/^W\//, '');

/** Says whether a list of entity tags names one, compared weakly. */
function names(list: string, etag: string): boolean {
  if (list.trim() === '*') return true;
  return (list.match(/(?:W\/)?"[^"]*"/g) ?? []).some((one) => weakly(one) === weakly(etag));
}

/** Returns the first and last byte of the one range that is asked for; `none` if it has none; undefined for the whole. */
function rangeOf(request: Request, etag: string | null, length: number): [number, number] | 'none' | undefined {
  const asked = /^bytes=(\d*)-(\d*)$/.exec(request.headers.get('Range')?.trim() ?? '');
  if (!asked || (!asked[1] && !asked[2])) return undefined;
  const condition = request.headers.get('If-Range');
  if (condition !== null && (condition.trim() !== etag || condition.startsWith('W/'))) return undefined;
  if (!asked[1]) {
    const count = Math.min(Number(asked[2]), length);
    return count === 0 ? 'none' : [length - count, length - 1];
  }
  const first = Number(asked[1]);
  const last = asked[2] ? Math.min(Number(asked[2]), length - 1) : length - 1;
  if (asked[2] && Number(asked[2]) < first) return undefined;
  return first >= length ? 'none' : [first, last];
}

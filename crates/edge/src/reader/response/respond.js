// What a read asks of JavaScript, in one call each: a call from wasm costs more than what these do.

/** Headers whose requests are not answered with a whole value, to anybody, whatever the version. */
const CONDITIONS = ['If-None-Match', 'Newsreel-Min-Version', 'Origin', 'Range'];

/** Returns the address of a GET that sets no condition; `undefined` for any other request. */
export function addressOfPlainGet(request) {
  if (request.method !== 'GET') return undefined;
  const { headers } = request;
  return CONDITIONS.some((name) => headers.has(name)) ? undefined : request.url;
}

/** Returns `Headers` of lines, each a name, a colon and a value. */
export function headersOf(lines) {
  return new Headers(pairsOf(lines));
}

/** Returns the response with a copy of these bytes. The bytes themselves are wasm's memory, which changes. */
export function respond(status, lines, bytes) {
  return new Response(bytes.slice(), { status, headers: pairsOf(lines) });
}

const pairsOf = (lines) =>
  lines.split('\n').map((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1)];
  });

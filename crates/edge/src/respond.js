// Headers and responses from texts that wasm wrote: one call each, which costs less than a call a header.

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

// A whole body by one promise, and without a function of wasm for each: those cost more than a small body takes to read.

/** Reads a body, and hands its bytes, or the reason why there are none, to `read` under its ticket. */
export function readWhole(request, ticket, read) {
  request.arrayBuffer().then(
    (buffer) => read(ticket, new Uint8Array(buffer)),
    (error) => read(ticket, undefined, error),
  );
}

// A request's head and a response in one call each: a call for each header costs more than the rest of a small publish.

/** The headers by which a publish is read, in the order in which `RequestHead` takes them. */
const OF_A_PUBLISH = ['Content-Type', 'Content-Length', 'Idempotency-Key', 'Newsreel-Caller', 'Newsreel-Grant', 'traceparent'];

/**
 * Returns method and address, and of a POST these headers: a line each, with an equals sign and the header, or with nothing
 * where there is none.
 */
export function headOf(request) {
  const { method, url } = request;
  const head = `${method}\n${url}`;
  if (method !== 'POST') return head;
  return OF_A_PUBLISH.reduce((lines, name) => {
    const value = request.headers.get(name);
    return value === null ? `${lines}\n` : `${lines}\n=${value}`;
  }, head);
}

/** The headers by which a socket opens, in the order in which `SocketHead` takes them. */
const OF_A_SOCKET = ['Upgrade', 'Sec-WebSocket-Protocol', 'Newsreel-Replica', 'Newsreel-Caller', 'Newsreel-Grant'];

/** Returns the headers by which a socket opens: a line each, empty where there is none. */
export function socketHeadOf({ headers }) {
  return OF_A_SOCKET.map((name) => headers.get(name) ?? '').join('\n');
}

/** Returns our end of a new socket, and the response that hands the caller the other end, under the subprotocol it offered. */
export function newSocket(subprotocol) {
  const { 0: webSocket, 1: ours } = new WebSocketPair();
  const headers = subprotocol === undefined ? {} : { 'Sec-WebSocket-Protocol': subprotocol };
  return [ours, new Response(null, { status: 101, webSocket, headers })];
}

const ofAnswers = new Map();

/** Returns an answer that no cache may store. The platform takes `Headers` as they are, and reads other lists name by name. */
export function answer(mediaType, text) {
  let headers = ofAnswers.get(mediaType);
  if (headers === undefined) {
    headers = new Headers({ 'Content-Type': mediaType, 'Cache-Control': 'no-store' });
    ofAnswers.set(mediaType, headers);
  }
  return new Response(text, { headers });
}

/** Returns a response with a text under headers of lines, each a name, a colon and a value. */
export function respond(status, lines, text) {
  const headers = lines.split('\n').map((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1)];
  });
  return new Response(text, { status, headers });
}

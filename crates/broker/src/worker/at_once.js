// A publish or a follower's socket on its way through the front door, in two calls: what the gate reads of it, and the call of
// the object.

/** The headers that are checked, in the order in which `Checked` takes them. */
const CHECKED = [
  'Authorization', 'Sec-WebSocket-Protocol', 'Content-Type', 'Content-Length', 'Content-Encoding', 'Origin', 'Upgrade',
  'Newsreel-Replica', 'ce-specversion', 'webhook-signature', 'traceparent',
];

/** The headers that the object reads. */
const PASSED = ['Content-Type', 'Content-Length', 'Idempotency-Key', 'traceparent'];

/** Returns a line for each of the checked headers: an equals sign and the header, or nothing where there is none. */
export function checkedOf({ headers }) {
  return CHECKED.map((name) => {
    const value = headers.get(name);
    return value === null ? '' : `=${value}`;
  }).join('\n');
}

/** Returns the promise of the object's answer to a publish, or of what `failed` makes of its error. */
export function forward(request, env, catalog, caller, failed) {
  const headers = { 'Newsreel-Caller': caller };
  for (const name of PASSED) {
    const value = request.headers.get(name);
    if (value !== null) headers[name] = value;
  }
  return env.BROKER.getByName(catalog).fetch(request, { headers }).catch(failed);
}

/** Returns the promise of the object's end of a socket, or of what `failed` makes of its error. */
export function connect(url, env, catalog, caller, subprotocol, isReplica, failed) {
  const headers = { Upgrade: 'websocket', 'Newsreel-Caller': caller };
  if (subprotocol !== undefined) headers['Sec-WebSocket-Protocol'] = subprotocol;
  if (isReplica) headers['Newsreel-Replica'] = '1';
  return env.BROKER.getByName(catalog).fetch(url, { headers }).catch(failed);
}

// The production Worker, in which a test makes Rust panic: for tests only.
//
// Not a build of its own: the same wasm, byte for byte, among whose imports one fails where the Rust side takes it for
// granted (`unwrap` on what `new Headers()`, `getTags`, `acceptWebSocket` and `setTimeout` return; `expect` that rows can
// be read). What follows is what any panic does: it unwinds. `POST /panic` arms one of these for the next time it is called:
//
// `headers`: an answer is being made. `tags`: a socket said something. `accept`: a socket opens. `rows`: an object wakes.
// `timer`: publishes are about to be flushed. `pong`: between a commit and its fan-out (that one is an exception which
// nothing in Rust catches, and unwinds as a panic does). `headers after fault:x`: the next after a row that names that key
// was written. `GET /panic` tells how often each was met.

import Front, { Broker as Production } from 'WORKER';

export * from 'WORKER';

let armed;
const told = {};

/** Throws if that is what was armed. */
function maybe(point) {
  if (point === undefined || armed !== point) return;
  armed = undefined;
  told[point] = (told[point] ?? 0) + 1;
  throw new Error(`the import fails: ${point}`);
}

const { Headers } = globalThis;
globalThis.Headers = class extends Headers {
  constructor(...words) {
    if (words.length === 0) maybe('headers');
    super(...words);
  }
};

const { WebSocketRequestResponsePair: Pair, setTimeout } = globalThis;
globalThis.WebSocketRequestResponsePair = class extends Pair {
  constructor(...words) {
    maybe('pong');
    super(...words);
  }
};
globalThis.setTimeout = (...words) => {
  maybe('timer');
  return setTimeout(...words);
};

/** A function that fails when it is to. */
function failing(object, name, point) {
  const real = object[name];
  object[name] = function (...words) {
    maybe(point(...words));
    return real.apply(this, words);
  };
}

export class Broker extends Production {
  constructor(state, env) {
    patch(state);
    super(state, env);
  }
}

let patched = false;
function patch(state) {
  if (patched) return;
  patched = true;
  failing(Object.getPrototypeOf(state), 'getTags', () => 'tags');
  failing(Object.getPrototypeOf(state), 'acceptWebSocket', () => 'accept');
  failing(Object.getPrototypeOf(state.storage.sql), 'exec', (query, ...values) => {
    const [after, key] = armed?.split(' after ') ?? [];
    if (key && query.startsWith('INSERT INTO log') && String(values[2]).includes(`"${key}"`)) armed = after;
    return query.startsWith('CREATE TABLE') ? 'rows' : undefined;
  });
}

export default class extends Front {
  async fetch(request) {
    if (new URL(request.url).pathname !== '/panic') return super.fetch(request);
    if (request.method === 'POST') armed = await request.text();
    return Response.json(told);
  }
}

// The production Worker, in which a test makes Rust panic: for tests only.
//
// The wasm is the production build, byte for byte. One of its imports fails where Rust takes success for granted: on what
// `getTags`, `acceptWebSocket` and `setTimeout` return, on rows that cannot be read. Rust then
// panics and unwinds, as at any panic. `POST /panic` arms one of these points for the next time it is met:
//
// `answer`: an answer is made, by whichever constructor the Worker calls for it. `response`: the same, but not for its
// headers alone. `tags`: a socket said something for the first time. `accept`: a socket opens. `rows`: an object wakes.
// `timer`: publishes are about to be flushed, after others on their way. `commit`: rows are committed, and the Worker hears
// that they were not (that one is an error, and no panic). `answer after fault:x`: the next answer after a row that names
// that key was written.
// `GET /panic` tells how often each was met.

import production, { Broker as Production } from 'WORKER';

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

for (const name of ['Headers', 'Response']) {
  globalThis[name] = new Proxy(globalThis[name], {
    construct(target, words, newTarget) {
      maybe('answer');
      if (name === 'Response') maybe('response');
      return Reflect.construct(target, words, newTarget === globalThis[name] ? target : newTarget);
    },
  });
}

const { setTimeout } = globalThis;
globalThis.setTimeout = (call, wait, ...words) => {
  // The series wait for seconds; a flush only lets others go first, as the front door does, which is not Rust.
  if (!(wait > 0) && /wasm/.test(new Error().stack)) maybe('timer');
  return setTimeout(call, wait, ...words);
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
  const storage = Object.getPrototypeOf(state.storage);
  const { transactionSync } = storage;
  storage.transactionSync = function (...words) {
    const result = transactionSync.apply(this, words);
    maybe('commit');
    return result;
  };
  failing(Object.getPrototypeOf(state.storage.sql), 'exec', (query, ...values) => {
    const [after, key] = armed?.split(' after ') ?? [];
    if (key && query.startsWith('INSERT INTO log') && values.some((value) => String(value).includes(`"${key}"`))) armed = after;
    return query.startsWith('CREATE TABLE') ? 'rows' : undefined;
  });
}

export default {
  async fetch(request, env, context) {
    if (new URL(request.url).pathname !== '/panic') return production.fetch(request, env, context);
    if (request.method === 'POST') armed = await request.text();
    return Response.json(told);
  },
};

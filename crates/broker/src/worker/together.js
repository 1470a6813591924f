// Publishes with small bodies on their way to a catalog's object. Those that arrive in this isolate together go in one call: an
// object takes about a thousand calls in a second, and a call costs several times what its publish does.
//
// A request can wait for another's promise, but only its own timers and calls keep it alive, and what it began ends with it.
// So the first that waits makes the call of all, in `waitUntil`, and each that waits has a deadline of its own.

import { answer, respond } from '../http.js';

/** How many bytes of bodies a call takes. */
const CALL_BYTES = 1 << 20;
/** How many bytes of bodies this isolate holds. A request that finds no room hands its body on unread. */
const HELD_BYTES = 8 << 20;
/** How many turns of the event loop a call waits at most, while more publishes arrive. */
const SETTLE_TURNS = 4;
/** How long a publish waits for the call of another request, which may have ended unheard. */
const PATIENCE_MS = 30_000;
/** How long the request that makes a call may take to make it. */
const DEPARTURE_MS = 1_000;
/** How long a part of what is under way counts at most. */
const COUNTED_MS = 60_000;
/** The host in the addresses of requests to objects that know no calls. */
const HOST = 'https://newsreel.object';

/** An amount of something that is under way. A request that is ended takes nothing back, so each part counts for a time at most. */
class UnderWay {
  #parts = new Set();
  #amount = 0;

  get amount() {
    for (const part of this.#parts) {
      if (Date.now() < part.until) break;
      this.end(part);
    }
    return this.#amount;
  }

  begin(amount) {
    const part = { amount, until: Date.now() + COUNTED_MS };
    this.#parts.add(part);
    this.#amount += amount;
    return part;
  }

  end(part) {
    if (this.#parts.delete(part)) this.#amount -= part.amount;
  }
}

/** The publishes of this isolate to one catalog. */
export class Departures {
  /** The publishes that wait for the next call, in order, each with the functions that settle it. */
  #waiting = [];
  /** The moment by which the request that makes the next call has made it, or has ended. */
  #dueBy = 0;
  #calls = new UnderWay();
  /** Whether the last call that waited for more had several publishes. */
  #wasShared = false;

  /**
   * Returns the promise of the answer to a publish. `send` promises the answers to a list of publishes, by means of the
   * request that asks; `outlive` keeps that request going for a promise.
   */
  async answer(publish, send, outlive) {
    if (!this.#hasCompany()) {
      const [alone] = await this.#send([publish], send);
      return alone;
    }
    const { promise, resolve, reject } = Promise.withResolvers();
    const isFirst = this.#waiting.push({ publish, resolve, reject }) === 1;
    if (isFirst || Date.now() > this.#dueBy) {
      this.#dueBy = Date.now() + DEPARTURE_MS;
      outlive(this.#depart(send));
    }
    const timer = setTimeout(() => reject(new Error('the request that took this publish along has ended')), PATIENCE_MS);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  #hasCompany() {
    return this.#wasShared || this.#waiting.length > 0 || this.#calls.amount > 0;
  }

  /** Waits while more publishes arrive, and sends all that wait. */
  async #depart(send) {
    for (let turn = 0, seen = 0; turn < SETTLE_TURNS && seen !== this.#waiting.length; turn += 1) {
      seen = this.#waiting.length;
      await new Promise((next) => setTimeout(next, 0));
    }
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#wasShared = waiting.length > 1;
    await Promise.all(loads(waiting).map(async (some) => {
      try {
        const answers = await this.#send(some.map(({ publish }) => publish), send);
        some.forEach(({ resolve }, index) => resolve(answers[index]));
      } catch (error) {
        some.forEach(({ reject }) => reject(error));
      }
    }));
  }

  async #send(publishes, send) {
    const call = this.#calls.begin(1);
    try {
      return await send(publishes);
    } finally {
      this.#calls.end(call);
    }
  }
}

/** Splits publishes that wait into calls. */
function loads(waiting) {
  const all = [];
  let room = 0;
  for (const one of waiting) {
    room -= one.publish.body.length;
    if (all.length === 0 || room < 0) {
      all.push([]);
      room = CALL_BYTES - one.publish.body.length;
    }
    all.at(-1).push(one);
  }
  return all;
}

const departures = new Map();
/** The bytes of the bodies that this isolate holds. */
const held = new UnderWay();

/**
 * Returns the promise of the answer to a publish whose body has `length` bytes, or of what `failed` makes of its error; nothing
 * where this isolate has no room for the body.
 */
export function submit(request, length, env, context, catalog, caller, failed) {
  if (held.amount + length > HELD_BYTES) return undefined;
  const body = held.begin(length);
  return answered(request, env, context, catalog, caller).catch(failed).finally(() => held.end(body));
}

async function answered(request, env, context, catalog, caller) {
  const { headers } = request;
  const [key, traceparent] = [headers.get('Idempotency-Key'), headers.get('traceparent')];
  const publish = { caller, key, traceparent, body: new Uint8Array(await request.arrayBuffer()) };
  let together = departures.get(catalog);
  if (together === undefined) departures.set(catalog, (together = new Departures()));
  const send = (publishes) => call(env.BROKER.getByName(catalog), catalog, publishes);
  return responseOf(await together.answer(publish, send, (work) => context.waitUntil(work)));
}

/** Promises the object's answers to publishes, a text each. */
export async function call(object, catalog, publishes) {
  try {
    return (await object.publish(heads(publishes), bodies(publishes))).split('\n');
  } catch (error) {
    // While a version of the Worker is rolled out an object may still run the one before.
    if (!/does not (implement|support)/.test(error?.message)) throw error;
    return Promise.all(publishes.map((publish) => byRequest(object, catalog, publish)));
  }
}

/** Returns four lines for each publish: the length of its body, its publisher, and two headers, each after an equals sign. */
function heads(publishes) {
  const header = (value) => (value === null ? '' : `=${value}`);
  return publishes
    .map(({ body, caller, key, traceparent }) => `${body.length}\n${caller}\n${header(key)}\n${header(traceparent)}`)
    .join('\n');
}

function bodies(publishes) {
  if (publishes.length === 1) return publishes[0].body;
  const all = new Uint8Array(publishes.reduce((sum, { body }) => sum + body.length, 0));
  let at = 0;
  for (const { body } of publishes) {
    all.set(body, at);
    at += body.length;
  }
  return all;
}

/** Promises the answer to a publish of an object that knows requests alone. */
async function byRequest(object, catalog, { body, caller, key, traceparent }) {
  const headers = { 'Newsreel-Caller': caller };
  if (key !== null) headers['Idempotency-Key'] = key;
  if (traceparent !== null) headers.traceparent = traceparent;
  const address = `${HOST}/v1/catalogs/${encodeURIComponent(catalog)}/changes`;
  const response = await object.fetch(address, { method: 'POST', headers, body });
  const lines = [...response.headers].map(([name, value]) => `${name}:${value}`).join('\n');
  return `!${JSON.stringify([response.status, lines, await response.text()])}`;
}

/** Returns the response of an answer: a receipt, or a status, headers and text as JSON after an exclamation mark. */
function responseOf(text) {
  return text.startsWith('!') ? respond(...JSON.parse(text.slice(1))) : answer('application/json', text);
}

// An origin that a test has in its hand: values with tags, answers that wait, fail, break off; and what it was asked.
//
// Like a real one it reads its value when the question comes, so an answer that is held is an old one when it leaves.

import { EventEmitter, once } from 'node:events';
import { createServer } from 'node:http';

/** An origin on a free port, which ends with the test. */
export async function startValues(t) {
  const values = new Values();
  await values.up();
  t.after(() => values.down());
  return values;
}

export class Values extends EventEmitter {
  /** Every question, in order: `{key, catalog, version, traceparent}`, of which the last two are headers. */
  asked = [];
  /** How many questions were open at once, at the most. */
  most = 0;
  #values = new Map();
  #faults = new Map();
  #held = new Map();
  #open = 0;
  #port = 0;

  constructor() {
    super();
    this.setMaxListeners(0);
  }

  get url() {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Listens, again on the port it had. */
  async up() {
    this.server = createServer((request, answer) => this.#answer(request, answer)).listen(this.#port, '127.0.0.1');
    await once(this.server, 'listening');
    this.#port = this.server.address().port;
  }

  /** Takes the origin away; answers under way break off. */
  async down() {
    if (!this.server.listening) return;
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close');
  }

  /** Sets a value: `body` a text or bytes, or anything else as JSON. `status`, `etag`, `headers`, `chunked` as they say. */
  set(key, body, { tags = [], type, ...more } = {}) {
    const raw = typeof body === 'string' || body instanceof Uint8Array;
    const bytes = Buffer.from(raw ? body : JSON.stringify(body));
    this.#values.set(key, { bytes, tags, type: type ?? (raw ? undefined : 'application/json'), ...more });
  }

  delete(key) {
    this.#values.delete(key);
  }

  /** Answers a key, or every one, with a status, or `hang`, `cut`, `reset`; with nothing again as it should. */
  fail(how, key = '*') {
    this.#faults.set(key, how);
  }

  count(key) {
    return key === undefined ? this.asked.length : this.asked.filter((one) => one.key === key).length;
  }

  /** From here on, answers to questions for a key wait: each for its `release` from `next`. */
  hold(key) {
    this.#held.set(key, []);
  }

  /** Answers what is held and holds no more. */
  releaseAll(key) {
    const held = this.#held.get(key) ?? [];
    this.#held.delete(key);
    for (const release of held) release();
  }

  /** Waits for the next question for a key that is held, and returns what answers it. */
  async next(key) {
    for (;;) {
      const release = this.#held.get(key)?.shift();
      if (release) return release;
      await once(this, 'asked');
    }
  }

  /** Waits until a key was asked for so many times. */
  async wasAsked(key, times) {
    while (this.count(key) < times) await once(this, 'asked');
  }

  async #answer(request, answer) {
    const [, catalog, encoded] = new URL(request.url, 'http://o').pathname.split('/');
    const key = decodeURIComponent(encoded);
    const value = this.#values.get(key);
    const fault = this.#faults.get(key) ?? this.#faults.get('*');
    this.#open += 1;
    this.most = Math.max(this.most, this.#open);
    answer.once('close', () => (this.#open -= 1));
    const held = this.#held.get(key);
    const released = held && new Promise((release) => held.push(release));
    const { traceparent, 'newsreel-version': version } = request.headers;
    this.asked.push({ key, catalog, version, traceparent });
    this.emit('asked');
    await released;
    if (fault === 'hang') return;
    if (fault === 'reset') request.socket.destroy();
    else if (typeof fault === 'number') answer.writeHead(fault).end('no');
    else if (value === undefined) answer.writeHead(404).end();
    else send(answer, value, fault === 'cut');
  }
}

function send(answer, { status = 200, bytes, tags, type, etag, chunked, headers = {} }, cut) {
  answer.writeHead(status, {
    ...(type && { 'content-type': type }),
    ...(tags.length > 0 && { 'cache-tag': tags.join(',') }),
    ...(etag && { etag }),
    ...(!chunked && { 'content-length': bytes.length }),
    ...headers,
  });
  if (!cut) return answer.end(bytes);
  answer.write(bytes.subarray(0, bytes.length / 2), () => answer.destroy());
}

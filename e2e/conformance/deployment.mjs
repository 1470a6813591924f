// A deployment as a stranger sees it: an address and tokens. And the stage of one check: its catalogs, what it
// waits for, and what it must close.

import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { randomBytes } from 'node:crypto';

import { Events } from './stream.mjs';
import { Follower } from './follower.mjs';
import { Publisher } from './publisher.mjs';
import { status } from './expect.mjs';

/** How long one check may take. */
export const CHECK_MS = 20_000;

export const NDJSON = 'application/x-ndjson';

export class Deployment {
  #made = 0;
  #run = randomBytes(4).toString('hex');

  /** `tokens` has `publish`, `follow` and perhaps `admin`. */
  constructor({ url, tokens, prefix = 'conf' }) {
    Object.assign(this, { url, tokens, prefix });
  }

  /** Returns a catalog name that no check used before. */
  name() {
    this.#made += 1;
    return `${this.prefix}-${this.#run}-${this.#made}`;
  }
}

/** The deployment as one check uses it: its logs, and all that it opens and waits for. */
export class Stage {
  #waits = new Set();
  #closers = [];
  #abort = new AbortController();

  constructor(deployment) {
    this.deployment = deployment;
  }

  get signal() {
    return this.#abort.signal;
  }

  /** The things that the check waits for at this moment, in words. */
  get waits() {
    return [...this.#waits];
  }

  /** Remembers in words what is waited for. */
  async wait(what, promise) {
    const wait = { toString: () => what };
    this.#waits.add(wait);
    try {
      return await promise;
    } finally {
      this.#waits.delete(wait);
    }
  }

  atEnd(closer) {
    this.#closers.push(closer);
  }

  /** Gives up all that is open. */
  end() {
    this.#abort.abort();
    for (const closer of this.#closers) closer();
  }

  /** Returns a log that no other check uses. */
  log(catalog = this.deployment.name()) {
    return new Log(this, catalog);
  }
}

/** One catalog, called as the document says. */
export class Log {
  constructor(stage, catalog) {
    Object.assign(this, { stage, catalog, deployment: stage.deployment, tokens: stage.deployment.tokens });
  }

  /** Returns another log that no other check uses. */
  another() {
    return this.stage.log();
  }

  at(path = '') {
    return `${this.deployment.url}/v1/catalogs/${this.catalog}${path}`;
  }

  /** One request. `token: undefined` sends none. */
  async call(method, path, { token, headers = {}, body, url = this.at(path) } = {}) {
    const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const asked = `${method} ${url.slice(this.deployment.url.length)}`;
    const init = { method, headers: { ...authorization, ...headers }, body, signal: this.stage.signal, redirect: 'manual' };
    const response = await this.stage.wait(`an answer to ${asked}`, fetch(url, init));
    const text = await this.stage.wait(`the end of the answer to ${asked}`, response.text());
    return answerOf(asked, response.status, response.headers, text);
  }

  /** Posts a body as it is. */
  post(body, { query = '', token = this.tokens.publish, headers } = {}) {
    return this.call('POST', `/changes${query}`, { token, headers, body });
  }

  /**
   * Asks what may be refused before all of it was sent. A server may hang up on a client that still sends (RFC 9110,
   * 15.5.14), and a proxy between may turn that into any error; so this asks again until the broker itself answers.
   */
  async answered(ask, tries = 10) {
    const answer = await ask().catch((error) => {
      if (tries === 1 || this.stage.signal.aborted) throw error;
    });
    return answer?.json?.code === undefined && tries > 1 ? this.answered(ask, tries - 1) : answer;
  }

  /** Publishes; returns the receipt. */
  async publish(publish, options) {
    return status(await this.post(JSON.stringify(publish), options), 200).json;
  }

  /** Posts lines, values or texts, and returns the answers. */
  async lines(lines, { headers, ...options } = {}) {
    const body = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n');
    const answer = status(await this.post(body, { headers: { 'content-type': NDJSON, ...headers }, ...options }), 200);
    return answer.text.split('\n').filter(Boolean).map((line) => JSON.parse(line));
  }

  /** Publishes one version per key, in order; returns the receipts. */
  keys(keys) {
    return this.lines(keys.map((key) => ({ key })));
  }

  /** Asks for a page; returns the answer of any status. */
  page(query = '', headers = {}) {
    return this.call('GET', `/changes${query}`, { token: this.tokens.follow, headers });
  }

  /** A page that there must be. */
  async pageOf(query = '') {
    return status(await this.page(query), 200).json;
  }

  async status() {
    return status(await this.call('GET', '', { token: this.tokens.follow }), 200).json;
  }

  newEpoch() {
    return this.call('POST', '/epochs', { token: this.tokens.admin });
  }

  async followers() {
    return status(await this.call('GET', '/followers', { token: this.tokens.admin }), 200).json;
  }

  /** Asks until the followers are as wanted: the broker has no event for it. */
  untilFollowers(what, wanted) {
    const ask = async () => {
      while (!wanted(await this.followers()));
    };
    return this.stage.wait(what, ask());
  }

  /** A follower, live unless `untilLive` is false. */
  follow(options = {}) {
    return new Follower(this, options).connect(options);
  }

  publisher(options) {
    return new Publisher(this, options).connect();
  }

  events(options) {
    return new Events(this, options).connect();
  }

  /** Asks for a WebSocket by hand, for what neither `fetch` nor `WebSocket` can do; hangs up at once. */
  upgrade(path, { token, headers = {} } = {}) {
    const url = new URL(this.at(path));
    const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, {
      agent: false,
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': randomBytes(16).toString('base64'),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...headers,
      },
    });
    return this.#answered(request, `GET ${path} as a WebSocket`);
  }

  /**
   * Begins a publish whose body ends when it is told to: `finish` sends the rest and returns the answer. `early` is
   * what came before that.
   */
  begin(body, { headers = {}, half = 3 } = {}) {
    const url = new URL(this.at('/changes'));
    const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, {
      method: 'POST',
      // A connection of its own: what the server does to it must not meet another request.
      agent: false,
      headers: { authorization: `Bearer ${this.tokens.publish}`, 'content-length': Buffer.byteLength(body), ...headers },
    });
    const answered = this.#answered(request, 'POST /changes', false);
    const begun = { early: undefined };
    answered.then(({ status: code, text }) => (begun.early = `${code} ${text}`), (error) => (begun.early = String(error)));
    request.write(body.slice(0, half));
    return Object.assign(begun, {
      finish: () => {
        request.end(body.slice(half));
        return answered;
      },
    });
  }

  #answered(request, asked, end = true) {
    const answer = new Promise((resolve, reject) => {
      request.on('upgrade', ({ statusCode, headers }, socket) => {
        socket.destroy();
        resolve(answerOf(asked, statusCode, new Headers(flat(headers)), ''));
      });
      request.on('response', async (response) => {
        const text = Buffer.concat(await response.toArray()).toString();
        resolve(answerOf(asked, response.statusCode, new Headers(flat(response.headers)), text));
      });
      request.on('error', reject);
    });
    this.stage.atEnd(() => request.destroy());
    if (end) request.end();
    return this.stage.wait(`an answer to ${asked}`, answer);
  }
}

function flat(headers) {
  return Object.entries(headers).map(([name, value]) => [name, String(value)]);
}

function answerOf(asked, statusCode, headers, text) {
  const isJson = /^application\/(problem\+)?json\b/.test(headers.get('content-type') ?? '');
  return { asked, status: statusCode, headers, text, json: isJson && text !== '' ? JSON.parse(text) : undefined };
}

// Scripted APIs that can only be asked, and the source that asks them.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { RunningSource } from './source.mjs';
import { temporaryFolder, TOKENS } from './system.mjs';

/** A server whose answers are scripted. Each misbehaviour of `next` is shown once, before the answer of `answer`. */
export class Api {
  /** Every request: its path with the query, and its headers. */
  asked = [];
  /** Misbehaviours that wait for their request: functions of the response, the answer and the request. */
  next = [];
  /** By how much the clock of the server is ahead, in milliseconds. */
  ahead = 0;

  static async start(t, answer) {
    const api = new Api();
    api.answer = answer;
    const server = createServer((request, response) => api.#handle(request, response));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    api.url = `http://127.0.0.1:${server.address().port}`;
    return api;
  }

  /** The time by the server's clock, in milliseconds. */
  now() {
    return Date.now() + this.ahead;
  }

  #handle(request, response) {
    const url = new URL(request.url, this.url);
    this.asked.push({ path: request.url, headers: request.headers });
    response.setHeader('Date', new Date(this.now()).toUTCString());
    const answer = this.answer(url, request);
    const misbehave = this.next.shift();
    if (misbehave) misbehave(response, answer, request);
    else if (!response.headersSent) send(response, answer, request);
  }
}

/** Sends an answer: its body as text or JSON, with an ETag where it asks for one; or `raw` as it is. */
export function send(response, { status = 200, headers = {}, body = '', etag = false, gzip = false, raw }, request) {
  if (raw) return response.writeHead(status, headers).end(raw);
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const type = typeof body === 'string' ? 'application/xml' : 'application/json';
  const tag = `"${createHash('sha256').update(text).digest('hex').slice(0, 16)}"`;
  const all = { 'Content-Type': type, ...(etag ? { ETag: tag } : {}), ...headers };
  if (etag && request.headers['if-none-match'] === tag) return response.writeHead(304, all).end();
  const packed = gzip && /gzip/.test(request.headers['accept-encoding'] ?? '');
  return response.writeHead(status, { ...all, ...(packed ? { 'Content-Encoding': 'gzip' } : {}) }).end(packed ? gzipSync(text) : text);
}

/** What public APIs show now and then. */
export const misbehave = {
  busy: (seconds) => (response) => response.writeHead(429, { 'Retry-After': seconds }).end('slow down'),
  status: (status, body = '') => (response) => response.writeHead(status).end(body),
  errorIn200: (response) => send(response, { body: { status_message: 'over limit', success: false } }),
  cutOff: (response, { body }) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(text.slice(0, text.length - 5));
  },
  hangUp: (response, { body }) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': text.length });
    response.write(text.slice(0, text.length / 2), () => response.destroy());
  },
  silent: () => {},
  html: (response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<p>maintenance</p>'),
  redirect: (to, status = 302) => (response) => response.writeHead(status, { Location: to }).end(),
};

/** `newsreel source http` with a mapping. */
export class HttpSource extends RunningSource {
  constructor(t, { broker, map, flags = [], folder = join(temporaryFolder(t), 'source') }) {
    mkdirSync(folder, { recursive: true });
    super(t, folder, map);
    this.folder = folder;
    this.state = join(folder, 'state');
    this.words = ['source', 'http', '--map', this.map, '--broker', broker.url, '--token', TOKENS.publish, '--state', this.state, ...flags];
  }
}

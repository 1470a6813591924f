// A broker that does what a test tells it, lies included: for clients, which must come through all of it.
//
// The broker answers HTTP and opens WebSockets on a port of its own, and decides nothing by itself. A test takes each
// connection as it comes and speaks its side of it.

import { once } from 'node:events';
import { createServer } from 'node:http';

import { WebSocketServer } from 'ws';

export const EPOCH = '01ARYZ6S410000000000000000';
export const NEWER = '01BX5ZZKBK0000000000000000';

/** The hash that this log has at a version; only its being the same each time matters. */
export const hashOf = (version, history = 0) => (version * 16 + history).toString(16).padStart(16, '0');

export const positionOf = (version, epoch = EPOCH) => `${epoch}:${version}:${hashOf(version)}`;

/** A `changes` frame of one key a version. */
export function changesOf(from, to, more = {}) {
  const versions = Array.from({ length: to - from }, (_, index) => {
    const version = from + 1 + index;
    return { version, at: 1_767_225_600_000 + version, changes: [{ key: `title:${version}` }] };
  });
  return { type: 'changes', from, to, hash: hashOf(to), versions, ...more };
}

export function problem(status, code, members = {}) {
  const body = { type: `urn:newsreel:problem:${code}`, title: code, status, code, detail: `told so: ${code}`, ...members };
  return { status, headers: { 'content-type': 'application/problem+json' }, body: JSON.stringify(body) };
}

export const json = (body) => ({ status: 200, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });

export class FakeBroker {
  /** Answers a request that is no WebSocket; the status of the log otherwise. */
  answer = () => json({ catalog: 'tv', epoch: this.epoch, version: this.head, position: this.position });
  /** Refuses a WebSocket with an answer; nothing lets it open. `'silence'` never answers, `'cut'` breaks off. */
  refuse = () => undefined;
  /** The epoch in every pong and in the status. */
  epoch = EPOCH;
  head = 0;
  /** Requests that were answered over HTTP. */
  requests = [];
  #sockets = new Set();
  #came = [];
  #wanted = [];

  static async start(t) {
    const broker = new FakeBroker();
    await broker.#listen(t);
    return broker;
  }

  async #listen(t) {
    const acceptor = new WebSocketServer({ noServer: true, handleProtocols: (offered) => this.protocol(offered) });
    const server = createServer(async (request, response) => {
      const url = new URL(request.url, this.url);
      this.requests.push(url);
      const { status, headers, body } = await this.answer(url, request.headers);
      response.writeHead(status, headers).end(body);
    });
    const raw = new Set();
    server.on('connection', (socket) => raw.add(socket.on('error', () => {})));
    server.on('upgrade', (request, socket, head) => {
      const refusal = this.refuse(new URL(request.url, this.url), request.headers);
      if (refusal === 'silence') return;
      if (refusal === 'cut') return void socket.destroy();
      if (refusal) {
        const lines = Object.entries({ ...refusal.headers, connection: 'close' }).map(([name, value]) => `${name}: ${value}\r\n`);
        return void socket.end(`HTTP/1.1 ${refusal.status} No\r\n${lines.join('')}\r\n${refusal.body ?? ''}`);
      }
      acceptor.handleUpgrade(request, socket, head, (opened) => this.#accept(new Connection(this, opened, request)));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    this.url = `http://127.0.0.1:${server.address().port}`;
    t.after(() => {
      for (const socket of raw) socket.destroy();
      server.close();
    });
  }

  /** The subprotocol that is echoed. */
  protocol(offered) {
    return offered.has('newsreel.v1') ? 'newsreel.v1' : false;
  }

  #accept(connection) {
    this.#sockets.add(connection);
    const taker = this.#wanted.shift();
    if (taker) taker(connection);
    else this.#came.push(connection);
  }

  get position() {
    return positionOf(this.head, this.epoch);
  }

  /** How many connections came in all. */
  get accepted() {
    return this.#sockets.size;
  }

  /** The next connection, as it comes. */
  connection() {
    const came = this.#came.shift();
    return came ? Promise.resolve(came) : new Promise((resolve) => this.#wanted.push(resolve));
  }

  /** The next connection, greeted at the head and live. */
  async live(head = this.head) {
    const connection = await this.connection();
    this.head = head;
    connection.send({ type: 'welcome', epoch: EPOCH, head, hash: hashOf(head), resume: 'live' });
    connection.send({ type: 'live', version: head });
    return connection;
  }
}

/** The broker's side of one connection. */
class Connection {
  /** Whether pings are answered by themselves, with the broker's head. */
  pongs = true;
  #broker;
  #socket;
  #heard = [];
  #wanted = [];

  constructor(broker, socket, request) {
    this.#broker = broker;
    this.#socket = socket;
    this.query = new URL(request.url, broker.url).searchParams;
    const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((one) => one.trim());
    const bearer = offered.find((one) => one.startsWith('newsreel.bearer.'))?.slice('newsreel.bearer.'.length);
    this.token = bearer === undefined ? undefined : Buffer.from(bearer, 'base64url').toString();
    this.closed = new Promise((resolve) => socket.on('close', (code, reason) => resolve({ code, reason: String(reason) })));
    socket.on('message', (data) => this.#hear(String(data)));
    socket.on('error', () => {});
  }

  /** Sends a frame, or a text, or bytes. */
  send(frame) {
    const isRaw = typeof frame === 'string' || Buffer.isBuffer(frame);
    this.#socket.send(isRaw ? frame : JSON.stringify(frame));
  }

  close(code, reason) {
    this.#socket.close(code, reason);
  }

  /** The connection is gone without a word. */
  cut() {
    this.#socket.terminate();
  }

  #hear(text) {
    if (text === 'ping' && this.pongs) this.send(`pong ${this.#broker.position}`);
    const frame = text === 'ping' ? text : JSON.parse(text);
    const taker = this.#wanted.find(({ wants }) => wants(frame));
    if (!taker) return void this.#heard.push(frame);
    this.#wanted.splice(this.#wanted.indexOf(taker), 1);
    taker.resolve(frame);
  }

  /** The next text that the client sends and `wants` takes: one that waits already, or one to come. */
  #next(wants) {
    const at = this.#heard.findIndex(wants);
    if (at >= 0) return Promise.resolve(this.#heard.splice(at, 1)[0]);
    return new Promise((resolve) => this.#wanted.push({ wants, resolve }));
  }

  /** The version of its next ack. */
  async ack() {
    return (await this.#next((frame) => frame.type === 'ack')).version;
  }

  ping() {
    return this.#next((frame) => frame === 'ping');
  }

  /** The versions of the acks that have come and that no test took. */
  get acks() {
    return this.#heard.filter((frame) => frame.type === 'ack').map((frame) => frame.version);
  }
}

// A WebSocket whose owner waits for what it hears. Knows the ping; what else a text means is its owner's.

import { Mismatch, same } from './expect.mjs';

export class Socket {
  /** Every text, in order. */
  texts = [];
  pongs = [];
  /** Code and reason, once it closed. */
  closed = undefined;
  /** The first thing that was heard and may not be. */
  failure = undefined;
  /** The frame that says what is wrong. */
  error = undefined;
  #waiters = new Set();

  constructor(log, token) {
    Object.assign(this, { log, token });
  }

  /** Connects with the token as a subprotocol, as a web page does. */
  async dial(path, headers = {}) {
    const bearer = `newsreel.bearer.${Buffer.from(this.token).toString('base64url')}`;
    const protocols = ['newsreel.v1', bearer];
    this.closed = undefined;
    const socket = new WebSocket(this.log.at(path).replace(/^http/, 'ws'), { protocols, headers });
    this.socket = socket;
    this.log.stage.atEnd(() => socket.close());
    socket.addEventListener('message', ({ data }) => socket === this.socket && this.#hear(data));
    socket.addEventListener('close', ({ code, reason }) => {
      if (socket !== this.socket) return;
      this.closed = { code, reason };
      this.#wake();
    });
    await this.log.stage.wait(`the WebSocket ${path} to open`, new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve);
      socket.addEventListener('error', () => reject(new Mismatch(`the WebSocket ${path}`, 'it opens', 'it was refused')));
    }));
    same('the subprotocol that is echoed', socket.protocol, 'newsreel.v1');
    return this;
  }

  send(text) {
    this.socket.send(text);
  }

  /** Waits until a condition holds; fails when it cannot any more. `what` says in words what is waited for. */
  until(what, condition = what) {
    const waiting = new Promise((resolve, reject) => {
      const look = () => {
        if (this.failure) reject(this.failure);
        else if (condition()) resolve();
        else if (this.closed) reject(this.#ended(what));
        else return false;
        this.#waiters.delete(look);
        return true;
      };
      if (!look()) this.#waiters.add(look);
    });
    return this.log.stage.wait(what, waiting);
  }

  /** Waits for the close, and for the error frame if one must come before. */
  async closesWith(code, error) {
    await this.until(`a close with ${code}`, () => this.closed);
    same('the close code', this.closed.code, code);
    if (error !== undefined) same('the error before the close', this.error?.code, error);
  }

  /** Asks for the head. */
  async ping() {
    const wanted = this.pongs.length + 1;
    this.send('ping');
    await this.until('a pong', () => this.pongs.length >= wanted);
    return this.pongs[wanted - 1];
  }

  async close() {
    if (this.closed) return;
    this.socket.close(1000);
    await this.until('the close that was asked for', () => this.closed);
  }

  #hear(text) {
    try {
      if (typeof text !== 'string') throw new Mismatch('a frame', 'a text', 'binary');
      this.texts.push(text);
      if (text.startsWith('pong ')) this.pongs.push(text.slice(5));
      else this.hear(text);
    } catch (failure) {
      this.failure ??= failure;
    }
    this.#wake();
  }

  #wake() {
    for (const look of [...this.#waiters]) look();
  }

  #ended(what) {
    const seen = { closed: this.closed, error: this.error, 'last text': this.texts.at(-1)?.slice(0, 300) };
    return new Mismatch(`closed: ${JSON.stringify(this.closed)}, before ${what}`, 'it comes over the open socket', seen);
  }
}

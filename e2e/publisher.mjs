// An independent publisher over the publishing socket: written from PROTOCOL.md, not from the Rust code.
//
// The publisher sends without waiting and gives every publish its answer, in order. When the connection breaks,
// unanswered publishes stay in `unanswered`: the next `connect` sends them again.

import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';

import { TOKENS } from './system.mjs';

export class Publisher extends EventEmitter {
  /** The publishes that were sent and not answered yet, in order: each text with the function that takes its answer. */
  unanswered = [];
  /** Every frame of answers. */
  frames = [];
  pongs = [];

  constructor(broker, { catalog = 'tv', token = TOKENS.publish } = {}) {
    super();
    this.setMaxListeners(0);
    Object.assign(this, { broker, catalog, token });
  }

  /** Connects, and sends the unanswered publishes again. */
  async connect() {
    const url = this.broker.at('/publish', this.catalog).replace(/^http/, 'ws');
    const bearer = `newsreel.bearer.${Buffer.from(this.token).toString('base64url')}`;
    this.closed = undefined;
    this.socket = new WebSocket(url, ['newsreel.v1', bearer]);
    this.socket.addEventListener('message', (event) => this.#hear(event.data));
    this.socket.addEventListener('close', (event) => {
      this.closed = { code: event.code, reason: event.reason };
      this.emit('heard');
    });
    await new Promise((resolve, reject) => {
      this.socket.addEventListener('open', resolve);
      this.socket.addEventListener('error', () => reject(new Error('the socket did not open')));
    });
    assert.equal(this.socket.protocol, 'newsreel.v1', 'only newsreel.v1 is echoed');
    for (const { text } of this.unanswered) this.socket.send(text);
    return this;
  }

  /** Publishes a value, or a text as it is; resolves to its answer. */
  publish(publish) {
    const text = typeof publish === 'string' ? publish : JSON.stringify(publish);
    const answer = new Promise((answered) => this.unanswered.push({ text, answered }));
    this.socket.send(text);
    return answer;
  }

  async until(condition) {
    while (!condition()) {
      if (this.failure) throw this.failure;
      if (this.closed) throw new Error(`closed: ${JSON.stringify(this.closed)}`);
      await once(this, 'heard');
    }
  }

  async close() {
    if (this.socket.readyState === WebSocket.CLOSED) return;
    this.socket.close(1000);
    await once(this.socket, 'close');
  }

  #hear(text) {
    if (text.startsWith('pong ')) {
      this.pongs.push(text.slice(5));
    } else {
      const frame = JSON.parse(text);
      if (frame.type === 'answers') {
        this.frames.push(frame);
        for (const answer of frame.answers) this.unanswered.shift().answered(answer);
      } else if (frame.type === 'error') {
        this.error = frame;
      } else {
        this.failure = new Error(`not for a publisher: ${text}`);
      }
    }
    this.emit('heard');
  }
}

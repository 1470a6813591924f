// An independent follower: written from PROTOCOL.md, not from the Rust code, and checking it on every frame.
//
// The follower keeps every version it applied, acknowledges replay pages, and fails loudly on a gap, a repeat, a split
// version or a frame out of order. Tests wait for what it heard; nothing sleeps.

import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';

import { TOKENS } from './system.mjs';

export class Follower extends EventEmitter {
  /** Every version applied, in order. */
  versions = [];
  /** Every frame of this connection. */
  frames = [];
  /** The changes that came in folds, with their versions. */
  folded = [];
  position = undefined;
  resets = 0;
  live = false;

  /** A `mute` follower hears everything and acknowledges nothing. */
  constructor(broker, { catalog = 'tv', token = TOKENS.follow, name = 'e2e', topics = [], mute = false } = {}) {
    super();
    this.setMaxListeners(0);
    Object.assign(this, { broker, catalog, token, name, topics, mute });
  }

  /** Connects: from the position held, else from everything kept, else (`head`) from now. Waits for `live`. */
  async connect({ from = this.position ?? 'start', untilLive = true } = {}) {
    const query = new URLSearchParams({ name: this.name });
    for (const topic of this.topics) query.append('topic', topic);
    if (from === 'start') query.set('version', '0');
    else if (from !== 'head') for (const [name, value] of Object.entries(from)) query.set(name, String(value));
    const url = this.broker.at(`/follow?${query}`, this.catalog).replace(/^http/, 'ws');
    const bearer = `newsreel.bearer.${Buffer.from(this.token).toString('base64url')}`;
    this.frames = [];
    this.live = false;
    this.socket = new WebSocket(url, ['newsreel.v1', bearer]);
    this.socket.addEventListener('message', (event) => this.#hear(event.data));
    this.socket.addEventListener('close', (event) => {
      this.closed = { code: event.code, reason: event.reason };
      this.emit('heard');
    });
    this.closed = undefined;
    await opened(this.socket);
    assert.equal(this.socket.protocol, 'newsreel.v1', 'only newsreel.v1 is echoed');
    if (untilLive) await this.until(() => this.live);
    return this;
  }

  /** Whether the broker has closed. Its Close frame comes at once; workerd ends the connection, which is told by the
   * event, only when the object sleeps. */
  get isLeft() {
    return this.socket.readyState >= WebSocket.CLOSING;
  }

  async close() {
    if (this.socket.readyState === WebSocket.CLOSED) return;
    this.socket.close(1000);
    await once(this.socket, 'close');
  }

  /** Waits until `condition` holds after something was heard. */
  async until(condition) {
    while (!condition()) {
      if (this.failure) throw this.failure;
      if (this.closed && !condition()) throw new Error(`closed: ${JSON.stringify(this.closed)}`);
      await once(this, 'heard');
    }
    if (this.failure) throw this.failure;
  }

  reached(version) {
    return this.until(() => (this.position?.version ?? -1) >= version);
  }

  /** Asks for the head, which the broker answers without waking. */
  async ping() {
    const before = this.frames.filter((frame) => frame.pong).length;
    this.socket.send('ping');
    await this.until(() => this.frames.filter((frame) => frame.pong).length > before);
    return this.frames.findLast((frame) => frame.pong).pong;
  }

  #hear(text) {
    try {
      this.#apply(text);
    } catch (error) {
      this.failure ??= error;
    }
    this.emit('heard');
  }

  #apply(text) {
    if (text.startsWith('pong ')) return void this.frames.push({ pong: text.slice(5) });
    const frame = JSON.parse(text);
    this.frames.push(frame);
    const [{ type }] = this.frames;
    assert.equal(type, 'welcome', 'the first frame is a welcome');
    switch (frame.type) {
      case 'welcome':
        this.epoch = frame.epoch;
        if (frame.resume === 'live') this.#move(frame.epoch, frame.head, frame.hash);
        break;
      case 'changes':
        return this.#changes(frame);
      case 'fold':
        return this.#fold(frame);
      case 'live':
        assert.ok(this.topics.length > 0 || frame.version === this.position.version, 'live only when all has come');
        this.live = true;
        break;
      case 'head':
        this.#move(this.epoch, frame.version, frame.hash);
        break;
      case 'reset':
        this.resets += 1;
        [this.versions, this.folded] = [[], []];
        this.epoch = frame.epoch;
        this.#move(frame.epoch, frame.version, frame.hash);
        this.#ack();
        break;
      case 'error':
        this.error = frame;
        break;
      default:
        break;
    }
  }

  #changes({ from, to, hash, versions, ack }) {
    const held = this.position?.version ?? 0;
    assert.ok(from <= held, `no gap: the frame begins after ${from}, ${held} is held`);
    if (to <= held) return;
    const fresh = versions.filter((row) => row.version > held);
    if (this.topics.length === 0) {
      const expected = Array.from({ length: to - held }, (_, index) => held + 1 + index);
      assert.deepEqual(fresh.map((row) => row.version), expected, 'every version, once, in order');
    }
    this.versions.push(...fresh);
    this.#move(this.epoch, to, hash);
    if (!this.live || ack) this.#ack();
  }

  #fold({ from, to, hash, changes, more = false }) {
    const held = this.position?.version ?? 0;
    assert.equal(from, held, 'a fold begins where the follower stands');
    const versions = changes.map((change) => change.version);
    assert.ok(versions.every((version) => version > from && version <= to), `within (${from}, ${to}]`);
    assert.deepEqual(versions, [...versions].sort((a, b) => a - b), 'ordered by version');
    this.folded.push(...changes);
    if (!more) this.#move(this.epoch, to, hash);
    this.#ack();
  }

  #ack() {
    if (!this.mute) this.socket.send(JSON.stringify({ type: 'ack', version: this.position?.version ?? 0 }));
  }

  /** The newest version heard of each target, in folds and versions alike. */
  newest() {
    const newest = new Map();
    const hear = (version, { key, tag, prefix, all }) => newest.set(key ?? tag ?? prefix ?? `all ${all}`, version);
    for (const change of this.folded) hear(change.version, change);
    for (const { version, changes } of this.versions) for (const change of changes) hear(version, change);
    return newest;
  }

  #move(epoch, version, hash) {
    this.position = { epoch, version, hash };
  }
}

/** Waits until a socket is open; rejects when it never will be. */
function opened(socket) {
  return new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve);
    socket.addEventListener('error', () => reject(new Error('the socket did not open')));
  });
}

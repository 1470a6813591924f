// An independent reader of server-sent events: written from PROTOCOL.md, checking the grammar and the log on
// every event. Tests wait for what it heard; nothing sleeps.

import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';

import { TOKENS } from './system.mjs';

export class Events extends EventEmitter {
  /** Every event: its type, id and frame. */
  events = [];
  /** Every version applied, in order. */
  versions = [];
  comments = 0;
  /** The last id, as the browser would show it again. */
  last = '';

  constructor(broker, { catalog = 'tv', query = '' } = {}) {
    super();
    Object.assign(this, { broker, catalog, query });
  }

  /** Connects, from the last id if there is one; waits for the head of the answer. */
  async connect(headers = {}) {
    this.leaving = new AbortController();
    this.ended = false;
    const response = await fetch(this.broker.at(`/changes${this.query}`, this.catalog), {
      headers: {
        accept: 'text/event-stream',
        authorization: `Bearer ${TOKENS.follow}`,
        ...(this.last ? { 'last-event-id': this.last } : {}),
        ...headers,
      },
      signal: this.leaving.signal,
    });
    this.response = response;
    assert.equal(response.status, 200, response.ok ? '' : await response.text());
    assert.equal(response.headers.get('content-type'), 'text/event-stream');
    assert.equal(response.headers.get('cache-control'), 'no-store, no-transform');
    assert.equal(response.headers.get('x-accel-buffering'), 'no');
    this.#hear(response.body);
    return this;
  }

  leave() {
    this.leaving.abort();
  }

  /** Waits until `condition` holds after something was heard. */
  async until(condition) {
    while (!condition()) {
      if (this.failure) throw this.failure;
      if (this.ended) throw new Error('the stream ended');
      await once(this, 'heard');
    }
    if (this.failure) throw this.failure;
  }

  /** Waits until the position is at least that of a receipt. */
  reached({ version }) {
    return this.until(() => this.version >= version);
  }

  get version() {
    return this.last === '' ? 0 : Number(this.last.split(':')[1]);
  }

  async #hear(body) {
    let text = '';
    try {
      for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
        text += chunk;
        const blocks = text.split('\n\n');
        text = blocks.pop();
        for (const block of blocks) this.#block(block);
        this.emit('heard');
      }
    } catch (error) {
      if (!this.leaving.signal.aborted) this.failure ??= error;
    }
    this.ended = true;
    this.emit('heard');
  }

  #block(block) {
    if (block === ':') return void (this.comments += 1);
    const fields = new Map(block.split('\n').map((line) => line.match(/^(\w+): (.*)$/).slice(1)));
    if (fields.has('retry')) return void (this.retry = Number(fields.get('retry')));
    const [type, id, frame] = [fields.get('event'), fields.get('id'), JSON.parse(fields.get('data'))];
    assert.equal(frame.type, type, 'an event has the type of its frame');
    assert.match(id, /^[0-7][0-9A-HJKMNP-TV-Z]{25}:\d+:[0-9a-f]{16}$/);
    const [epoch, version, hash] = id.split(':');
    if (type === 'changes') {
      assert.equal(frame.from <= this.version && this.version < frame.to, true, `${frame.from} ${this.version} ${frame.to}`);
      assert.deepEqual([String(frame.to), frame.hash], [version, hash], 'the id is the position after the event');
      assert.ok(frame.versions.every((row) => row.version > this.version), 'no repeat');
      this.versions.push(...frame.versions);
    } else {
      assert.deepEqual([String(frame.version), frame.hash], [version, hash]);
      if (type === 'reset') {
        assert.equal(frame.epoch, epoch);
        this.versions = [];
      } else {
        assert.equal(type, 'head');
      }
    }
    this.last = id;
    this.events.push({ type, id, frame });
  }
}

// A strict reader of server-sent events: checks the grammar, the ids and the rows of every event.

import { Mismatch, holds, matches, mediaType, same, status } from './expect.mjs';
import { POSITION, canonicalRows, chain, genesis, passes, position } from './rows.mjs';

export class Events {
  /** Every event: its type, id and frame. */
  events = [];
  versions = [];
  comments = 0;
  retry = undefined;
  /** The first line of the stream. */
  first = undefined;
  ended = false;
  #waiters = new Set();

  /** `last` is shown as `Last-Event-ID`. */
  constructor(log, { query = '', last = '', topics = [], headers = {} } = {}) {
    const topicQuery = topics.map((topic) => `&topic=${encodeURIComponent(topic)}`).join('');
    Object.assign(this, { log, query: `${query || '?'}${topicQuery}`, last, topics, headers });
  }

  /** Connects, from the last id if there is one; waits for the head of the answer. */
  async connect(headers = {}) {
    const { log } = this;
    const leaving = new AbortController();
    Object.assign(this, { leaving, ended: false });
    log.stage.atEnd(() => leaving.abort());
    const response = await log.stage.wait('a stream of events', fetch(log.at(`/changes${this.query}`), {
      headers: {
        accept: 'text/event-stream',
        authorization: `Bearer ${log.tokens.follow}`,
        ...(this.last ? { 'last-event-id': this.last } : {}),
        ...this.headers,
        ...headers,
      },
      signal: leaving.signal,
    }));
    if (response.status !== 200) {
      status({ asked: 'the stream of events', status: response.status, text: await response.text() }, 200);
    }
    this.response = response;
    same('the content type of events', mediaType(response), 'text/event-stream');
    same('the Cache-Control of events', response.headers.get('cache-control'), 'no-store, no-transform');
    same('the X-Accel-Buffering of events', response.headers.get('x-accel-buffering'), 'no');
    this.#read(response.body);
    return this;
  }

  leave() {
    this.leaving.abort();
  }

  until(what, condition = what) {
    return this.log.stage.wait(what, new Promise((resolve, reject) => {
      const look = () => {
        if (this.failure) reject(this.failure);
        else if (condition()) resolve();
        else if (this.ended) reject(new Mismatch(what, 'it comes over the open stream', 'the stream ended'));
        else return;
        this.#waiters.delete(look);
      };
      this.#waiters.add(look);
      look();
    }));
  }

  reached(version) {
    return this.until(`version ${version} at a stream`, () => this.version >= version);
  }

  /** Waits for the bookmark after everything kept. */
  caughtUp() {
    return this.until('the event `head`', () => this.types().includes('head'));
  }

  get version() {
    return this.last === '' ? 0 : position(this.last).version;
  }

  types() {
    return this.events.map((event) => event.type);
  }

  async #read(body) {
    let text = '';
    try {
      for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
        text += chunk;
        const blocks = text.split('\n\n');
        text = blocks.pop();
        for (const block of blocks) this.#block(block);
        this.#wake();
      }
    } catch (failure) {
      if (!this.leaving.signal.aborted) this.failure ??= failure;
    }
    this.ended = true;
    this.#wake();
  }

  #wake() {
    for (const look of [...this.#waiters]) look();
  }

  #block(block) {
    const all = block.split('\n');
    const lines = all.filter((line) => !line.startsWith(':'));
    this.comments += all.length - lines.length;
    if (lines.length === 0) return;
    const fields = new Map();
    for (const line of lines) {
      const [, name, value] = line.match(/^(retry|event|id|data): ?(.*)$/) ?? [];
      holds('a line of an event', name !== undefined, 'retry, event, id or data', line);
      fields.set(name, value);
    }
    this.first ??= lines[0];
    if (fields.has('retry')) this.retry = Number(fields.get('retry'));
    if (fields.has('data')) this.#event(fields.get('event'), fields.get('id'), fields.get('data'));
  }

  #event(type, id, data) {
    const frame = JSON.parse(data);
    same('the type of the frame of an event', frame.type, type);
    if (id !== undefined) matches('the id of an event', id, POSITION);
    if (type === 'changes') this.#changes(frame, id, data);
    else if (type === 'reset') {
      same('the id of a reset', id, `${frame.epoch}:${frame.version}:${frame.hash}`);
      this.versions = [];
    } else if (type === 'head') same('version and hash of a bookmark', id.slice(27), `${frame.version}:${frame.hash}`);
    if (id !== undefined) this.last = id;
    this.events.push({ type, id, frame });
  }

  #changes({ from, to, hash, versions }, id, data) {
    same('the id of changes', id.slice(27), `${to}:${hash}`);
    holds('changes', from <= this.version && this.version < to, `they begin at or before ${this.version}`, { from, to });
    const rows = canonicalRows(data);
    holds('no version twice', versions.every((row) => row.version > this.version), `above ${this.version}`, versions);
    if (this.topics.length === 0) {
      same('the number of versions of an event', versions.length, to - this.version);
      const held = this.last === '' ? genesis(id.slice(0, 26)) : position(this.last).hash;
      same(`the hash of version ${to}, from the rows`, hash, chain(held, rows));
    }
    const strange = versions.flatMap((row) => row.changes).find((change) => !passes(change, this.topics));
    if (strange) throw new Mismatch('a change of a filtered stream', `one that passes ${this.topics}`, strange);
    this.versions.push(...versions);
  }
}

// The package as tests of its behaviour use it: built, with short times, and what came recorded.

import { EventEmitter, once } from 'node:events';

import { connect } from '../target/client/package/dist/node.js';

export * from '../target/client/package/dist/node.js';

/** Times in which a test passes. */
export const QUICK = {
  connectTimeoutMs: 2_000, pingEveryMs: 40, pongTimeoutMs: 150, behindGraceMs: 30, pageTimeoutMs: 100, ackEveryMs: 20,
  backoffBaseMs: 1, backoffCapMs: 4,
};

/** A position store that a test can look into, and make fail. */
export class TestStore {
  written = [];
  failures = 0;

  constructor(position) {
    this.position = position;
  }

  read() {
    return this.position;
  }

  async write(position) {
    if (this.failures > 0 && this.failures--) throw new Error('the disk is full');
    this.position = position;
    this.written.push(position);
  }
}

/** A feed and everything that came of it. */
export class Recorder extends EventEmitter {
  /** Every event, in the order of its handler's call. */
  events = [];
  states = [];

  /** Connects with callbacks. `handle` is called for each batch, after it was noted. */
  static async follow(t, broker, { handle, ...options } = {}) {
    const recorder = new Recorder();
    recorder.setMaxListeners(0);
    recorder.feed = await connect(broker.url, {
      catalog: 'tv',
      timing: QUICK,
      onChanges: async (events, feed) => {
        recorder.events.push(...events);
        recorder.emit('came');
        await handle?.(events, feed);
      },
      onState: (state) => {
        recorder.states.push(state);
        recorder.emit('came');
      },
      ...options,
    });
    t.after(() => recorder.feed.close());
    return recorder;
  }

  /** The versions that came, in order. */
  get versions() {
    return this.events.map(({ version }) => version);
  }

  /** Waits until something that came makes it true. */
  async until(isMet) {
    while (!isMet(this)) await once(this, 'came');
  }

  /** The next state of that name, from here on. */
  async next(name) {
    for (;;) {
      await once(this, 'came');
      const state = this.states.at(-1);
      if (state?.name === name) return state;
    }
  }

  /** The first state of that name. */
  async state(name) {
    await this.until(() => this.states.some((state) => state.name === name));
    return this.states.find((state) => state.name === name);
  }
}

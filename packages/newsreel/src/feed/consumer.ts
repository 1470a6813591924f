/** The consumer of a feed's events: callbacks, a loop, or none yet. */

import { NewsreelError } from '../error.js';
import type { FeedEvent } from './events.js';
import type { ConnectOptions } from './options.js';
import type { Feed } from './types.js';

/** Thrown into the feed when a loop is left, so that the event it was left at does not count as handled. */
export const LEFT = Symbol('left');

interface Settle<T> {
  resolve: (value: T) => void;
  reject: (reason: unknown) => void;
}

/** A loop over a feed. One event is in the body at a time, and is handled once the body asks for the next. */
export class Loop implements AsyncIterator<FeedEvent, undefined> {
  #asked: Settle<IteratorResult<FeedEvent, undefined>>[] = [];
  #offered: FeedEvent | undefined;
  #inBody: Settle<void> | undefined;
  #end: { error: unknown } | undefined;
  #leave: () => void;

  /** `leave` is called when the body leaves the loop. */
  constructor(leave: () => void) {
    this.#leave = leave;
  }

  /** Hands an event to the body; resolves when the body is done with the event. */
  hand(event: FeedEvent): Promise<void> {
    if (this.#end) return Promise.reject(LEFT);
    return new Promise((resolve, reject) => {
      [this.#offered, this.#inBody] = [event, { resolve, reject }];
      this.#match();
    });
  }

  /** Ends the loop once the body is done with its event; with an error the loop throws that error. */
  end(error: unknown): void {
    this.#end ??= { error };
    if (this.#offered) {
      this.#inBody?.reject(LEFT);
      [this.#offered, this.#inBody] = [undefined, undefined];
    }
    this.#match();
  }

  /** The body wants the next event, and is done with the last. */
  next(): Promise<IteratorResult<FeedEvent, undefined>> {
    if (!this.#offered) {
      this.#inBody?.resolve();
      this.#inBody = undefined;
    }
    return new Promise((resolve, reject) => {
      this.#asked.push({ resolve, reject });
      this.#match();
    });
  }

  /** Called on `break`, `return` and a throw in the body alike, so the event comes again another time. */
  return(): Promise<IteratorResult<FeedEvent, undefined>> {
    this.#inBody?.reject(LEFT);
    [this.#offered, this.#inBody] = [undefined, undefined];
    this.#end ??= { error: undefined };
    this.#leave();
    return Promise.resolve({ done: true, value: undefined });
  }

  #match(): void {
    const event = this.#offered;
    if (event && this.#asked.length > 0) {
      this.#offered = undefined;
      this.#asked.shift()?.resolve({ done: false, value: event });
    }
    while (this.#end && this.#asked.length > 0) {
      const { error } = this.#end;
      const asked = this.#asked.shift();
      this.#end = { error: undefined };
      if (error === undefined) asked?.resolve({ done: true, value: undefined });
      else asked?.reject(error);
    }
  }
}

type Callbacks = Pick<ConnectOptions, 'onChanges' | 'onReset'>;

/** Hands events to the callbacks or to the loop, and holds them back until there is one. */
export class Consumer {
  #callbacks: Callbacks;
  #loop: Loop | undefined;
  #came: (() => void) | undefined;
  #ended: { error: unknown } | undefined;
  /** Whether events went to caches alone. */
  #passed = false;
  /** Whether a cache is attached: then events need no other consumer. */
  cachesAttached = false;

  /** Takes the callbacks of the caller, which may be absent. */
  constructor(callbacks: Callbacks) {
    this.#callbacks = callbacks;
  }

  /** Resolves when the events are handled. */
  async take(events: readonly FeedEvent[], feed: Feed): Promise<void> {
    const { onChanges, onReset } = this.#callbacks;
    const [first] = events;
    if (onReset && first?.type === 'reset') return void (await onReset(first, feed));
    if (onChanges) return void (await onChanges(events, feed));
    while (!this.#loop && !this.cachesAttached) {
      if (this.#ended) throw LEFT;
      await new Promise<void>((resolve) => (this.#came = resolve));
    }
    if (!this.#loop) return void (this.#passed = true);
    for (const event of events) await this.#loop.hand(event);
  }

  /** Begins the loop. A feed has at most one loop, and none if it has callbacks. */
  loop(leave: () => void): Loop {
    if (this.#callbacks.onChanges) throw misuse('events go to onChanges: there are none for a loop');
    if (this.#loop) throw misuse('one loop at a time follows a feed');
    if (this.#passed) throw misuse('events have gone to the cache alone: begin the loop before the feed is live');
    this.#loop = new Loop(leave);
    if (this.#ended) this.#loop.end(this.#ended.error);
    this.wake();
    return this.#loop;
  }

  /** Looks again for a consumer. */
  wake(): void {
    this.#came?.();
  }

  /** Ends the loop, if there is one. */
  end(error: unknown): void {
    this.#ended = { error };
    this.#loop?.end(error);
    this.wake();
  }
}

function misuse(message: string): NewsreelError {
  return new NewsreelError('bad-options', message, { terminal: true });
}

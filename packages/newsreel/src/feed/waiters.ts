/** Promises that wait for a feed to reach a state or a version. */

import { NewsreelError } from '../error.js';

/** How long to wait. */
export interface WaitOptions {
  /** The longest wait in milliseconds; after that the promise rejects with the code `timeout`. */
  timeoutMs?: number;
  /** Ends the wait when the signal aborts: the promise rejects with the signal's reason. */
  signal?: AbortSignal;
}

interface Waiter {
  isMet: () => boolean;
  resolve: () => void;
  reject: (reason: unknown) => void;
}

/** All promises that wait for one feed. */
export class Waiters {
  #waiting = new Set<Waiter>();
  #ended: { reason: unknown } | undefined;

  /** Resolves once `isMet` holds; rejects when the feed ends, or as the options say. */
  wait(what: string, isMet: () => boolean, { timeoutMs, signal }: WaitOptions = {}): Promise<void> {
    if (isMet()) return Promise.resolve();
    if (this.#ended) return Promise.reject(this.#ended.reason);
    return new Promise((resolve, reject) => {
      const done = () => {
        this.#waiting.delete(waiter);
        clearTimeout(timer);
        signal?.removeEventListener('abort', aborted);
      };
      const waiter: Waiter = {
        isMet,
        resolve: () => (done(), resolve()),
        reject: (reason) => (done(), reject(reason)),
      };
      const late = () => waiter.reject(new NewsreelError('timeout', `${what} took longer than ${timeoutMs} ms`));
      const timer = timeoutMs === undefined ? undefined : setTimeout(late, timeoutMs);
      const aborted = () => waiter.reject(signal?.reason);
      this.#waiting.add(waiter);
      if (signal?.aborted) aborted();
      else signal?.addEventListener('abort', aborted);
    });
  }

  /** Resolves the promises whose condition holds. */
  look(): void {
    for (const waiter of [...this.#waiting]) if (waiter.isMet()) waiter.resolve();
  }

  /** Rejects all promises: nothing will change any more. */
  end(reason: unknown): void {
    this.look();
    this.#ended = { reason };
    for (const waiter of [...this.#waiting]) waiter.reject(reason);
  }
}

/**
 * Proofs that every change has been heard, of which many reads take part in one.
 *
 * One is asked for at a time. Who needs a younger one than that waits for the next, which is asked for when it is done
 * and serves all who came meanwhile: however many read, a broker gets one ping a round trip.
 */

import { type Feed, NOW, PROVE } from '../feed/feed.js';

/** How long a proof is waited for after one did not come, until one does. */
const IN_VAIN_MS = 250;

interface Proof {
  /** Everything committed before is proved to have been heard. */
  since: number;
  promise: Promise<boolean>;
}

/** The proofs of one feed. */
export class Proofs {
  #feed: Feed;
  #current: Proof | undefined;
  #next: Proof | undefined;
  #inVain = false;
  #unwatch: () => void;
  #givenUp: (() => void) | undefined;

  /** Returns those of a feed. */
  constructor(feed: Feed) {
    this.#feed = feed;
    this.#unwatch = feed.watch(({ name }) => {
      if (name === 'waiting' || name === 'closed') this.#givenUp?.();
    });
  }

  /** Says whether a proof can come at all: somebody is there, or may be. */
  get #isHopeless(): boolean {
    const { name } = this.#feed.state;
    return name === 'waiting' || name === 'closed';
  }

  /** Says whether it is proved, in time, that everything committed before `since` has been heard. */
  get(since: number, waitMs: number): Promise<boolean> {
    if (this.#isHopeless) return Promise.resolve(false);
    if (this.#current && this.#current.since >= since) return this.#current.promise;
    if (!this.#current) return this.#begin(since, waitMs).promise;
    const current = this.#current;
    if (!this.#next) {
      const next: Proof = { since, promise: current.promise.then(() => this.#begin(next.since, waitMs).promise) };
      this.#next = next;
    }
    this.#next.since = Math.max(this.#next.since, since);
    return this.#next.promise;
  }

  /** Asks behind an answer for what will be needed soon. */
  soon(): void {
    if (!this.#current && !this.#isHopeless) this.#begin(this.#feed[NOW](), IN_VAIN_MS * 4);
  }

  /** Waits for none any more. */
  stop(): void {
    this.#unwatch();
    this.#givenUp?.();
  }

  #begin(since: number, waitMs: number): Proof {
    this.#next = undefined;
    const patience = this.#inVain ? Math.min(waitMs, IN_VAIN_MS) : waitMs;
    const givenUp = new Promise<boolean>((resolve) => (this.#givenUp = () => resolve(false)));
    const proved = this.#isHopeless ? Promise.resolve(false) : this.#feed[PROVE](since, patience);
    const proof: Proof = { since, promise: this.#settle(Promise.race([proved, givenUp])) };
    this.#current = proof;
    return proof;
  }

  async #settle(outcome: Promise<boolean>): Promise<boolean> {
    const proved = await outcome;
    [this.#current, this.#inVain] = [undefined, !proved];
    return proved;
  }
}

/**
 * Proofs that the feed has heard every change. Many reads share one proof.
 *
 * One proof is asked for at a time. A read that needs a younger proof waits for the next one, which is asked for when
 * the current one is done and serves every read that came meanwhile. So a broker gets one ping a round trip, however
 * many reads there are.
 */

import { type Feed, NOW, PROVE } from '../feed/types.js';

/** The longest wait for a proof while the last proof did not come. */
const IN_VAIN_MS = 250;

interface Proof {
  /** The feed is proved to have heard everything committed before this moment. */
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

  /** The proofs come from this feed. */
  constructor(feed: Feed) {
    this.#feed = feed;
    this.#unwatch = feed.watch(({ name }) => {
      if (name === 'waiting' || name === 'closed') this.#givenUp?.();
    });
  }

  /** Whether no proof can come, because the feed has no connection and none is being opened. */
  get #isHopeless(): boolean {
    const { name } = this.#feed.state;
    return name === 'waiting' || name === 'closed';
  }

  /** Says whether a proof comes in time that the feed has heard everything committed before `since`. */
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

  /** Asks, behind an answer, for a proof that will be needed soon. */
  soon(): void {
    if (!this.#current && !this.#isHopeless) this.#begin(this.#feed[NOW](), IN_VAIN_MS * 4);
  }

  /** Gives up the proofs under way. */
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

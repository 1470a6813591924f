/** The token of the next connection, and what a refusal of it means. */

import type { Token } from '../feed/options.js';

/** How many tokens in a row may be refused before the feed gives up. */
const REFUSALS = 3;

/** The token of a feed, as connections need it. */
export class Tokens {
  #token: Token | undefined;
  #refusals = 0;

  /** The token, what gives one, or nothing. */
  constructor(token: Token | undefined) {
    this.#token = token;
  }

  /** Returns the token to show. */
  async next(): Promise<string | undefined> {
    return typeof this.#token === 'function' ? this.#token({ refused: this.#refusals > 0 }) : this.#token;
  }

  /** Notes that the last one was refused; says whether another may be had. */
  refused(): boolean {
    this.#refusals += 1;
    return typeof this.#token === 'function' && this.#refusals < REFUSALS;
  }

  /** Notes that the last one was taken. */
  accepted(): void {
    this.#refusals = 0;
  }
}

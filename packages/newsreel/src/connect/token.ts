/** Tokens of connections, and their renewal after a refusal. */

/** A token, or a function that returns one. */
export type Token = string | ((context: TokenContext) => string | Promise<string>);

/** The reason why a token function is called. */
export interface TokenContext {
  /** Whether the broker refused the last token, so that a new one is needed. */
  readonly refused: boolean;
}

/** How many tokens in a row may be refused before the feed gives up. */
const REFUSALS = 3;

/** The source of a feed's tokens. */
export class Tokens {
  #token: Token | undefined;
  #refusals = 0;

  /** Takes the token, the function that returns one, or nothing. */
  constructor(token: Token | undefined) {
    this.#token = token;
  }

  /** Returns the token of the next connection. */
  async next(): Promise<string | undefined> {
    return typeof this.#token === 'function' ? this.#token({ refused: this.#refusals > 0 }) : this.#token;
  }

  /** Notes that the last token was refused; says whether a new one can be had. */
  refused(): boolean {
    this.#refusals += 1;
    return typeof this.#token === 'function' && this.#refusals < REFUSALS;
  }

  /** Notes that the last token was accepted. */
  accepted(): void {
    this.#refusals = 0;
  }
}

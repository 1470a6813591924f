/** Opens connections: which transport, with which token, and what it means when one does not open. */

import { NewsreelError, textOf } from '../error.js';
import type { Address, ConnectOptions } from '../feed/options.js';
import type { TransportName } from '../feed/state.js';
import { Tokens } from './token.js';
import { get } from './transport/http.js';
import type { Begin, Link, Listener } from './transport/link.js';
import { openPolling } from './transport/polling.js';
import { openSocket } from './transport/socket.js';

/** How many sockets in a row may fail to open where HTTP works, before it is polled. */
const BLOCKED = 2;
/** How long it is polled before a socket is tried again. */
const POLL_FOR_MS = 300_000;
/** Close codes that speak of the token: it has expired, or does not allow this. */
const EXPIRED = 4400;
const UNAUTHORIZED = 4501;

/** Who hears of the connection there is. */
export interface Hears {
  /** It is open. */
  opened(): void;
  /** It sent a text. */
  text(text: string): void;
  /** It is gone; the code says whether to come back. */
  closed(code: number, reason: string, error?: NewsreelError): void;
}

/** One connection at a time. */
export class Dialer {
  #address: Address;
  #transport: NonNullable<ConnectOptions['transport']>;
  #topics: readonly string[];
  #tokens: Tokens;
  #hears: Hears;
  #link: Link | undefined;
  #blocked = 0;
  #greeted = false;
  #probing: AbortController | undefined;
  /** Counts attempts: what belongs to an earlier one is late. */
  attempt = 0;
  /** What the last attempt was made with. */
  transport: TransportName = 'websocket';

  /** `hears` hears of every connection that is dialed. */
  constructor(address: Address, { transport = 'auto', topics = [], token }: ConnectOptions, hears: Hears) {
    this.#address = address;
    this.#transport = transport;
    this.#topics = topics;
    this.#tokens = new Tokens(token);
    this.#hears = hears;
  }

  /** Opens a connection in the place of any other. */
  async dial(query: string, start: Begin | null): Promise<void> {
    this.#drop();
    const attempt = this.attempt;
    let token: string | undefined;
    try {
      token = await this.#tokens.next();
    } catch (cause) {
      const error = new NewsreelError('token-failed', textOf(cause), { cause });
      if (attempt === this.attempt) this.#hears.closed(1006, error.message, error);
      return;
    }
    if (attempt !== this.attempt) return;
    const polling = this.#transport === 'polling' || (this.#transport === 'auto' && this.#blocked >= BLOCKED);
    this.transport = polling ? 'polling' : 'websocket';
    const listener = this.#listener(attempt, token);
    const dialing = { address: this.#address, query, start, topics: this.#topics, token, listener };
    this.#link = polling
      ? openPolling(dialing, this.#transport === 'polling' ? Infinity : POLL_FOR_MS)
      : openSocket(dialing);
  }

  /** Sends a text over the connection there is. */
  send(text: string): void {
    this.#link?.send(text);
  }

  /** Lets go of the connection; nothing is heard of it any more. */
  hangUp(code: number, reason: string): void {
    const link = this.#link;
    this.#drop();
    link?.hangUp(code, reason);
  }

  /** Notes that the broker has greeted. */
  greeted(): void {
    this.#greeted = true;
    this.#tokens.accepted();
    if (this.transport === 'websocket') this.#blocked = 0;
  }

  #drop(): void {
    this.attempt += 1;
    this.#link = undefined;
    this.#probing?.abort();
  }

  #listener(attempt: number, token: string | undefined): Listener {
    let open = false;
    const current = (work: () => void) => {
      if (attempt === this.attempt) work();
    };
    return {
      opened: () => current(() => ((open = true), this.#hears.opened())),
      text: (text) => current(() => this.#hears.text(text)),
      closed: (code, reason) =>
        current(() => void (open ? this.#closed(code, reason) : this.#notOpened(attempt, token, reason))),
      refused: (error) => current(() => this.#refused(error)),
    };
  }

  #closed(code: number, reason: string): void {
    this.#drop();
    const speaksOfToken = code === EXPIRED || code === UNAUTHORIZED;
    // A token that can be renewed is; then the code is no reason to stay away.
    const renewed = speaksOfToken && this.#tokens.refused();
    this.#hears.closed(renewed ? EXPIRED : code, reason);
  }

  /** A socket does not tell why it did not open; the same address over HTTP does. */
  async #notOpened(attempt: number, token: string | undefined, reason: string): Promise<void> {
    this.#probing = new AbortController();
    let answer: NewsreelError | undefined;
    try {
      await get('', { address: this.#address, token, signal: this.#probing.signal });
    } catch (thrown) {
      answer = thrown instanceof NewsreelError ? thrown : new NewsreelError('internal', textOf(thrown), { cause: thrown });
    }
    if (attempt !== this.attempt) return;
    if (answer && answer.code !== 'unreachable') return this.#refused(answer);
    this.#drop();
    if (!answer) this.#blocked += 1;
    const why = answer ? answer.message : `no WebSocket opens, though HTTP works (${reason})`;
    this.#hears.closed(1006, why, answer);
  }

  #refused(error: NewsreelError): void {
    this.#drop();
    const renewed = error.status === 401 && this.#tokens.refused();
    // Who has spoken to this broker before takes a stranger's answer for a fault that passes.
    const stranger = error.code === 'not-a-broker' && this.#greeted;
    const terminal = error.terminal && !renewed && !stranger;
    this.#hears.closed(terminal ? UNAUTHORIZED : renewed ? EXPIRED : 1006, error.message, error);
  }
}

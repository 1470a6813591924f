/** Opens connections: chooses transport and token, and finds out why a connection does not open. */

import { NewsreelError, textOf } from '../error.js';
import type { Address } from './address.js';
import { type Token, Tokens } from './token.js';
import { get } from './transport/http.js';
import type { Begin, Link, Listener, TransportName } from './transport/link.js';
import { openPolling } from './transport/polling.js';
import { openSocket } from './transport/socket.js';

/** How many sockets in a row may fail to open where HTTP works, before the feed polls. */
const BLOCKED = 2;
/** How long the feed polls before it tries a socket again. */
const POLL_FOR_MS = 300_000;
/** The close codes that concern the token: it has expired, or does not allow this. */
const EXPIRED = 4400;
const UNAUTHORIZED = 4501;

/** The options of a feed that say how it connects. */
export interface DialOptions {
  /** The transport, or the choice of one. */
  transport?: 'auto' | 'websocket' | 'polling';
  /** The topics that a polling connection asks for; everything where there are none. */
  topics?: readonly string[];
  /** The token that is shown, or a function that returns one. */
  token?: Token;
}

/** The receiver of what happens to the current connection. */
export interface Hears {
  /** Called when the connection is open. */
  opened(): void;
  /** Called with every text that the broker sends. */
  text(text: string): void;
  /** Called when the connection is gone; the code says whether to connect again. */
  closed(code: number, reason: string, error?: NewsreelError): void;
}

/** One connection at a time. */
export class Dialer {
  #address: Address;
  #transport: NonNullable<DialOptions['transport']>;
  #topics: readonly string[];
  #tokens: Tokens;
  #hears: Hears;
  #link: Link | undefined;
  #blocked = 0;
  #greeted = false;
  #probing: AbortController | undefined;
  /** The number of the current attempt; events of an earlier attempt are ignored. */
  attempt = 0;
  /** The transport of the last attempt. */
  transport: TransportName = 'websocket';

  /** `hears` receives the events of every connection that is dialed. */
  constructor(address: Address, { transport = 'auto', topics = [], token }: DialOptions, hears: Hears) {
    this.#address = address;
    this.#transport = transport;
    this.#topics = topics;
    this.#tokens = new Tokens(token);
    this.#hears = hears;
  }

  /** Opens a connection in place of the current one. */
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

  /** Sends a text over the current connection. */
  send(text: string): void {
    this.#link?.send(text);
  }

  /** Closes the connection, whose later events are ignored. */
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
    // If the token can be renewed, the code is no reason to stay away.
    const renewed = speaksOfToken && this.#tokens.refused();
    this.#hears.closed(renewed ? EXPIRED : code, reason);
  }

  /** Asks the same address over HTTP why the socket did not open: a socket does not tell. */
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
    // The broker has greeted before, so a stranger's answer at its address is a fault that passes.
    const stranger = error.code === 'not-a-broker' && this.#greeted;
    const terminal = error.terminal && !renewed && !stranger;
    this.#hears.closed(terminal ? UNAUTHORIZED : renewed ? EXPIRED : 1006, error.message, error);
  }
}

/**
 * Following where only HTTP passes: pages and long polls, handed on as the frames that a socket would bring, so that
 * the follower sees no difference.
 */

import { NewsreelError, textOf } from '../../error.js';
import { get } from './http.js';
import type { Begin, Dialing, Link } from './link.js';

/** How long a poll waits at the broker for a version. */
const WAIT_MS = 25_000;

/** The least time between two polls of a broker that answers at once although it was asked to wait. */
const LEAST_MS = 1_000;

/** The parts of a page that this link reads before it hands the page on as a frame. */
interface Page {
  epoch: string;
  from: number;
  to: number;
  head: number;
  hash: string;
  /** The compacted changes, if the page is a part of a fold. */
  changes?: unknown[];
  more?: boolean;
  /** The cursor of the next part of the fold. */
  next?: string;
}

/** Follows by polling for `forMs`, then closes with 4001 so that a socket may be tried again. */
export function openPolling(dialing: Dialing, forMs: number): Link {
  return new PollingLink(dialing, forMs);
}

class PollingLink implements Link {
  #dialing: Dialing;
  #listener: Dialing['listener'] | undefined;
  #ended = new AbortController();
  #at: Begin | undefined;
  #fold: string | undefined;
  #greeted = false;
  #live = false;
  #acked: (() => void) | undefined;
  #until: number;

  constructor(dialing: Dialing, forMs: number) {
    this.#dialing = dialing;
    this.#listener = dialing.listener;
    this.#until = Date.now() + forMs;
    void this.#guarded(() => this.#run());
  }

  send(text: string): void {
    if (text === 'ping') void this.#guarded(() => this.#pong());
    else this.#acked?.();
  }

  hangUp(): void {
    this.#take();
  }

  /** Does work whose failure ends the connection. */
  async #guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (thrown) {
      const unknown = () => new NewsreelError('unreachable', textOf(thrown), { cause: thrown });
      this.#take()?.refused(thrown instanceof NewsreelError ? thrown : unknown());
    }
  }

  async #run(): Promise<void> {
    await this.#greet(this.#dialing.start);
    while (this.#listener && Date.now() < this.#until) await this.#page();
    this.#take()?.closed(4001, 'trying a WebSocket again');
  }

  /** Produces the first frame, which says where the log is. */
  async #greet(start: Begin | null): Promise<void> {
    if (start) {
      this.#at = start;
      return this.#page();
    }
    const position = await this.#head();
    const [epoch = '', version, hash = ''] = position.split(':');
    this.#at = { epoch, version: Number(version), hash };
    this.#opened(epoch, this.#at.version, hash, 'live');
    this.#goLive(this.#at.version);
  }

  /** Gets one page, hands it on, and waits until the page is acknowledged. */
  async #page(): Promise<void> {
    const waitMs = this.#live ? WAIT_MS : 0;
    const asked = Date.now();
    const answer = await this.#get(`/changes?${this.#query(waitMs)}`, waitMs);
    if (!this.#listener) return;
    if (typeof answer !== 'string') return this.#reset(answer.reset);
    const page = JSON.parse(answer) as Page;
    if (!this.#greeted) {
      const resume = page.to === page.head && page.from === page.to ? 'live' : 'replay';
      this.#opened(page.epoch, page.head, page.to === page.head ? page.hash : undefined, resume);
    }
    await this.#tell(answer, page);
    if (!page.more && page.to === page.head) this.#goLive(page.to);
    else if (page.to <= page.from && !page.changes) throw new NewsreelError('not-a-broker', 'a page that leads nowhere');
    if (waitMs > 0 && page.to === page.from) await this.#pause(asked + LEAST_MS - Date.now());
  }

  #opened(epoch: string, head: number, hash: string | undefined, resume: string): void {
    this.#greeted = true;
    this.#listener?.opened();
    this.#listener?.text(JSON.stringify({ type: 'welcome', epoch, head, hash, resume }));
  }

  #goLive(version: number): void {
    if (this.#live) return;
    this.#live = true;
    this.#listener?.text(JSON.stringify({ type: 'live', version }));
  }

  async #tell(text: string, page: Page): Promise<void> {
    const folded = page.changes !== undefined;
    this.#fold = page.next;
    if (!page.more) this.#at = { epoch: page.epoch, version: page.to, hash: page.hash };
    // An empty page is handed on too: it may move the position, or give the first one.
    const acked = new Promise<void>((resolve) => (this.#acked = resolve));
    this.#listener?.text(`{"type":"${folded ? 'fold' : 'changes'}","ack":true,${text.slice(1)}`);
    if (page.to > page.from || folded) await acked;
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.max(0, ms));
      this.#ended.signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
    });
  }

  async #reset(reset: Begin & { reason: string }): Promise<void> {
    if (!this.#greeted) this.#opened(reset.epoch, reset.version, undefined, 'reset');
    const { epoch, version, hash } = reset;
    this.#at = { epoch, version, hash };
    [this.#live, this.#fold] = [false, undefined];
    const acked = new Promise<void>((resolve) => (this.#acked = resolve));
    this.#listener?.text(JSON.stringify({ type: 'reset', ...reset }));
    await acked;
  }

  /** Answers a ping with a status that was asked for after the ping. */
  async #pong(): Promise<void> {
    const position = await this.#head();
    this.#listener?.text(`pong ${position}`);
  }

  async #head(): Promise<string> {
    const answer = await this.#get('', 0);
    const { position } = typeof answer === 'string' ? (JSON.parse(answer) as { position?: unknown }) : {};
    if (typeof position !== 'string') throw new NewsreelError('not-a-broker', 'a status without a position');
    return position;
  }

  #get(path: string, waitMs: number): ReturnType<typeof get> {
    const { address, token } = this.#dialing;
    return get(path, { address, token, signal: this.#ended.signal, waitMs });
  }

  #query(waitMs: number): URLSearchParams {
    const { epoch, version, hash } = this.#at ?? { epoch: '', version: 0, hash: '' };
    const query = new URLSearchParams({ since: String(version) });
    if (epoch) query.set('epoch', epoch);
    if (hash) query.set('hash', hash);
    if (this.#fold) query.set('fold', this.#fold);
    if (waitMs > 0) query.set('wait_ms', String(waitMs));
    for (const topic of this.#dialing.topics) query.append('topic', topic);
    return query;
  }

  /** Takes the listener out, so that no event reaches it any more, and aborts requests under way. */
  #take(): Dialing['listener'] | undefined {
    const listener = this.#listener;
    this.#listener = undefined;
    this.#acked?.();
    this.#ended.abort();
    return listener;
  }
}

/**
 * A feed: follows a catalog and hands its changes, in order, to callbacks, to a loop and to caches.
 *
 * The wasm session decides; this class carries its effects out. Effects that confirm handled events (positions, acks,
 * "live") wait behind the handlers, one after the other. All other effects happen at once, so that pings go on while a
 * handler works. The broker bounds the queue: it sends only so much unacknowledged. And the feed does not dial before
 * every event that arrived is handled.
 */

import { type Address, addressOf } from '../connect/address.js';
import { Dialer } from '../connect/dialer.js';
import type { Begin } from '../connect/transport/link.js';
import { NewsreelError, badOptions, quietly, textOf } from '../error.js';
import { notAPosition, readPosition, storeFailed } from '../store/stored.js';
import { now } from '../wasm/clock.js';
import { type Session, lastPanic, load } from '../wasm/wasm.js';
import { Consumer, LEFT } from './consumer.js';
import { type FeedEvent, foldOf, resetTo, versionOf, versionsOf } from './events.js';
import type { ConnectOptions } from './options.js';
import type { FeedState } from './state.js';
import { ATTACH, type Feed, type FeedIterator, type Hearer, NOW, PROVE } from './types.js';
import { type WaitOptions, Waiters } from './waiters.js';

/** The longest time that the timer is set for; then the session is asked again. */
const LONGEST_TIMER_MS = 600_000;

/** How late the timer may fire before the thread counts as held up, and how long messages then go first. */
const LATE_MS = 50;
const HEAR_FIRST_MS = 20;

/** The most text, in characters, that may wait for its handler: a broker that heeds acks sends less. */
const MOST_UNHANDLED = 64 * 2 ** 20;
/** The close code of a follower that will resume. */
const RESYNC = 4010;

/** An effect of the session. */
type Effect =
  | { do: 'dial'; query: string; start: Begin | null }
  | { do: 'send'; text: string }
  | { do: 'hangup'; code: number; reason: string }
  | { do: 'apply'; position: string; after: number | null }
  | { do: 'fold'; position: string | null }
  | { do: 'reset'; position: string; reason: string }
  | { do: 'phase'; phase: 'idle' | 'waiting' | 'connecting' | 'catching-up' | 'live' | 'closed' }
  | { do: 'complaint'; code: string; message: string };

interface Trouble {
  reason: string;
  error?: NewsreelError;
}

/** A task that waits for the handlers before it. Acks and states belong to one connection, and are void after it. */
type Task =
  | { do: 'hand'; events: readonly FeedEvent[]; position: string | null; size: number }
  | { do: 'ack'; text: string; attempt: number }
  | { do: 'state'; name: 'catching-up' | 'live'; attempt: number }
  | { do: 'proved'; at: number };

/**
 * Follows a catalog.
 *
 * Resolves once the module is loaded, the options are checked and the stored position is read. `connect` does not
 * wait for the broker: a feed connects, and connects again, by itself. See {@link Feed.live} for that.
 *
 * @throws {@link NewsreelError} `bad-options` or `store-failed`; the signal's reason if it has aborted.
 */
export async function connect(url: string | URL, options: ConnectOptions): Promise<Feed> {
  const { catalog, name = 'client', topics = [], from = 'now', store, timing = {}, signal } = options ?? {};
  signal?.throwIfAborted();
  const address = addressOf(url, catalog);
  const [{ Session }, stored] = await Promise.all([load(), readPosition(store)]);
  signal?.throwIfAborted();
  const sessionAt = (from: string, failed: (cause: unknown) => NewsreelError) => {
    try {
      return new Session(catalog, name, [...topics], from, JSON.stringify(timing));
    } catch (cause) {
      throw failed(cause);
    }
  };
  let session = sessionAt(from, (cause) => badOptions(textOf(cause)));
  if (stored !== undefined) {
    session.free();
    if (stored === 'now' || stored === 'start') throw notAPosition(`${stored} is for \`from\``);
    session = sessionAt(stored, notAPosition);
  }
  return new CatalogFeed(session, address, options, stored ?? from);
}

/** The feed that {@link connect} makes: a session of the wasm, and what carries its effects out. */
class CatalogFeed implements Feed {
  #session: Session;
  #options: ConnectOptions;
  #dialer: Dialer;
  #consumer: Consumer;
  #waiters = new Waiters();
  #watchers = new Set<(state: FeedState) => void>();
  #hearers = new Set<Hearer>();
  #state: FeedState = { name: 'connecting' };
  #tasks: Task[] = [];
  #working = false;
  /** The text, in characters, of the events that wait or are being handled. */
  #unhandled = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #hearsFirst = false;
  /** The reason for which the last connection ended. */
  #trouble: Trouble = { reason: '' };
  /** The error that the broker or a handler reported before this connection is closed for it. */
  #complaint: Trouble | undefined;
  /** Where the feed resumes: `now`, `start`, or the position up to which everything is handled. */
  #from: string;
  #provedAt: number | undefined;
  #handledProof: number | undefined;
  #ended = false;
  #settle!: (error: NewsreelError | undefined) => void;

  readonly closed: Promise<NewsreelError | undefined>;

  constructor(session: Session, address: Address, options: ConnectOptions, from: string) {
    this.#session = session;
    this.#options = options;
    this.#from = from;
    this.#dialer = new Dialer(address, options, {
      opened: () => this.#step((now) => session.opened(now)),
      text: (text) => this.#step((now) => session.text(now, text), text),
      closed: (code, reason, error) => this.#closed(code, reason, error),
    });
    this.#consumer = new Consumer(options);
    this.closed = new Promise((resolve) => (this.#settle = resolve));
    options.signal?.addEventListener('abort', this.#aborted);
    // Not at once: the caller may still want to watch the feed that it just got.
    queueMicrotask(() => this.#step((now) => session.start(now)));
  }

  get state(): FeedState {
    return this.#state;
  }

  get position(): string | undefined {
    return this.#from.includes(':') ? this.#from : undefined;
  }

  get version(): number {
    return versionOf(this.position ?? ':0');
  }

  lag(): number {
    return this.#handledProof === undefined ? Infinity : Math.max(0, this[NOW]() - this.#handledProof);
  }

  live(options?: WaitOptions): Promise<void> {
    return this.#waiters.wait('catching up', () => this.#state.name === 'live', options);
  }

  async waitFor(version: number | string, options?: WaitOptions): Promise<void> {
    const [epoch, number] = wanted(version);
    const isMet = () => {
      const at = this.position;
      if (at === undefined) return false;
      const mine = at.slice(0, at.indexOf(':'));
      return epoch === '' || epoch === mine ? this.version >= number : mine > epoch;
    };
    return this.#waiters.wait(`version ${version}`, isMet, options);
  }

  async sync({ maxAgeMs = 0, ...options }: WaitOptions & { maxAgeMs?: number } = {}): Promise<void> {
    const since = this[NOW]() - maxAgeMs;
    const isHandled = () => (this.#handledProof ?? -1) > Math.floor(since);
    if (isHandled()) return;
    const unwatch = this.watch(({ name }) => void (name === 'live' && this.#askForProof(since)));
    try {
      await this.#askForProof(since);
      await this.#waiters.wait('a proof', isHandled, options);
    } finally {
      unwatch();
    }
  }

  watch(listener: (state: FeedState) => void): () => void {
    this.#watchers.add(listener);
    return () => void this.#watchers.delete(listener);
  }

  close(): Promise<void> {
    this.#end('closed by the caller');
    return Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end('closed by the caller');
    await this.closed;
  }

  [Symbol.asyncIterator](): FeedIterator {
    return this.#consumer.loop(() => this.#end('the loop was left'));
  }

  [NOW](): number {
    return now();
  }

  [ATTACH](hearer: Hearer): () => void {
    this.#hearers.add(hearer);
    if (this.#ended) hearer.closed();
    else {
      this.#session.setCaches(true);
      hearer.hear(this.#session);
      this.#consumer.cachesAttached = true;
      this.#consumer.wake();
    }
    return () => void this.#hearers.delete(hearer);
  }

  async [PROVE](since: number, timeoutMs: number): Promise<boolean> {
    const isProved = () => (this.#provedAt ?? -1) > Math.floor(since);
    if (isProved()) return true;
    try {
      await this.#askForProof(since);
      await this.#waiters.wait('a proof', isProved, { timeoutMs });
      return true;
    } catch {
      return false;
    }
  }

  /** Asks the broker for a proof of a moment after `since`. */
  async #askForProof(since: number): Promise<void> {
    // Pings are stamped in whole milliseconds: only one of a later millisecond was surely sent after `since`.
    if (Math.floor(this[NOW]()) <= Math.floor(since)) await new Promise((resolve) => setTimeout(resolve, 2));
    this.#step((now) => this.#session.prove(now));
  }

  // --- From the outside to the session ---

  /** Hands an input to the session and carries out the effects. */
  #step(input: (now: number) => string, text = ''): void {
    if (this.#ended) return;
    try {
      const effects = JSON.parse(input(this[NOW]())) as Effect[];
      for (const hearer of this.#hearers) hearer.hear(this.#session);
      for (const effect of effects) this.#take(effect, text);
      this.#proved();
    } catch (cause) {
      return this.#broken(cause);
    }
    this.#waiters.look();
    void this.#work();
    this.#arm();
  }

  #closed(code: number, reason: string, error?: NewsreelError): void {
    this.#trouble = error ? { reason, error } : (this.#complaint ?? { reason });
    if (error?.retryAfterMs !== undefined) this.#session.stayAway(error.retryAfterMs);
    this.#step((now) => this.#session.closed(now, code));
  }

  /** Queues a proof: a proof counts once every event that arrived before it is handled. */
  #proved(): void {
    const at = this.#ended ? undefined : this.#session.provedAt();
    if (at !== undefined && at !== this.#provedAt) this.#tasks.push({ do: 'proved', at });
    this.#provedAt = at;
  }

  /** Sets the timer for the session's timeout; no timer while the next dial waits for handlers. */
  #arm(): void {
    // Messages that arrive meanwhile do not put the timer off.
    if (this.#hearsFirst) return;
    clearTimeout(this.#timer);
    if (this.#ended || this.#isHeldUp()) return;
    const at = this.#session.timeout();
    if (at === undefined) return;
    const ms = Math.min(LONGEST_TIMER_MS, Math.max(0, at - this[NOW]()));
    this.#timer = setTimeout(() => this.#ring(this[NOW]() - at), ms);
  }

  /** Whether the next dial waits for handlers. */
  #isHeldUp(): boolean {
    return this.#state.name === 'waiting' && this.#tasks.length > 0;
  }

  /** The timer fired. If the thread was held up, messages that arrived meanwhile go first: the broker may have been in time. */
  #ring(lateMs: number): void {
    if (lateMs < LATE_MS) return this.#step((now) => this.#tick(now));
    this.#hearsFirst = true;
    this.#timer = setTimeout(() => {
      this.#hearsFirst = false;
      if (this.#isHeldUp()) return;
      this.#step((now) => this.#tick(now));
    }, HEAR_FIRST_MS);
  }

  #tick(now: number): string {
    if (this.#tasks.length > 0) this.#session.stillApplying(now);
    return this.#session.timer(now);
  }

  // --- From the session to the outside ---

  /** Carries out an effect, or queues it behind the handlers. */
  #take(effect: Effect, text: string): void {
    switch (effect.do) {
      case 'dial':
        this.#complaint = undefined;
        return void this.#dialer.dial(effect.query, effect.start);
      case 'send':
        if (effect.text === 'ping') return this.#dialer.send(effect.text);
        return this.#queue({ do: 'ack', text: effect.text, attempt: this.#dialer.attempt });
      case 'hangup':
        this.#trouble = this.#complaint ?? { reason: effect.reason };
        return this.#dialer.hangUp(effect.code, effect.reason);
      case 'apply': {
        const events = effect.after === null ? [] : versionsOf(text, effect.after);
        return this.#receive(events, effect.position, text.length);
      }
      case 'fold':
        return this.#receive(foldOf(text), effect.position, text.length);
      case 'reset': {
        const events = [resetTo(effect.position, effect.reason)];
        return this.#receive(events, effect.position, text.length);
      }
      case 'complaint':
        this.#complaint = { reason: effect.message, error: new NewsreelError(effect.code, effect.message) };
        return;
      case 'phase':
        return this.#phase(effect.phase);
    }
  }

  /** Queues events. Disconnects from a broker that ignores acks; the feed connects again when every event is handled. */
  #receive(events: readonly FeedEvent[], position: string | null, size: number): void {
    this.#queue({ do: 'hand', events, position, size });
    this.#unhandled += size;
    if (this.#unhandled <= MOST_UNHANDLED) return;
    const reason = 'the broker sends more than is acknowledged';
    this.#dialer.hangUp(RESYNC, reason);
    queueMicrotask(() => this.#closed(RESYNC, reason));
  }

  #queue(task: Task): void {
    this.#tasks.push(task);
  }

  #phase(phase: (Effect & { do: 'phase' })['phase']): void {
    switch (phase) {
      case 'connecting':
        return this.#become({ name: 'connecting' });
      case 'waiting':
        return this.#become({ name: 'waiting', until: this.#session.timeout() ?? 0, ...this.#trouble });
      case 'catching-up':
      case 'live':
        this.#dialer.greeted();
        return this.#queue({ do: 'state', name: phase, attempt: this.#dialer.attempt });
      case 'closed': {
        const { reason, error } = this.#trouble;
        const { status, retryAfterMs } = error ?? {};
        const code = error?.code ?? 'closed';
        const details = { terminal: true, status, retryAfterMs, cause: error?.cause };
        return this.#end(reason, new NewsreelError(code, reason.replace(`${code}: `, ''), details));
      }
      case 'idle':
        return;
    }
  }

  #become(state: FeedState): void {
    this.#state = state;
    this.#waiters.look();
    for (const tell of [...this.#watchers]) quietly(() => tell(state));
    quietly(() => this.#options.onState?.(state, this));
  }

  /** Carries out the queued tasks, one after the other. */
  async #work(): Promise<void> {
    if (this.#working || this.#ended) return;
    this.#working = true;
    try {
      for (let task; !this.#ended && (task = this.#tasks[0]); this.#tasks.shift()) {
        // No await without need: "live" and acks follow their handler in the same turn of the event loop.
        if (task.do === 'hand') {
          await this.#hand(task.events, task.position);
          this.#unhandled -= task.size;
          // A polling link asks for the next page only now.
          if (!this.#ended) this.#session.stillApplying(this[NOW]());
        } else this.#perform(task);
      }
    } catch (thrown) {
      if (thrown !== LEFT) this.#failed(thrown);
    } finally {
      this.#working = false;
    }
    if (this.#ended) return this.#over();
    if (this.#tasks.length > 0) return this.#work();
    this.#arm();
  }

  #perform(task: Exclude<Task, { do: 'hand' }>): void {
    if (task.do === 'proved') {
      this.#handledProof = task.at;
      this.#waiters.look();
    } else if (task.attempt !== this.#dialer.attempt) return;
    else if (task.do === 'ack') this.#dialer.send(task.text);
    else this.#become({ name: task.name, transport: this.#dialer.transport });
  }

  /** Hands events to their consumer, and stores their position once they are handled. */
  async #hand(events: readonly FeedEvent[], position: string | null): Promise<void> {
    if (events.length > 0) await this.#consumer.take(events, this);
    if (position === null) return;
    try {
      await this.#options.store?.write(position);
    } catch (cause) {
      throw storeFailed('write', cause);
    }
    this.#from = position;
    this.#waiters.look();
  }

  /** A handler failed: the feed resumes from the last handled position, after a wait that grows. */
  #failed(thrown: unknown): void {
    if (this.#ended) return;
    const ours = thrown instanceof NewsreelError;
    const error = ours ? thrown : new NewsreelError('handler-failed', textOf(thrown), { cause: thrown });
    if (error.terminal) return this.#end(error.message, error);
    this.#tasks = [];
    this.#unhandled = 0;
    this.#trouble = this.#complaint = { reason: error.message, error };
    this.#step((now) => this.#session.startAgain(now, this.#from));
  }

  // --- The end ---

  #aborted = (): void => {
    const { reason } = this.#options.signal ?? {};
    this.#end(textOf(reason), reason);
  };

  /** The wasm trapped or broke its contract: the session cannot be relied on any more. */
  #broken(cause: unknown): void {
    const said = lastPanic();
    this.#end('a defect of the package', new NewsreelError('internal', said || textOf(cause), { terminal: true, cause }));
  }

  /** Ends the feed. Loops and waiters get `thrown`, if the end was not on purpose. */
  #end(reason: string, thrown?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#options.signal?.removeEventListener('abort', this.#aborted);
    this.#dialer.hangUp(1000, 'done');
    const error = thrown === undefined || thrown instanceof NewsreelError ? thrown : undefined;
    this.#become({ name: 'closed', reason, ...(error && { error }) });
    this.#consumer.end(thrown);
    this.#waiters.end(thrown ?? new NewsreelError('closed', reason, { terminal: true }));
    for (const hearer of this.#hearers) hearer.closed();
    if (!this.#working) this.#over();
  }

  /** Settles `closed`: the last handler has finished. */
  #over(): void {
    const { state } = this;
    this.#settle(state.name === 'closed' ? state.error : undefined);
    // Not from within a call of the session.
    queueMicrotask(() => quietly(() => this.#session.free()));
  }
}

/** Returns the epoch (or nothing) and the number of a version that is waited for. */
function wanted(version: number | string): [string, number] {
  const [, epoch = '', digits] = /^(?:([0-9A-Z]{26}):)?(\d{1,16})(?::[0-9a-f]{16})?$/.exec(String(version)) ?? [];
  const number = Number(digits);
  // A version without its epoch would be reached on any log that is as long.
  if (Number.isSafeInteger(number) && (typeof version === 'number') === (epoch === '')) return [epoch, number];
  throw badOptions(`${version} is no version: a number, epoch:version, or a position`);
}

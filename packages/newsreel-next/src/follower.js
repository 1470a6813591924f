//! The process's follower: hears what any process publishes, and publishes what this one revalidates.
//!
//! Both handlers use one follower, because Node loads this module once a process. A build connects to nothing.

import { expireChange, Floors, now } from './floors.js';
import { publish } from './publish.js';
import { settingsOf } from './settings.js';
import { tagOf } from './tags.js';

/** How far two machines' clocks may differ: for what was published before this process began. */
const CLOCK_SKEW_MS = 60_000;
/** The longest that a `cacheLife` says; no publisher need tell. */
const FOREVER_S = 31_536_000;

/** Follows a catalog. `connect` and `fetch` are the package `newsreel`'s and the platform's, unless a test has its own. */
export class Follower {
  floors = new Floors();
  settings;
  #connect;
  #fetch;
  #feed;
  /** From this moment on every change is heard; entries that began before it are not kept. */
  #liveSince = Infinity;
  #isProved = false;
  #asked;
  #askedNext;
  #changes = new Map();
  #publishing;

  constructor(settings, { connect = (...all) => import('newsreel').then((newsreel) => newsreel.connect(...all)), fetch } = {}) {
    this.settings = settings;
    this.#connect = connect;
    this.#fetch = fetch;
  }

  /** Whether what the floors say may be relied on: everything published before the last proof has been heard. */
  get isReliable() {
    return this.#isProved || (this.settings.beyond === 'stale' && this.#liveSince < Infinity);
  }

  /** Whether an entry that began at this moment may be kept. */
  isKept(began) {
    return began > this.#liveSince;
  }

  /** Hears everything that was published more than the bound ago. Calls at the same time share one ping of the broker. */
  async prove() {
    const feed = await (this.#feed ??= this.#follow());
    // A lag of 0 would say nothing of this very millisecond.
    if (feed.lag() < this.settings.boundMs) return void (this.#isProved = true);
    this.#askedNext ??= this.#asked ? this.#asked.then(() => this.#ask(feed)) : undefined;
    await (this.#askedNext ?? this.#ask(feed));
  }

  /** Says what an entry is. */
  judge(tags, began) {
    return this.floors.judge(this.tagsOf(tags), began);
  }

  /** Returns Next's tags in the protocol's form. */
  tagsOf(tags) {
    return tags.map((tag) => tagOf(tag, this.settings.foldsCase));
  }

  /**
   * Publishes that tags changed, and resolves when every process that is connected has heard of it. Hard, unless Next says
   * how long the old entries may still be shown. What is asked for in one turn of the event loop is one publish.
   */
  update(tags, durations) {
    const isSoft = durations !== undefined && durations.expire !== 0;
    const seconds = isSoft && durations.expire < FOREVER_S ? Math.ceil(durations.expire) : undefined;
    for (const tag of this.tagsOf(tags)) {
      const changes = [isSoft ? { tag, soft: true } : { tag }];
      if (seconds !== undefined && expireChange(tag, seconds).tag.length <= 256) changes.push(expireChange(tag, seconds));
      for (const change of changes) this.#changes.set(JSON.stringify(change), change);
      // This process need not wait for its own news.
      this.floors.hear(changes, now());
    }
    return (this.#publishing ??= Promise.resolve().then(() => this.#publish()));
  }

  async #publish() {
    const changes = [...this.#changes.values()];
    this.#publishing = undefined;
    this.#changes.clear();
    // The proof that a read asks for would do, if Next did not let requests join a read that began before.
    await publish({ ...this.settings, fetch: this.#fetch }, changes);
  }

  async #ask(feed) {
    this.#askedNext = undefined;
    if (['waiting', 'closed'].includes(feed.state.name)) return void (this.#isProved = false);
    const { boundMs, timeoutMs } = this.settings;
    const asked = feed.sync({ maxAgeMs: boundMs, timeoutMs }).then(
      () => (this.#isProved = true),
      () => (this.#isProved = false),
    );
    this.#asked = asked.finally(() => (this.#asked = undefined));
    await this.#asked;
  }

  #follow() {
    const { url, catalog, followToken: token, from } = this.settings;
    return this.#connect(url, {
      catalog,
      token,
      from,
      name: 'next',
      onChanges: (events) => this.#hear(events),
      onState: (state) => this.#become(state),
    });
  }

  /** Raises the floors. What was published before this process followed is as old as the broker says: it concerns what a build made. */
  #hear(events) {
    for (const { at, changes } of events) {
      const isPast = this.#liveSince === Infinity && at !== undefined;
      this.floors.hear(changes, isPast ? Math.min(now(), at + CLOCK_SKEW_MS) : now());
    }
  }

  #become(state) {
    if (state.name === 'live') this.#liveSince = Math.min(this.#liveSince, now());
    if (state.name !== 'live' && state.error) console.error(`newsreel-next: ${state.name}: ${state.error.message}`);
  }
}

let shared;

/** Returns the follower of this process, or nothing while Next builds. */
export function follower() {
  if (process.env.NEXT_PHASE === 'phase-production-build') return undefined;
  return (shared ??= new Follower(settingsOf(process.env)));
}

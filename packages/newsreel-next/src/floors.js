//! What has changed, and when this process heard of it: the floors below which an entry may not be served.
//!
//! The clock is the process's own. An entry carries the moment at which its making began, and a floor the moment at which
//! the change was heard. An entry that began before the change was heard may be older than the change, however late it was stored.

/** The moment, in Unix milliseconds with fractions: the clock by which Next stamps its entries. */
export const now = () => performance.timeOrigin + performance.now();

/** The tag by which a publisher says after how many seconds a softly changed tag has expired. */
const EXPIRE = /^newsreel-next\/expire=(\d+);(.*)$/;

/** Returns the change that says so. */
export const expireChange = (tag, seconds) => ({ tag: `newsreel-next/expire=${seconds};${tag}`, soft: true });

/**
 * The floors of tags, of prefixes and of everything. Bounded: beyond `most` tags the oldest floors are forgotten, and
 * entries from before them count as changed.
 */
export class Floors {
  #most;
  /** Of each tag the moments of its last changes; the tag that changed last stands last. */
  #tags = new Map();
  #prefixes = new Map();
  #all = { hard: 0, soft: 0 };

  constructor(most = 100_000) {
    this.#most = most;
  }

  /** Takes changes of the feed that were heard at a moment. A change of a key ends the entries that carry the key as a tag. */
  hear(changes, at) {
    for (const change of changes) {
      const kind = change.soft ? 'soft' : 'hard';
      if (change.all) this.#all[kind] = Math.max(this.#all[kind], at);
      else if (change.prefix !== undefined) this.#raise(this.#prefixes, change.prefix, { [kind]: at });
      else {
        const [, seconds, tag] = EXPIRE.exec(change.tag ?? '') ?? [];
        if (tag === undefined) this.#raise(this.#tags, change.tag ?? change.key, { [kind]: at });
        else this.#raise(this.#tags, tag, { expired: at + Number(seconds) * 1_000 });
      }
    }
  }

  /** Says what an entry of these tags is at a moment, that began at another: `fresh`, `soft` (show it, and make it anew) or `hard`. */
  judge(tags, began, at = now()) {
    if (began <= this.#all.hard) return 'hard';
    let isSoft = began <= this.#all.soft;
    for (const tag of tags) {
      const floor = this.#tags.get(tag);
      if (floor && (began <= floor.hard || (began <= floor.soft && floor.expired <= at))) return 'hard';
      isSoft ||= floor !== undefined && began <= floor.soft;
    }
    for (const [prefix, { hard, soft }] of this.#prefixes) {
      if (!tags.some((tag) => tag.startsWith(prefix))) continue;
      if (began <= hard) return 'hard';
      isSoft ||= began <= soft;
    }
    return isSoft ? 'soft' : 'fresh';
  }

  #raise(floors, name, moments) {
    const floor = floors.get(name) ?? { hard: 0, soft: 0, expired: Infinity };
    // A later soft change puts the expiry off; the change that carries its own comes right after it.
    if (moments.soft !== undefined) floor.expired = Infinity;
    for (const [kind, at] of Object.entries(moments)) floor[kind] = kind === 'expired' ? at : Math.max(floor[kind], at);
    floors.delete(name);
    floors.set(name, floor);
    if (floors.size > this.#most) this.#forget(floors);
  }

  /** Forgets the floor that was raised longest ago: what is as old as that floor counts as changed. */
  #forget(floors) {
    const [name, { hard, soft }] = floors.entries().next().value;
    floors.delete(name);
    this.#all.hard = Math.max(this.#all.hard, hard, soft);
  }
}

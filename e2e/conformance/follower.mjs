// A strict follower: written from the document, and checking every frame against it. An unfiltered one computes
// the hash of the log from the raw rows, so nothing can be lost, repeated, changed or reordered unnoticed.

import { Mismatch, holds, matches, same } from './expect.mjs';
import { EPOCH, HASH, canonicalRows, chain, genesis, passes } from './rows.mjs';
import { Socket } from './socket.mjs';

export class Follower extends Socket {
  /** Every version applied, in order, and its raw row. */
  versions = [];
  rows = [];
  /** The changes that came in folds. */
  folded = [];
  /** Every frame of this connection, read. */
  frames = [];
  position = undefined;
  resets = 0;
  live = false;

  /** A `mute` follower hears everything and acknowledges nothing. A `replica` says that it is one. */
  constructor(log, { token, name = 'conformance', topics = [], mute = false, replica = false } = {}) {
    super(log, token ?? (replica ? log.tokens.admin : log.tokens.follow));
    Object.assign(this, { name, topics, mute, replica });
  }

  /** Connects: from `from`, else the position held, else everything kept (`start`); or from now (`head`). */
  async connect({ from = this.position ?? 'start', untilLive = true, query = '' } = {}) {
    const words = new URLSearchParams({ name: this.name });
    for (const topic of this.topics) words.append('topic', topic);
    if (from === 'start') words.set('version', '0');
    else if (from !== 'head') for (const [name, value] of Object.entries(from)) words.set(name, String(value));
    Object.assign(this, { from, frames: [], live: false, position: typeof from === 'object' ? from : undefined });
    await this.dial(`/follow?${words}${query}`, this.replica ? { 'newsreel-replica': '1' } : {});
    if (untilLive) await this.until('the frame `live`', () => this.live);
    return this;
  }

  reached(version) {
    return this.until(`version ${version} at a follower`, () => (this.position?.version ?? -1) >= version);
  }

  ack(version = this.position.version) {
    this.send(JSON.stringify({ type: 'ack', version }));
  }

  types() {
    return this.frames.map((frame) => frame.type);
  }

  hear(text) {
    const frame = JSON.parse(text);
    this.frames.push(frame);
    if (this.frames.length === 1) holds('the first frame', ['welcome', 'error'].includes(frame.type), 'a welcome', frame);
    switch (frame.type) {
      case 'welcome': return this.#welcome(frame);
      case 'changes': return this.#changes(frame, text);
      case 'fold': return this.#fold(frame);
      case 'live': return this.#live(frame);
      case 'head': return this.#head(frame);
      case 'reset': return this.#reset(frame);
      case 'error': return void (this.error = frame);
      default: return undefined;
    }
  }

  #welcome({ epoch, head, hash, resume }) {
    same('a welcome comes', this.frames.length, 1);
    matches('the epoch of the welcome', epoch, EPOCH);
    if (hash !== undefined) matches('the hash of the welcome', hash, HASH);
    holds('the head of the welcome', Number.isSafeInteger(head), 'a whole number', head);
    holds('`resume`', ['live', 'replay', 'reset'].includes(resume), 'live, replay or reset', resume);
    this.epoch = epoch;
    if (this.from === 'head') this.position = { epoch, version: head, hash };
    if (this.from === 'start') this.position = { epoch, version: 0, hash: genesis(epoch) };
    if (resume === 'live') this.position = { epoch, version: head, hash };
  }

  #changes({ from, to, hash, versions, ack }, text) {
    const held = this.position.version;
    matches('the hash of a frame', hash, HASH);
    holds('a frame of changes', from <= held, `no gap: it begins at or before ${held}`, { from, to });
    const isOnlyAQuestion = from === to && ack === true && versions.length === 0;
    holds('a frame of changes', from < to || isOnlyAQuestion, '`from` below `to`, or only a question', { from, to, ack });
    const rows = canonicalRows(text);
    versions.forEach(({ version }, n) => {
      const before = n === 0 ? from : versions[n - 1].version;
      holds('the versions of a frame', version > before && version <= to, `in order within (${from}, ${to}]`, version);
    });
    if (to <= held) {
      if (ack && !this.mute) this.ack();
      return;
    }
    this.#passing(versions.flatMap((row) => row.changes));
    const fresh = rows.filter((_, n) => versions[n].version > held);
    if (this.topics.length === 0) {
      same('the number of versions in (held, to]', fresh.length, to - held);
      // A position shown without its hash is believed, so there is nothing to compute from.
      const { hash: before } = this.position;
      if (before) same(`the hash of version ${to}, from the rows`, hash, chain(before, fresh));
    }
    this.rows.push(...fresh);
    this.versions.push(...versions.filter((row) => row.version > held));
    this.#move(to, hash);
    if (!this.mute && (!this.live || ack)) this.ack();
  }

  #fold({ from, to, hash, changes, more = false }) {
    same('a fold begins where the follower stands', from, this.position.version);
    const versions = changes.map((change) => change.version);
    holds('the versions of a fold', versions.every((version) => version > from && version <= to), `in (${from}, ${to}]`, versions);
    same('the order of a fold', versions, versions.toSorted((a, b) => a - b));
    this.#passing(changes);
    this.folded.push(...changes);
    if (!more) this.#move(to, hash);
    if (!this.mute) this.ack();
  }

  #live({ version }) {
    const { version: held } = this.position;
    if (this.topics.length === 0) same('`live` when all has come', version, held);
    else holds('`live`', version >= held, `at or above ${held}`, version);
    this.live = true;
  }

  #head({ version, hash }) {
    const held = this.position;
    matches('the hash of a bookmark', hash, HASH);
    holds('a bookmark', version >= held.version, `at or above ${held.version}`, version);
    if (this.topics.length === 0) same('a bookmark without a filter hides nothing', version, held.version);
    if (version === held.version && held.hash) same('the hash of a bookmark', hash, held.hash);
    this.#move(version, hash);
  }

  #reset({ epoch, version, hash, reason }) {
    holds('the epoch of a reset', epoch >= this.epoch, `at or above ${this.epoch}`, epoch);
    matches('the hash of a reset', hash, HASH);
    holds('the reason of a reset', ['string', 'undefined'].includes(typeof reason), 'a text, or none', reason);
    this.resets += 1;
    Object.assign(this, { versions: [], rows: [], folded: [], epoch, position: { epoch, version, hash } });
    if (!this.mute) this.ack();
  }

  #passing(changes) {
    const strange = changes.find((change) => !passes(change, this.topics));
    if (strange) throw new Mismatch('a change of a filtered follower', `one that passes ${this.topics}`, strange);
  }

  #move(version, hash) {
    this.position = { epoch: this.epoch, version, hash };
  }
}

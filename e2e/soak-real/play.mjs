// The play: publishers, followers that are cut off, readers that fill by leases, and what is seen of the platform.

import { setTimeout as sleep } from 'node:timers/promises';

import { chain, genesis } from '../conformance/rows.mjs';
import { SHORT_LOG } from './places.mjs';

const KEYS = Array.from({ length: 20 }, (_, n) => `title:${n}`);
/** The lag bound of the keys' class, and what clocks, networks and this process may add to it. */
const [LAG_BOUND_MS, SLACK_MS] = [2_000, 3_000];
/** For how long a follower hears nothing before it must still be there: longer than an object stays in memory. */
const IDLE_MS = 12_000;
/** How long a call may go without an answer while the deployment is replaced. */
const AWAY_MS = 60_000;
const random = (n) => Math.floor(Math.random() * n);

/** Plays for so long; returns what was counted, violated and seen. */
export async function play(stage, place, seconds, say) {
  const game = new Game(stage, seconds);
  const late = sleep(750 * seconds).then(() => game.replace(place));
  const actors = [game.publish(0), game.publish(1), game.publish(2), game.follow('a'), game.follow('b'), game.read(), game.read(), game.read(), game.read()];
  const looks = [idle(stage, game), closing(stage, game), large(stage, game), late];
  const failed = (await Promise.allSettled([...actors, ...looks])).filter(({ status }) => status === 'rejected');
  for (const { reason } of failed) {
    game.violations.push(`${reason.message}${reason.expected === undefined ? '' : `: expected ${JSON.stringify(reason.expected)}, seen ${JSON.stringify(reason.seen)}`}`);
  }
  await game.settle().catch((error) => game.violations.push(`the end: ${error.message}`));
  say(`played: ${game.receipts.length} publishes`);
  const { violations, seen, counts } = game;
  return { violations, seen, counts: { publishes: game.receipts.length, ...counts } };
}

class Game {
  violations = [];
  receipts = [];
  counts = { 'reads that must be new': 0, 'other reads': 0, 'fills': 0, 'fills refused as overtaken': 0, 'cuts of followers': 0, 'oldest read, ms': 0 };
  /** What was seen of the platform; `assumptions.mjs` judges it. */
  seen = { closedByServer: 0 };
  #written = new Map(KEYS.map((key) => [key, 0]));
  /** The newest publish of each key that was acknowledged: its value, its version, and when. */
  #proven = new Map();
  #followers = [];

  constructor(stage, seconds) {
    this.log = stage.log();
    this.until = Date.now() + 1_000 * seconds;
  }

  get isOver() {
    return Date.now() >= this.until;
  }

  /** Calls until it is answered; a deployment that is being replaced may answer nothing, or say that it is busy. */
  async answered(call) {
    for (const deadline = Date.now() + AWAY_MS; ; await sleep(200)) {
      const answer = await call().catch((error) => ({ status: 0, text: error.message }));
      if (answer.status > 0 && answer.status < 500 && answer.status !== 429) return answer;
      if (Date.now() > deadline) throw new Error(`no answer for ${AWAY_MS} ms: ${answer.status} ${answer.text}`);
    }
  }

  async publish(publisher) {
    for (let n = 0; !this.isOver; n++) {
      const key = KEYS[random(KEYS.length)];
      const value = this.#written.get(key) + 1;
      this.#written.set(key, value);
      const body = JSON.stringify({ changes: [{ key }, { tag: `of:${key}:${value}` }] });
      const headers = { 'idempotency-key': `soak-${publisher}-${n}` };
      const answer = await this.answered(() => this.log.post(body, { headers }));
      if (answer.status !== 200) throw new Error(`a publish: ${answer.status} ${answer.text}`);
      const { epoch, version, position, at } = answer.json;
      this.receipts.push({ epoch, version, position, at, heardAt: Date.now(), body });
      const before = this.#proven.get(key);
      if (!before || before.value < value) this.#proven.set(key, { value, epoch, version, when: Date.now() });
      await sleep(random(40));
    }
  }

  /** A follower of the kit, which checks every frame; it is cut off now and then, and comes back to its position. */
  async follow(name) {
    const follower = await this.log.follow({ name });
    this.#followers.push(follower);
    while (!this.isOver) {
      await sleep(Math.min(1_000 + random(4_000), Math.max(0, this.until - Date.now())));
      if (follower.failure) throw follower.failure;
      if (follower.closed) this.seen.closedByServer += 1;
      else if (random(2)) await follower.close();
      else continue;
      this.counts['cuts of followers'] += 1;
      await this.back(follower);
    }
  }

  async back(follower) {
    for (const deadline = Date.now() + AWAY_MS; ; await sleep(300)) {
      const came = await follower.connect().then(() => true, (error) => error);
      if (came === true) return;
      if (follower.failure) throw follower.failure;
      if (Date.now() > deadline) throw new Error(`a follower cannot come back: ${came.message}`);
    }
  }

  async read() {
    while (!this.isOver) {
      const key = KEYS[random(KEYS.length)];
      const proven = this.#proven.get(key);
      const mustBeNew = proven !== undefined && random(2) === 0;
      const headers = mustBeNew ? { 'newsreel-min-version': `${proven.epoch}:${proven.version}` } : {};
      const answer = await this.answered(() => this.log.call('POST', `/entries/${key}`, { token: this.log.tokens.fill, headers }));
      if (answer.status === 202) await this.fill(key, answer.json.lease);
      else if (answer.status === 200) this.judge(key, proven, mustBeNew, answer);
      else throw new Error(`a read: ${answer.status} ${answer.text}`);
    }
  }

  /** Fills a key with what is true after the lease was given. */
  async fill(key, lease) {
    const value = this.#written.get(key);
    await sleep(random(100));
    const headers = { 'newsreel-lease': lease, 'content-type': 'text/plain' };
    const answer = await this.answered(() => this.log.call('PUT', `/entries/${key}`, { token: this.log.tokens.fill, headers, body: `${value}` }));
    if (answer.status === 204) this.counts.fills += 1;
    else if (answer.status === 409) this.counts['fills refused as overtaken'] += 1;
    else throw new Error(`a fill: ${answer.status} ${answer.text}`);
  }

  judge(key, proven, mustBeNew, { text, headers }) {
    const value = Number(text);
    this.counts[mustBeNew ? 'reads that must be new' : 'other reads'] += 1;
    if (!proven || value >= proven.value) return;
    const age = Date.now() - proven.when;
    const said = headers.get('newsreel-freshness') ?? '';
    if (mustBeNew) this.violations.push(`S1: a read of ${key} after version ${proven.version} got ${value}, not ${proven.value}`);
    else if (said.startsWith('fresh') && age > LAG_BOUND_MS + SLACK_MS) {
      this.violations.push(`S3: a read of ${key} said "${said}" of a value that had ended ${age} ms before`);
    }
    this.counts['oldest read, ms'] = Math.max(this.counts['oldest read, ms'], age);
  }

  async replace(place) {
    const { receipts } = this;
    const before = receipts.length;
    await place.again(SHORT_LOG);
    this.seen.replaced = { isCrash: place.isCrash, publishesBefore: before };
  }

  /** At the end: every receipt is on the log once, with its hash, and every follower has the whole log. */
  async settle() {
    const { json: head } = await this.answered(() => this.log.call('GET', '', { token: this.log.tokens.follow }));
    this.seen.head = head;
    const versions = this.receipts.map(({ version }) => version).toSorted((a, b) => a - b);
    const isDense = versions.every((version, n) => version === n + 1) && versions.length === head.version;
    const epochs = new Set(this.receipts.map(({ epoch }) => epoch));
    this.seen.oneHead = isDense && epochs.size === 1;
    if (!this.seen.oneHead) this.violations.push(`G1, G2: ${versions.length} receipts of ${epochs.size} epochs, and the head is ${head.version}`);
    for (const follower of this.#followers) {
      if (follower.closed) await this.back(follower);
      await follower.reached(head.version);
      if (follower.position.hash !== head.position.split(':')[2]) this.violations.push('G6: a follower ends with another hash');
      this.#compare(follower);
    }
    this.seen.clocks = this.receipts.map(({ at, heardAt }) => heardAt - at);
  }

  /** Compares what a follower applied with the receipts: nothing acknowledged is missing, and no version is split. */
  #compare(follower) {
    const positions = new Map(this.receipts.map((receipt) => [receipt.version, receipt]));
    let [hash, at] = [genesis(follower.epoch), 0];
    this.seen.hashes ??= 0;
    follower.versions.forEach(({ version, changes }, n) => {
      if (version !== at + 1) return;
      [hash, at] = [chain(hash, [follower.rows[n]]), version];
      const { position, body } = positions.get(version) ?? {};
      if (position && position !== `${follower.epoch}:${version}:${hash}`) this.violations.push(`G6, D1: version ${version} is not what its receipt says`);
      if (body && JSON.stringify({ changes }) !== body) this.violations.push(`G4: version ${version} is not whole`);
      this.seen.hashes += 1;
    });
  }
}

/** A follower that hears nothing for long is told of the next version over the same socket. */
async function idle(stage, game) {
  const log = stage.log();
  await log.publish({ key: 'title:idle' });
  const follower = await log.follow({ name: 'idle' });
  const { epoch } = follower;
  game.seen.epochs = [epoch, (await game.log.status()).epoch];
  const until = Math.min(IDLE_MS, Math.max(0, game.until - Date.now() - 2_000));
  await sleep(until);
  if (follower.closed) return;
  const { version } = await log.publish({ key: 'title:woken' });
  await follower.reached(version);
  game.seen.pong = await follower.ping();
  game.seen.idleMs = until;
}

/** What a follower may not send closes it at once, with a Close frame. */
async function closing(stage, game) {
  const follower = await stage.log().follow({ name: 'closing' });
  const began = Date.now();
  follower.send('this is no frame');
  await follower.closesWith(4500);
  game.seen.closeMs = Date.now() - began;
}

/** A version of nearly a MiB is stored and sent whole. */
async function large(stage, game) {
  const log = stage.log();
  const changes = Array.from({ length: 1_000 }, (_, n) => ({ key: `large:${n}`, tags: [`${n}`.padEnd(900, 'x').slice(0, 250)] }));
  const follower = await log.follow({ name: 'large' });
  const { version } = await log.publish({ changes });
  await follower.reached(version);
  game.seen.largeBytes = follower.rows.at(-1).length;
}

// workerd killed at random moments, again and again, while it is published to, followed and read from.
//
// Real processes, killed by their pid (SIGKILL). The moments come from a seed, which is printed: SEED=… plays it again.

import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { setTimeout as later } from 'node:timers/promises';
import { test } from 'node:test';

import { freshness } from './edge.mjs';
import { Follower } from './follower.mjs';
import { startValues } from './origin.mjs';
import { Publisher } from './publisher.mjs';
import { randomFrom } from './random.mjs';
import { Served } from './served.mjs';

const ROUNDS = Number(process.env.ROUNDS ?? 50);
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000);
const BOUND = 300;
/** How long after the round's checks the process may live on. */
const LIFE_MS = 150;
/** How long a process may live that is killed while it starts: it listens after about 100 ms. */
const BIRTH_MS = 160;
/** The publishers over HTTP; each has keys of its own, so that it knows their values. */
const PUBLISHERS = [0, 1, 2];
/** How many of a class each has, in turn: one that changed all the time could never be fetched. */
const KEYS = 8;

test('D1, D3, G3, S1: workerd killed at random moments loses nothing, makes nothing twice, serves nothing old', { timeout: 300_000 }, async (t) => {
  t.diagnostic(`SEED=${SEED}, ${ROUNDS} rounds`);
  const story = await Story.begin(t, randomFrom(SEED));
  const actors = [
    ...PUBLISHERS.map((n) => story.publish(n)),
    story.publishBySocket(),
    ...PUBLISHERS.flatMap((n) => [story.read('live', n), story.read('quick', n)]),
  ];
  const took = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const began = Date.now();
    await story.check();
    await story.crash();
    took.push(Date.now() - began);
  }
  await story.check();
  story.over = true;
  await Promise.all(actors);
  await story.check();
  assert.equal(story.made.size, story.acknowledged.size, 'what was sent is there once, and nothing else');
  took.sort((a, b) => a - b);
  t.diagnostic(`a round takes ${took[ROUNDS >> 1]} ms, at most ${took.at(-1)}; ${story.made.size} versions, ` +
    `${story.again} sent again, ${story.births} killed while starting, fresh reads ${JSON.stringify(story.fresh)}`);
  assert.ok(story.again > ROUNDS, `many were in flight: ${story.again}`);
  for (const name of ['live', 'quick']) assert.ok(story.fresh[name] > ROUNDS, `${story.fresh[name]} fresh reads of ${name}`);
});

class Story extends EventEmitter {
  /** The receipts of all publishers, by idempotency key, which is also a key that the publish changes. */
  acknowledged = new Map();
  /** The versions in the log, by the same key. */
  made = new Map();
  /** For each key that is read, its values with the times of their acknowledgement, the oldest first. */
  set = new Map();
  /** The last acknowledged value of each publisher. */
  last = [];
  fresh = { live: 0, quick: 0 };
  again = 0;
  births = 0;
  lives = 1;
  over = false;
  walked = { epoch: '', version: 0, hash: '' };

  static async begin(t, random) {
    const story = new Story();
    story.setMaxListeners(0);
    const origin = await startValues(t);
    const policy = JSON.stringify({ quick: { lag_bound_ms: BOUND } });
    const served = await Served.at(t, { vars: { ORIGIN_URL: origin.url, POLICY: policy } });
    Object.assign(story, { random, origin, served, broker: served.broker });
    await served.start();
    story.follower = await new Follower(served.broker).connect();
    return story;
  }

  /** Kills the process at a random moment, some of them while they start, and starts the next. */
  async crash() {
    await later(this.random() * LIFE_MS);
    await this.served.kill();
    while (this.random() < 0.25) {
      const started = this.served.start().catch(() => {});
      await later(this.random() * BIRTH_MS);
      await this.served.kill();
      await started;
      this.births += 1;
    }
    await this.served.start();
    this.lives += 1;
    this.emit('up');
  }

  /** Waits for a process after the `nth`. */
  async reborn(nth) {
    while (this.lives === nth) await once(this, 'up');
  }

  /** Does something until it succeeds: when the process died, with the next. */
  async persist(act) {
    for (;;) {
      const nth = this.lives;
      try {
        return await act();
      } catch (error) {
        // The connection broke, or was refused; everything else is a finding.
        if (!(error instanceof TypeError || error instanceof Died)) throw error;
      }
      await this.reborn(nth);
    }
  }

  async publish(n) {
    for (let nth = 1; !this.over; nth += 1) {
      const name = `a:${n}-${nth}`;
      const keys = [`live:${n}-${nth % KEYS}`, `quick:${n}-${nth % KEYS}`];
      for (const key of keys) this.origin.set(key, { nth });
      const changes = [...keys, name].map((key) => ({ key }));
      let tries = 0;
      const receipt = await this.persist(() => {
        if (tries++ > 0) this.again += 1;
        return this.broker.publish({ changes }, { headers: { 'idempotency-key': name } });
      });
      this.acknowledged.set(name, receipt);
      for (const key of keys) this.set.set(key, [...(this.set.get(key) ?? []), { nth, at: performance.now() }]);
      this.last[n] = { key: keys[0], nth, receipt };
    }
  }

  /** Publishes a few at a time over the publishing socket; unanswered publishes are sent again over the next. */
  async publishBySocket() {
    const publisher = new Publisher(this.broker);
    const connect = () => this.persist(() => publisher.connect().catch(() => Promise.reject(new Died())));
    await connect();
    for (let nth = 1; !this.over; nth += 1) {
      const names = [0, 1, 2, 3, 4].map((n) => `s:${nth}-${n}`);
      const answers = names.map((key) => publisher.publish({ key, idempotency_key: key }));
      while (publisher.unanswered.length > 0) {
        const life = this.lives;
        try {
          await publisher.until(() => publisher.unanswered.length === 0);
        } catch (error) {
          if (!/^closed/.test(error.message)) throw error;
          this.again += publisher.unanswered.length;
          // Code 4010: only the broker's object died, before it had answered all, and the process goes on.
          if (publisher.closed.code !== 4010) await this.reborn(life);
          await connect();
        }
      }
      for (const [n, answer] of (await Promise.all(answers)).entries()) {
        assert.ok(answer.version, JSON.stringify(answer));
        this.acknowledged.set(names[n], answer);
      }
    }
    await publisher.close();
  }

  /** S1: a fresh answer has every value acknowledged before the read began, by more than the bound. */
  async read(name, n) {
    const bound = name === 'live' ? 0 : BOUND;
    for (let nth = 0; !this.over; nth += 1) {
      const key = `${name}:${n}-${nth % KEYS}`;
      const began = performance.now();
      const least = this.set.get(key)?.findLast(({ at }) => at < began - bound)?.nth ?? 0;
      const read = await this.persist(() => this.broker.read(key));
      if (read.status === 503) {
        assert.equal(read.json.code, 'bound-not-kept', read.text);
        continue;
      }
      if (read.status === 404) {
        assert.equal(least, 0, read.text);
        continue;
      }
      assert.equal(read.status, 200, read.text);
      const { word } = freshness(read);
      assert.ok(word !== 'stale' || name === 'quick', 'a class that always asks is never marked');
      if (word !== 'fresh') continue;
      assert.ok(read.json.nth >= least, `${key}: ${read.json.nth} is called fresh, ${least} was acknowledged`);
      this.fresh[name] += 1;
    }
  }

  /** Nothing that was acknowledged is missing, nothing is there twice, and the follower and the edge have it. */
  async check() {
    const due = [...this.acknowledged];
    await this.walk();
    for (const [name, { version }] of due) assert.equal(this.made.get(name), version, `${name} has the version that was acknowledged`);
    await this.resume();
    const newest = Math.max(0, ...due.map(([, { version }]) => version));
    await this.follower.reached(newest);
    assert.equal(this.follower.resets, 0, 'G7: the log is the one it was');
    for (const row of this.follower.versions.slice(0, newest)) assert.equal(this.made.get(nameOf(row)), row.version);
    await Promise.all(this.last.map(async ({ key, nth, receipt }) => {
      const read = await this.broker.read(key, { after: receipt });
      assert.equal(read.status, 200, read.text);
      assert.ok(read.json.nth >= nth, `${key} is ${read.json.nth}, ${nth} was acknowledged`);
    }));
  }

  /** Reads what is new on the log, of which each idempotency key is there once. */
  async walk() {
    for (let more = true; more; ) {
      const { epoch, version, hash } = this.walked;
      const { status, json, text } = await this.broker.changes(epoch ? `?epoch=${epoch}&since=${version}&hash=${hash}` : '?since=0');
      assert.equal(status, 200, text);
      for (const row of json.versions) {
        const name = nameOf(row);
        assert.ok(!this.made.has(name), `D3: ${name} is there twice`);
        this.made.set(name, row.version);
      }
      this.walked = { epoch: json.epoch, version: json.to, hash: json.hash };
      more = json.to < json.head;
    }
  }

  async resume() {
    const { follower } = this;
    if (follower.socket.readyState === WebSocket.OPEN) return;
    await follower.until(() => follower.closed);
    await follower.connect();
  }
}

class Died extends Error {}

/** Returns the idempotency key of a version, which is the last of its keys. */
const nameOf = (row) => row.changes.at(-1).key;

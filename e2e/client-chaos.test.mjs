// The WASM client before a broker that does everything wrong at random, with handlers and stores that fail at random,
// from a seed: versions are always handled in order, none is skipped, and the client gets to the end.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { connect, QUICK, TestStore } from './client.mjs';
import { EPOCH, FakeBroker, changesOf, hashOf } from './fake-broker.mjs';
import { randomFrom } from './random.mjs';

const VERSIONS = 60;
const SEEDS = Number(process.env.SEEDS ?? 25);
const FIRST = Number(process.env.SEED ?? 1);

/** The faults of a frame. Each takes the connection and the frame, and says whether the connection goes on. */
const FAULTS = [
  () => true, // lost
  (connection, frame) => (connection.send(frame), connection.send(frame), true), // twice
  (connection, frame) => (connection.send(JSON.stringify(frame).slice(0, -5)), true), // in half
  (connection) => (connection.cut(), false),
  (connection) => (connection.close(4010, 'resync'), false),
  (connection) => (connection.send({ type: 'error', code: 'busy', message: 'later', retry_after_ms: 2 }), connection.close(4001), false),
  (connection) => (connection.send('?'), true),
  (connection, frame) => (connection.send({ ...frame, hash: hashOf(7, 5) }), true), // of another history, from now on
  (connection) => (connection.send({ type: 'live', version: 2 ** 40 }), true),
  (connection) => (connection.send('pong 7ZZZZZZZZZZZZZZZZZZZZZZZZZ:1:0000000000000000'), true),
  (connection, frame) => ((connection.pongs = false), connection.send(frame), true), // half open from here on
];

/** Serves the log on every connection, with faults while `calm` does not hold. */
async function serve(broker, random, isCalm) {
  for (;;) {
    const connection = await broker.connection();
    const send = (frame) => {
      if (isCalm() || random() > 0.15) return connection.send(frame), true;
      return FAULTS[Math.floor(random() * FAULTS.length)](connection, frame);
    };
    void replay(connection, broker, random, send);
  }
}

async function replay(connection, broker, random, send) {
  const at = connection.query.get('epoch') ? Number(connection.query.get('version')) : 0;
  const known = at === 0 || (at <= broker.head && connection.query.get('hash') === hashOf(at));
  const greeting = { type: 'welcome', epoch: EPOCH, head: broker.head, hash: hashOf(broker.head) };
  if (!send({ ...greeting, resume: known ? 'replay' : 'reset' })) return;
  let told = known ? at : broker.head;
  // A position that is not on the log: on from half of it, so that something is left to be told.
  if (!known) {
    told = Math.floor(broker.head / 2);
    if (!send({ type: 'reset', epoch: EPOCH, version: told, hash: hashOf(told), reason: 'another history' })) return;
  }
  while (told < broker.head) {
    const to = Math.min(broker.head, told + 1 + Math.floor(random() * 8));
    if (!send(changesOf(told, to, { ack: true }))) return;
    told = to;
  }
  send({ type: 'live', version: told });
}

async function survive(t, seed) {
  const random = randomFrom(seed);
  const broker = await FakeBroker.start(t);
  broker.head = VERSIONS;
  let disturbances = 0;
  const isCalm = () => (disturbances += 1) > 150;
  void serve(broker, random, isCalm);

  const store = new TestStore();
  // The next version that the handler has not seen, across all lives of the client.
  let expected = 1;
  let wrong;
  const handled = (event) => {
    if (event.type === 'reset') return void (expected = event.version + 1);
    // Not thrown: a handler that throws is tried again.
    if (event.version > expected) wrong ??= `seed ${seed}: ${event.version} came, ${expected} was to come`;
    if (event.version === expected) expected += 1;
  };
  for (let lives = 0; expected <= VERSIONS; lives++) {
    assert.ok(lives < 200, `seed ${seed}: it gets nowhere`);
    store.failures = random() < 0.2 ? 1 : 0;
    const calls = Math.floor(random() * 12);
    let left = isCalm() ? Infinity : calls;
    const feed = await connect(broker.url, {
      catalog: 'tv', from: 'start', store, timing: QUICK, transport: 'websocket',
      onChanges: async (events, feed) => {
        for (const event of events) {
          handled(event);
          if (!isCalm() && random() < 0.03) throw new Error('the sink is down');
        }
        // A process that dies here has handled the events and not kept the position.
        if (--left <= 0) void feed.close();
        if (expected > VERSIONS || wrong) void feed.close();
      },
    });
    const error = await feed.closed;
    assert.equal(error, undefined, `seed ${seed}: ${error}`);
    assert.equal(wrong, undefined);
  }
}

test('a broker, a handler and a store that fail at random: in order, and nothing is skipped', { timeout: 120_000 }, async (t) => {
  for (let seed = FIRST; seed < FIRST + SEEDS; seed++) await survive(t, seed);
});

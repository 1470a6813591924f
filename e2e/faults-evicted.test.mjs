// One story, told twice: once undisturbed, and once with broker and replica evicted between every two events.
//
// The broker's sockets hibernate, so they outlive it; the replica has a socket to the broker, which ends with it. The
// answers, frames and reads of all clients are the same, but for times, and for what only a fresh proof can say.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { entryVersion, freshness } from './edge.mjs';
import { Follower } from './follower.mjs';
import { startValues } from './origin.mjs';
import { Publisher } from './publisher.mjs';
import { startSystem, TOKENS, wrapped } from './system.mjs';

const NDJSON = { 'content-type': 'application/x-ndjson' };

test('G1, G3, G6, D3, S1, S2: evicted between every two events, the outcome is the same', { timeout: 120_000 }, async (t) => {
  const undisturbed = await tell(t, async () => {});
  let evictions = 0;
  const disturbed = await tell(t, async ({ broker, worker }) => {
    // Before the first event the broker does not run yet.
    await worker.evictDurableObject('Broker', { name: 'tv', webSockets: 'hibernate' }).catch(notRunning);
    const before = await (await fetch(`${broker.url}/replica`)).json();
    await fetch(`${broker.url}/replica`, { method: 'POST' });
    // The next read wakes another replica.
    while ((await (await fetch(`${broker.url}/replica`)).json()) <= before) await broker.read('title:none');
    evictions += 1;
  });
  assert.deepEqual(disturbed, undisturbed);
  t.diagnostic(`${evictions} evictions of each`);
});

function notRunning(error) {
  assert.match(error.message, /not currently running/);
}

/** Waits until a follower is reset: in place, or when it comes back, if it cannot be. */
async function reset(one) {
  await one.until(() => one.resets === 1 || one.closed);
  if (one.resets === 0) assert.equal(one.closed.code, 4010);
  if (one.closed) await one.connect();
  assert.equal(one.resets, 1);
}

/** Plays the story, and returns everything that came of it. */
async function tell(t, between) {
  const origin = await startValues(t);
  const system = await startSystem(t, { origin: false, vars: { ORIGIN_URL: origin.url }, config: wrapped(t, 'evicted.worker.mjs') });
  const { broker } = system;
  const outcome = [];
  const note = (what, came) => outcome.push([what, came]);
  const set = (key, value, tags) => origin.set(key, value, { tags });
  const publish = async (body, options) => {
    const { status, json, text, headers } = await broker.publishRaw(JSON.stringify(body), options);
    const answers = json ? [json] : text.trim().split('\n').map((line) => JSON.parse(line));
    note('published', [status, answers.map(({ version, changes, code }) => [version, changes, code]), headers.get('idempotent-replayed')]);
    return json;
  };
  const read = async (key, after) => {
    const answer = await broker.read(key, { after });
    const version = answer.headers.has('newsreel-entry-version') ? entryVersion(answer) : undefined;
    note(key, [answer.status, answer.json?.code ?? answer.json, version, answer.status === 200 && freshness(answer).word]);
  };
  const everything = new Follower(broker, { name: 'everything' });
  const some = new Follower(broker, { name: 'some', topics: ['title:'] });
  const publisher = new Publisher(broker);
  let at;

  for (const event of [
    async () => set('title:1', { n: 1 }, ['x']),
    async () => everything.connect(),
    async () => some.connect(),
    async () => (at = await publish({ key: 'title:1', tags: ['x'] })),
    async () => read('title:1', at),
    async () => read('title:1'),
    async () => publisher.connect(),
    async () => note('by socket', (await publisher.publish({ key: 'live:1', idempotency_key: 'one' })).version),
    async () => note('by socket', (await publisher.publish({ key: 'live:1', idempotency_key: 'one' })).version),
    async () => set('title:1', { n: 2 }, ['x']),
    async () => (at = await publish({ tag: 'x' })),
    async () => read('title:1', at),
    async () => read('live:1'),
    async () => set('live:1', { n: 1 }),
    async () => (at = await publish({ key: 'live:1' }, { headers: { 'idempotency-key': 'two' } })),
    async () => (at = await publish({ key: 'live:1' }, { headers: { 'idempotency-key': 'two' } })),
    async () => read('live:1'),
    async () => publish({ key: 'live:2' }, { headers: { 'idempotency-key': 'two' } }),
    async () => publish({ key: 'title:1', expect: { epoch: at.epoch, version: 1 } }),
    async () => (at = await publish({ key: 'title:1', op: 'remove' })),
    async () => read('title:1', at),
    async () => set('title:1', { n: 3 }, ['x']),
    async () => (at = await publish({ key: 'title:1' })),
    async () => read('title:1', at),
    async () => everything.close(),
    async () => broker.publishRaw([1, 2, 3].map((n) => `{"key":"title:${n}"}`).join('\n'), { headers: NDJSON }),
    async () => everything.connect(),
    async () => (at = await publish({ changes: [{ prefix: 'title:' }, { key: 'live:1', soft: true }] })),
    async () => read('title:1', at),
    async () => everything.reached(at.version),
    async () => note('heard', everything.versions.map(({ version, changes }) => [version, changes])),
    async () => some.until(() => some.versions.at(-1)?.version === at.version),
    async () => note('heard some', some.versions.map(({ version, changes }) => [version, changes])),
    async () => note('pong', (await everything.ping()).split(':')[1]),
    async () => note('anew', (await broker.call('POST', '/epochs', { token: TOKENS.admin })).json.version),
    async () => reset(everything),
    async () => reset(some),
    async () => set('title:1', { n: 4 }, ['x']),
    async () => (at = await publish({ all: true })),
    async () => read('title:1', at),
    async () => everything.reached(1),
    async () => note('heard', everything.versions.map(({ version, changes }) => [version, changes])),
    async () => note('closed', [everything.closed, some.closed]),
    async () => note('followers', (await broker.call('GET', '/followers', { token: TOKENS.admin })).json.followers.map(({ name }) => name).sort()),
  ]) {
    await event();
    await between(system);
  }
  await Promise.all([everything.close(), some.close(), publisher.close()]);
  return outcome;
}

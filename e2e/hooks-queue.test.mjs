// Webhooks through Cloudflare's own queue as wrangler runs it on this machine: answered at once, published in order, a
// broker that is away, poisoned messages, repeated ones, a consumer that dies; dead letters, listed and replayed.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';

import { createTestHarness } from 'wrangler';

import { Follower } from './follower.mjs';
import { HOOK_SECRETS, post, SIGNERS } from './hooks.mjs';
import { Broker, newsreel, ROOT, SECRETS, TOKENS, wrapped } from './system.mjs';

const HOOKS = {
  gh: { scheme: 'github', secret: 'GH', map: [{ key: 'title:{id}', removed_when: { gone: [true] } }] },
};

/** A deployment with the queue of hooks, around the module `hooks-queue.worker.mjs`. */
async function start(t, { retries = 20 } = {}) {
  const config = wrapped(t, 'hooks-queue.worker.mjs');
  const toml = readFileSync(config, 'utf8')
    .replace(/^# (\[\[queues\.|binding = "HOOK_QUEUE"|queue = "newsreel-hooks|max_|dead_letter_queue)/gm, '$1')
    .replace(/^max_retries = 20.*$/m, `max_retries = ${retries}`);
  writeFileSync(config, toml);
  const harness = createTestHarness({
    root: ROOT,
    workers: [{ configPath: config, vars: { EDGE: 'e2e', HOOKS }, secrets: { ...SECRETS, ...HOOK_SECRETS } }],
  });
  t.after(() => harness.close());
  const { url } = await harness.listen();
  const broker = new Broker(url.origin);
  /** Tells the module around the Worker how to fail from now on. */
  const plan = async (change) => {
    const answer = await fetch(`${url.origin}/plan`, { method: 'POST', body: JSON.stringify(change) });
    return answer.json();
  };
  const send = (body, id) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    return post(broker, 'tv/hooks/gh', text, SIGNERS.github(text, { id }));
  };
  const follower = await new Follower(broker).connect();
  const changes = () => follower.versions.map((row) => row.changes);
  const dead = async () => (await broker.call('GET', '/dead-letters', { token: TOKENS.admin })).json;
  return { broker, plan, send, follower, changes, dead };
}

/** Waits until `holds` says so. */
async function until(holds, what) {
  for (let tries = 0; tries < 600; tries += 1) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`${what} did not come`);
}

test('messages wait in the queue, and reach the log once each', { timeout: 240_000 }, async (t) => {
  const { broker, plan, send, follower, changes, dead } = await start(t);
  const reached = (version) => follower.reached(version);

  await t.test('a message is answered 202 before it is published, and published in order', async () => {
    const answers = [];
    for (let id = 1; id <= 20; id += 1) answers.push(await send({ id }, `m-${id}`));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([202]), answers[0].text);
    assert.deepEqual(answers[0].body, { catalog: 'tv', hook: 'gh', id: 'm-1', queued: true, receipts: [] });
    await reached(20);
    const keys = Array.from({ length: 20 }, (_, at) => [{ key: `title:${at + 1}` }]);
    assert.deepEqual(changes(), keys);
    const { batches } = await plan({});
    assert.ok(batches < 20, `${batches} batches`);
  });

  await t.test('a wrong signature never reaches the queue', async () => {
    const forged = await post(broker, 'tv/hooks/gh', '{"id":1}', SIGNERS.github('{"id":2}'));
    assert.equal(forged.status, 401);
  });

  await t.test('a poisoned message stops no other, and becomes a dead letter with its reason', async () => {
    const sent = [send({ id: 21 }, 'm-21'), send('poison', 'm-poison'), send({ name: 'no id' }, 'm-nameless'), send({ id: 22 }, 'm-22')];
    assert.deepEqual((await Promise.all(sent)).map(({ status }) => status), [202, 202, 202, 202]);
    await reached(22);
    await until(async () => (await dead()).total === 2, 'two dead letters');
    const { letters } = await dead();
    const reasons = Object.fromEntries(letters.map(({ message, reason }) => [JSON.parse(message).id, reason]));
    assert.match(reasons['m-poison'], /no JSON/);
    assert.match(reasons['m-nameless'], /id/);
    assert.deepEqual(new Set(letters.map(({ hook }) => hook)), new Set(['gh']));
  });

  await t.test('the same message three times is one version', async () => {
    for (let time = 0; time < 3; time += 1) assert.equal((await send({ id: 23 }, 'm-23')).status, 202);
    await send({ id: 24 }, 'm-24');
    await reached(24);
    assert.deepEqual(changes().slice(22), [[{ key: 'title:23' }], [{ key: 'title:24' }]]);
  });

  await t.test('a broker that is away for a while gets everything afterwards', async () => {
    await plan({ away: 2 });
    for (let id = 25; id <= 30; id += 1) assert.equal((await send({ id }, `m-${id}`)).status, 202);
    await reached(30);
    const keys = changes().slice(24).flat().map(({ key }) => key);
    assert.deepEqual(keys.toSorted(), [25, 26, 27, 28, 29, 30].map((id) => `title:${id}`));
  });

  await t.test('a consumer that dies after it has published does so once in effect', async () => {
    const before = await plan({ die: 1 });
    assert.equal((await send({ id: 31 }, 'm-31')).status, 202);
    await until(async () => (await plan({})).deaths > before.deaths, 'the death of the consumer');
    await until(async () => (await plan({})).batches > before.batches + 1, 'the batch again');
    await send({ id: 32 }, 'm-32');
    await reached(32);
    assert.deepEqual(changes().slice(30), [[{ key: 'title:31' }], [{ key: 'title:32' }]]);
  });

  await t.test('a message without an id is published once, however often the queue hands it out', async () => {
    const before = await plan({ die: 1 });
    const body = '{"id":33}';
    const { 'X-GitHub-Delivery': _, ...headers } = SIGNERS.github(body);
    assert.equal((await post(broker, 'tv/hooks/gh', body, headers)).status, 202);
    await until(async () => (await plan({})).batches > before.batches + 1, 'the batch again');
    await send({ id: 34 }, 'm-34');
    await reached(34);
    assert.deepEqual(changes().slice(32), [[{ key: 'title:33' }], [{ key: 'title:34' }]]);
  });

  await t.test('a remove that may come late has the origin asked', async () => {
    await send({ id: 34, gone: true }, 'm-gone');
    await reached(35);
    assert.deepEqual(changes().at(-1), [{ key: 'title:34' }]);
  });

  await t.test('what is too large for a queue is published at once', async () => {
    const answer = await send({ id: 36, filler: 'x'.repeat(130_000) }, 'm-36');
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.body.receipts[0].version, 36);
  });

  await t.test('newsreel hooks dead lists, replays and drops', async () => {
    const flags = ['--broker', broker.url, '--token', TOKENS.admin, '--catalog', 'tv'];
    const lines = (text) => text.trim().split('\n').filter(Boolean).map((line) => JSON.parse(line));
    const listed = await newsreel('hooks', 'dead', ...flags);
    assert.equal(listed.code, 0, listed.stderr);
    assert.deepEqual(lines(listed.stdout).map(({ message }) => message.body).toSorted(), ['poison', '{"name":"no id"}']);
    const replayed = await newsreel('hooks', 'dead', '--replay', ...flags);
    assert.equal(replayed.code, 1, 'they are as wrong as before');
    assert.equal(lines(replayed.stdout).filter(({ failed }) => failed).length, 2);
    const [{ id }] = lines(listed.stdout);
    const dropped = await newsreel('hooks', 'dead', '--drop', String(id), ...flags);
    assert.deepEqual([dropped.code, lines(dropped.stdout)], [0, [{ id, dropped: true }]]);
    assert.equal((await dead()).total, 1);
    const other = await newsreel('hooks', 'dead', ...flags.with(3, TOKENS.follow));
    assert.equal(other.code, 4, 'only an admin');
  });
});

test('what the queue gives up is kept, and replayed once the broker is back', { timeout: 240_000 }, async (t) => {
  const { broker, plan, send, follower, changes, dead } = await start(t, { retries: 1 });
  await plan({ away: 100 });
  for (let id = 1; id <= 3; id += 1) assert.equal((await send({ id }, `m-${id}`)).status, 202);
  await until(async () => (await plan({})).away <= 98, 'two tries');
  await plan({ away: 0 });
  await until(async () => (await dead()).total === 3, 'three dead letters');
  assert.deepEqual(changes(), [], 'nothing is published by itself');
  const { letters } = await dead();
  assert.ok(letters.every(({ reason }) => /given up/.test(reason)), JSON.stringify(letters));
  const flags = ['--broker', broker.url, '--token', TOKENS.admin];
  const replayed = await newsreel('hooks', 'dead', '--replay', ...flags);
  assert.equal(replayed.code, 0, replayed.stderr);
  await follower.reached(3);
  assert.deepEqual(changes().flat().map(({ key }) => key).toSorted(), ['title:1', 'title:2', 'title:3']);
  assert.equal((await dead()).total, 0);
  assert.equal((await send({ id: 1 }, 'm-1')).status, 202, 'and the provider sends one again');
  await send({ id: 4 }, 'm-4');
  await follower.reached(4);
  assert.deepEqual(changes().at(-1), [{ key: 'title:4' }]);
});

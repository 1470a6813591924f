//! The handlers of newsreel-next by the contract of Next 16, on the real client and a scripted broker. In Next itself:
//! e2e/frameworks/next.test.mjs.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { QUICK, connect } from './client.mjs';
import { FakeBroker, hashOf, json, positionOf, problem } from './fake-broker.mjs';
import { Floors, now } from '../packages/newsreel-next/src/floors.js';
import { Follower } from '../packages/newsreel-next/src/follower.js';
import { createHandler } from '../packages/newsreel-next/src/handler.js';
import { settingsOf } from '../packages/newsreel-next/src/settings.js';
import { tagOf } from '../packages/newsreel-next/src/tags.js';

const LIFE = { stale: 300, revalidate: 900, expire: 3_600 };

/** A handler whose follower is live at version 3, and a broker that takes its publishes. */
async function live(t, env = {}) {
  const broker = await FakeBroker.start(t);
  const published = [];
  const settings = settingsOf({ NEWSREEL_URL: broker.url, NEWSREEL_CATALOG: 'tv', NEWSREEL_FROM: 'now', ...env });
  let feed;
  const follower = new Follower(settings, {
    connect: async (url, options) => (feed = await connect(url, { ...options, timing: QUICK, transport: 'websocket' })),
    fetch: (url, init) => {
      published.push(JSON.parse(init.body));
      const { status, headers, body } = broker.refusePublish?.() ?? json({ position: positionOf(broker.head) });
      return Promise.resolve(new Response(body, { status, headers }));
    },
  });
  const proving = follower.prove();
  const connection = await broker.live(3);
  await proving;
  t.after(() => feed.close());
  const handler = createHandler(() => follower, (follower, tags, durations) => follower.update(tags, durations));
  const hear = async (...changes) => {
    const from = broker.head;
    broker.head += 1;
    connection.send({ type: 'changes', from, to: broker.head, hash: hashOf(broker.head), versions: [{ version: broker.head, at: 1, changes }] });
    await feed.waitFor(broker.head);
  };
  return { broker, connection, follower, handler, hear, published };
}

const entryOf = (text, more = {}) => ({ value: new Blob([text]).stream(), tags: [], timestamp: now(), ...LIFE, ...more });

async function read(handler, key, softTags = []) {
  await handler.refreshTags();
  const entry = await handler.get(key, softTags);
  return entry && [await new Response(entry.value).text(), entry.revalidate];
}

test('an entry is given to every read, until one of its tags changes', async (t) => {
  const { handler, hear } = await live(t);
  assert.equal(await read(handler, 'k'), undefined);
  await handler.set('k', Promise.resolve(entryOf('one', { tags: ['a', 'b'] })));
  for (let times = 0; times < 2; times++) assert.deepEqual(await read(handler, 'k'), ['one', 900]);
  await hear({ tag: 'c' }, { key: 'x:1' });
  assert.deepEqual(await read(handler, 'k'), ['one', 900]);
  await hear({ tag: 'b' });
  assert.equal(await read(handler, 'k'), undefined);
});

test('an entry ends by a key that is its tag, a prefix of one, everything, and a soft tag of the request', async (t) => {
  const { handler, hear } = await live(t);
  for (const [change, softTags] of [[{ key: 'title:1' }], [{ prefix: 'title:' }], [{ all: true }], [{ tag: '_N_T_/page' }, ['_N_T_/page']]]) {
    await handler.set('k', Promise.resolve(entryOf('one', { tags: ['title:1'] })));
    assert.deepEqual(await read(handler, 'k', softTags), ['one', 900]);
    await hear(change);
    assert.equal(await read(handler, 'k', softTags), undefined, JSON.stringify(change));
  }
});

test('a soft change shows the entry and has it made anew; its expiry ends it', async (t) => {
  const { handler, hear } = await live(t);
  await handler.set('k', Promise.resolve(entryOf('one', { tags: ['a'] })));
  await hear({ tag: 'a', soft: true });
  assert.deepEqual(await read(handler, 'k'), ['one', -1]);
  await hear({ tag: 'a', soft: true }, { tag: 'newsreel-next/expire=0;a', soft: true });
  assert.equal(await read(handler, 'k'), undefined);
});

test('an entry whose making a change overtook is never served, however late it is set', async (t) => {
  const { handler, hear } = await live(t);
  const began = now();
  await hear({ tag: 'a' });
  await handler.set('k', Promise.resolve(entryOf('old', { tags: ['a'], timestamp: began })));
  assert.equal(await read(handler, 'k'), undefined);
});

test('a read waits for an entry that is being written; a broken stream keeps nothing', async (t) => {
  const { handler } = await live(t);
  let send;
  const setting = handler.set('k', new Promise((resolve) => (send = resolve)));
  const reading = read(handler, 'k');
  send(entryOf('late'));
  assert.deepEqual(await reading, ['late', 900]);
  await setting;
  const broken = new ReadableStream({ pull: (controller) => controller.error(new Error('broken')) });
  await handler.set('broken', Promise.resolve({ ...entryOf(''), value: broken }));
  assert.equal(await read(handler, 'broken'), undefined);
  await handler.set('rejected', Promise.reject(new Error('no entry')));
  assert.equal(await read(handler, 'rejected'), undefined);
});

test('what is revalidated in one turn is one publish, and counts here at once', async (t) => {
  const { handler, published } = await live(t);
  await handler.set('k', Promise.resolve(entryOf('one', { tags: ['a'] })));
  const updates = [handler.updateTags(['a', 'b c']), handler.updateTags(['a', 'b c']), handler.updateTags(['d'], { expire: 60 }), handler.updateTags(['e'], { expire: 31_536_000 })];
  assert.equal(await handler.get('k', []), undefined, 'before it is published');
  await Promise.all(updates);
  const changes = [{ tag: 'a' }, { tag: 'b%20c' }, { tag: 'd', soft: true }, { tag: 'newsreel-next/expire=60;d', soft: true }, { tag: 'e', soft: true }];
  assert.deepEqual(published, [{ changes }]);
});

test('a publish is tried again where that may help, and a refusal is thrown', async (t) => {
  const { broker, handler, published } = await live(t);
  const answers = [problem(503, 'busy')];
  broker.refusePublish = () => answers.shift();
  await handler.updateTags(['a']);
  assert.equal(published.length, 2);
  broker.refusePublish = () => problem(403, 'forbidden');
  await assert.rejects(handler.updateTags(['a']), /was not published at .*403/);
});

test('without a proof nothing is served, or what there is, as the settings say', async (t) => {
  for (const [beyond, expected] of [['miss', undefined], ['stale', ['one', 900]]]) {
    const { connection, handler } = await live(t, { NEWSREEL_BEYOND_BOUND: beyond, NEWSREEL_TIMEOUT_MS: '30' });
    await handler.set('k', Promise.resolve(entryOf('one')));
    assert.deepEqual(await read(handler, 'k'), ['one', 900]);
    connection.pongs = false;
    assert.deepEqual(await read(handler, 'k'), expected, beyond);
  }
});

test('the memory is bounded, by its entries and by its floors', async (t) => {
  const { handler } = await live(t, { NEWSREEL_MAX_BYTES: '30' });
  for (const key of ['a', 'b', 'c']) await handler.set(key, Promise.resolve(entryOf('ten bytes.')));
  assert.deepEqual(await Promise.all(['a', 'b', 'c'].map(async (key) => (await read(handler, key))?.[0])), [undefined, 'ten bytes.', 'ten bytes.']);
  const floors = new Floors(2);
  for (const [at, tag] of ['a', 'b', 'c'].entries()) floors.hear([{ tag }], at + 1);
  assert.deepEqual([floors.judge(['z'], 1, 9), floors.judge(['z'], 2, 9), floors.judge(['c'], 3, 9)], ['hard', 'fresh', 'hard']);
});

test('tags that the protocol has no room for', () => {
  assert.equal(tagOf('_N_T_/blog/[slug]/page'), '_N_T_/blog/[slug]/page');
  assert.equal(tagOf('a,b ü'), 'a%2Cb%20%C3%BC');
  assert.match(tagOf('x'.repeat(300)), /^sha256:[0-9a-f]{64}$/);
  assert.equal(tagOf('Platform:X', true), 'platform:x');
});

test('a wrong setting is named', () => {
  assert.throws(() => settingsOf({}), /NEWSREEL_URL is not set/);
  assert.throws(() => settingsOf({ NEWSREEL_URL: 'x', NEWSREEL_CATALOG: 'tv', NEWSREEL_BOUND_MS: 'soon' }), /NEWSREEL_BOUND_MS is soon/);
  assert.throws(() => settingsOf({ NEWSREEL_URL: 'x', NEWSREEL_CATALOG: 'tv', NEWSREEL_BEYOND_BOUND: 'no' }), /write miss or stale/);
});

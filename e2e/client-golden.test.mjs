// The golden wire files through the package: its WebAssembly reads what they say, says what they say, and so does a feed.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

import { Recorder } from './client.mjs';
import { FakeBroker, json } from './fake-broker.mjs';

/** The wasm's own classes, which the package does not show: from its source, and the module that is in it. */
async function insides() {
  const entryPoints = [fileURLToPath(new URL('../packages/newsreel/src/wasm/wasm.ts', import.meta.url))];
  const { outputFiles: [{ text }] } = await build({ entryPoints, bundle: true, format: 'esm', write: false });
  const { load, provideWasm } = await import(`data:text/javascript,${encodeURIComponent(text)}`);
  provideWasm(readFileSync(new URL('../target/client/package/dist/bindgen/newsreel_bg.wasm', import.meta.url)));
  return load();
}

const { Session } = await insides();

/** The cases of a file, by their kind. */
function golden(name) {
  const lines = readFileSync(new URL(`../crates/core/tests/golden/${name}.jsonl`, import.meta.url), 'utf8').trim().split('\n');
  return Map.groupBy(lines.map((line) => JSON.parse(line)), (one) => one.case);
}

const files = {
  frames: golden('frames'),
  ours: golden('follower-frames'),
  positions: golden('positions'),
  names: golden('names'),
  answers: golden('answers'),
};
/** The positions of the log that the frames are of, by version. */
const [{ epoch: EPOCH, positions: POSITIONS }] = files.positions.get('chain');
const positionAt = (version, hash) => `${EPOCH}:${version}:${hash}`;

/** A session of its own, whose texts are kept. */
class Driven {
  /** Every text that any of them sent. */
  static sent = new Set();
  #now = 1_000;

  constructor(from) {
    this.session = new Session('tv', 'golden', [], from, '{}');
    this.dialed = this.#effects(this.session.start(this.#now));
    this.#effects(this.session.opened(this.#now));
  }

  #effects(said) {
    const effects = JSON.parse(said);
    for (const { do: kind, text } of effects) if (kind === 'send') Driven.sent.add(text);
    return effects;
  }

  text(text) {
    this.#now += 1;
    return this.#effects(this.session.text(this.#now, text));
  }

  closed(code) {
    return this.#effects(this.session.closed(this.#now, code));
  }

  /** Returns a session that holds a version and was welcomed to a replay, whose frames are still to come. */
  static holding(version) {
    const driven = new Driven(version === 0 ? 'start' : POSITIONS[version]);
    driven.text(JSON.stringify({ type: 'welcome', epoch: EPOCH, head: 3, resume: 'replay' }));
    return driven;
  }
}

const doing = (effects, kind) => effects.filter((effect) => effect.do === kind);

/** Checks of a session's effects for a frame, by the frame's type. */
const MEANINGS = {
  welcome(text, { head, hash, resume }) {
    const effects = new Driven(head > 0 && resume === 'live' && hash ? positionAt(head, hash) : 'start').text(text);
    assert.deepEqual(doing(effects, 'hangup'), []);
    assert.deepEqual(doing(effects, 'phase'), [{ do: 'phase', phase: 'catching-up' }]);
  },
  changes(text, { from, to, hash, versions }) {
    const effects = Driven.holding(from).text(text);
    const after = versions.length > 0 ? from : null;
    assert.deepEqual(doing(effects, 'apply'), [{ do: 'apply', position: positionAt(to, hash), after }]);
  },
  fold(text, { from, to, hash, more = false }) {
    const effects = Driven.holding(from).text(text);
    assert.deepEqual(doing(effects, 'fold'), [{ do: 'fold', position: more ? null : positionAt(to, hash) }]);
  },
  live(text, { version }) {
    assert.deepEqual(Driven.holding(version).text(text), [{ do: 'phase', phase: 'live' }]);
  },
  head(text, { version, hash }) {
    const effects = Driven.holding(version - 1).text(text);
    assert.deepEqual(doing(effects, 'hangup').length + doing(effects, 'apply').length, 1, JSON.stringify(effects));
    for (const { position } of doing(effects, 'apply')) assert.equal(position, positionAt(version, hash));
  },
  reset(text, { version, hash, reason = '' }) {
    // One that goes back on the log that is held is announced by the welcome.
    const driven = new Driven(POSITIONS[2]);
    driven.text(JSON.stringify({ type: 'welcome', epoch: EPOCH, head: 3, resume: 'reset' }));
    const effects = driven.text(text);
    assert.deepEqual(doing(effects, 'reset'), [{ do: 'reset', position: positionAt(version, hash), reason }]);
  },
  error(text, { code, message = '' }) {
    assert.deepEqual(Driven.holding(2).text(text), [{ do: 'complaint', code, message }]);
  },
  pong(text) {
    const driven = Driven.holding(3);
    assert.equal(driven.session.provedAt(), undefined);
    driven.text(text);
    assert.equal(typeof driven.session.provedAt(), 'number', 'it was asked when it was greeted');
  },
};

/** Runs every case of a kind. */
function each(t, cases, check) {
  assert.ok(cases?.length > 0);
  return Promise.all(cases.map((one) => t.test(`${one.case}: ${one.why}`, (t) => check(one, t))));
}

test('frames: the session does what they mean', (t) =>
  each(t, files.frames.get('frame'), ({ text, meaning }) => MEANINGS[meaning.type](text, meaning)));

test('frames: one that is not known is nothing', (t) =>
  each(t, files.frames.get('unknown'), ({ text }) => assert.deepEqual(Driven.holding(2).text(text), [])));

test('frames: what is none ends the connection, and nothing of it is applied', (t) =>
  each(t, files.frames.get('no-frame'), ({ text }) => {
    for (const version of [0, 1, 2]) {
      const effects = Driven.holding(version).text(text);
      assert.deepEqual(effects.map((effect) => effect.do), ['hangup', 'phase'], JSON.stringify(effects));
    }
  }));

test('close codes: who comes back', (t) =>
  each(t, files.frames.get('close'), ({ code, comes_back }) => {
    const phase = comes_back ? 'waiting' : 'closed';
    assert.deepEqual(Driven.holding(2).closed(code), [{ do: 'phase', phase }]);
  }));

test('positions: those that are some are dialed, the others refused', async (t) => {
  const dialed = ({ text, epoch, version, hash }) => {
    const [dial] = doing(new Driven(text).dialed, 'dial');
    assert.deepEqual(dial.start, { epoch, version, hash });
    assert.equal(dial.query, `?epoch=${epoch}&version=${version}&hash=${hash}&name=golden`);
  };
  await each(t, files.positions.get('position'), dialed);
  await each(t, files.positions.get('refused'), ({ text }) => assert.throws(() => new Driven(text)));
  await each(t, files.positions.get('chain'), ({ positions }) => {
    for (const text of positions) {
      const [epoch, version, hash] = text.split(':');
      dialed({ text, epoch, version: Number(version), hash });
    }
  });
});

test('positions: nobody goes back to an older epoch', (t) =>
  each(t, files.positions.get('newer'), ({ older, newer }) => {
    const resetTo = (from, to) => {
      const [driven, [epoch]] = [new Driven(`${from}:1:${'0'.repeat(16)}`), to.split(':')];
      driven.text(JSON.stringify({ type: 'welcome', epoch, head: 1, resume: 'reset' }));
      return driven.text(JSON.stringify({ type: 'reset', epoch, version: 1, hash: '0'.repeat(16) })).map((effect) => effect.do);
    };
    assert.ok(resetTo(older, newer).includes('reset'));
    assert.ok(!resetTo(newer, older).includes('reset'));
  }));

test('names: a catalog that is none is refused', (t) =>
  each(t, files.names.get('name').filter(({ kind }) => kind === 'catalog'), ({ text, ok }) => {
    const open = () => new Session(text, 'golden', [], 'now', '{}');
    if (ok) open();
    else assert.throws(open);
  }));

test('what the sessions said is what a follower says', () => {
  const ours = files.ours.get('frame').filter(({ ours }) => ours).map(({ text }) => text);
  for (const { text } of files.ours.get('refused')) assert.ok(!Driven.sent.has(text), text);
  for (const text of ours.filter((text) => text !== '{"type":"ack","version":0}')) assert.ok(Driven.sent.has(text), text);
  // Acks of other versions differ in their number alone.
  for (const text of Driven.sent) assert.ok(ours.includes(text.replace(/\d+/, '3')), text);
});

/** Returns a change without unknown fields and without those that say the default. */
function known({ version, key, tag, prefix, all, op, soft, tags }) {
  const short = { op: op === 'update' ? undefined : op, soft: soft || undefined, tags: tags?.length > 0 ? tags : undefined };
  return JSON.parse(JSON.stringify({ version, key, tag, prefix, all, ...short }));
}

test('a feed hands out what is in them', (t) => {
  const cases = files.frames.get('frame').filter(({ meaning }) => ['changes', 'fold', 'reset'].includes(meaning.type));
  return each(t, cases, async ({ text, meaning, ours }, t) => {
    const broker = await FakeBroker.start(t);
    broker.epoch = EPOCH;
    const from = meaning.from ?? 2;
    const recorder = await Recorder.follow(t, broker, { from: from === 0 ? 'start' : POSITIONS[from] });
    const connection = await broker.connection();
    connection.pongs = false;
    connection.send({ type: 'welcome', epoch: EPOCH, head: 3, resume: meaning.type === 'reset' ? 'reset' : 'replay' });
    connection.send(text);
    // A part of a fold has no position; that of a new epoch is below the one that was held.
    if (meaning.more || meaning.type === 'reset') await recorder.until(() => recorder.events.length === 1);
    else await recorder.feed.waitFor(positionAt(meaning.to ?? meaning.version, meaning.hash));
    const expected = {
      changes: () => meaning.versions.map(({ version, at, changes }) => ({ type: 'version', version, at, changes })),
      fold: () => (meaning.changes.length > 0 ? [{ type: 'fold', version: meaning.to, changes: meaning.changes }] : []),
      reset: () => [{ type: 'reset', version: meaning.version, changes: [{ all: true }], reason: meaning.reason ?? '',
        position: positionAt(meaning.version, meaning.hash) }],
    };
    const events = ours ? recorder.events : recorder.events.map((event) => ({ ...event, changes: event.changes.map(known) }));
    assert.deepEqual(events, expected[meaning.type]());
  });
});

test('a feed that polls hands out what is in pages', async (t) => {
  const check = async ({ text, from, to, head, hash, rows, left, next }, t) => {
    const broker = await FakeBroker.start(t);
    broker.epoch = EPOCH;
    let asked = 0;
    broker.answer = (url) => {
      if (!url.pathname.endsWith('/changes')) return json({ position: positionAt(to, hash) });
      // Nothing comes after it.
      return asked++ === 0 ? { status: 200, headers: { 'content-type': 'application/json' }, body: text } : new Promise(() => {});
    };
    const recorder = await Recorder.follow(t, broker, { transport: 'polling', from: from === 0 ? 'start' : POSITIONS[from] });
    if (next) await recorder.until(() => recorder.events.length === 1);
    else await recorder.feed.waitFor(positionAt(to, hash));
    const events = left?.length > 0 ? [{ type: 'fold', version: to, changes: left.map((line) => JSON.parse(line)) }]
      : (rows ?? []).map((row) => ({ type: 'version', ...JSON.parse(row) }));
    assert.deepEqual(recorder.events, events);
    if (!next && to === head) await recorder.feed.live();
  };
  await each(t, files.answers.get('page'), check);
  await each(t, files.answers.get('fold-page'), check);
});

test('a feed ends with the problem that it was answered', (t) => {
  const cases = files.answers.get('problem').filter(({ code }) => code !== 'reset');
  return each(t, cases, async ({ text, status, code, detail }, t) => {
    const broker = await FakeBroker.start(t);
    broker.refuse = () => ({ status, headers: { 'content-type': 'application/problem+json' }, body: text });
    broker.answer = broker.refuse;
    const { feed } = await Recorder.follow(t, broker);
    const error = await feed.closed;
    assert.deepEqual([error.code, error.status, error.terminal, error.message], [code, status, true, `${code}: ${detail}`]);
  });
});

// Records what clients and a deployment of this build say to each other: `node e2e/transcripts/record.mjs v2`.
//
// A recording is made once, by the build that speaks a protocol first, and never again: what is in a folder stays.
// Below is what the clients do. `{epoch}`, `{hash N}`, `{position N}`, `{next}` and `{etag}` stand for what was heard.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';

import { ROOT, startSystem } from '../system.mjs';
import { Client } from './player.mjs';

const ack = (version) => JSON.stringify({ type: 'ack', version });
const follow = (open, query, more = {}) => ({ open, path: `/follow?${query}`, token: 'follow', ...more });
const publish = (body, more = {}) => ({ ask: 'POST', path: '/changes', token: 'publish', body: JSON.stringify(body), ...more });
const page = (query, more = {}) => ({ ask: 'GET', path: `/changes${query}`, token: 'follow', ...more });
const say = (say, text, more = {}) => ({ say, text, ...more });
const until = (until, wanted) => ({ until, ...wanted });
const AT = 'epoch={epoch}&version=';

/** A log whose segments have two versions, of which two are kept; and followers that have 0.3 s to answer. */
const SHORT = { LOG_SEGMENT_BYTES: '200', LOG_KEEP_BYTES: '500', SLOW_AFTER_MS: '300' };

const THREE = [
  publish({ key: 'title:603', tags: ['platform:netflix'] }),
  publish({ changes: [{ key: 'title:604', op: 'remove' }, { tag: 'platform:hulu', soft: true }] }),
  publish({ changes: [{ key: 'title:映画' }, { prefix: 'availability:netflix:' }, { key: 'embedding:9', soft: true }] }),
];

const SCENARIOS = {
  live: {
    what: 'a follower of everything kept: greeted, live, told of each version, pinged, asked for an ack',
    does: [
      follow('a', 'version=0&name=old'), until('a', { type: 'live' }),
      ...THREE.flatMap((one, index) => [one, until('a', { version: index + 1 }), say('a', ack(index + 1))]),
      say('a', 'ping'), until('a', { type: 'pong' }),
      publish({ all: true }, { path: '/changes?wait=applied&timeout_ms=0' }), until('a', { version: 4 }), say('a', ack(4)),
      { leave: 'a', code: 1000 }, until('a', { close: true }),
    ],
  },
  head: {
    what: 'one that follows from now',
    does: [...THREE, follow('a', ''), until('a', { type: 'live' }), publish({ key: 'title:1' }), until('a', { version: 4 })],
  },
  resume: {
    what: 'one that comes back with the position it holds, with and without the hash, and at the head',
    does: [
      ...THREE,
      follow('a', `${AT}1&hash={hash 1}`), until('a', { version: 3 }), say('a', ack(3)), until('a', { type: 'live' }),
      follow('b', `${AT}2`), until('b', { type: 'live' }), say('b', ack(3)),
      follow('c', `${AT}3&hash={hash 3}`), until('c', { type: 'live' }),
      follow('d', 'version=0'), until('d', { type: 'live' }), say('d', ack(3)),
      publish({ key: 'title:1' }), ...['a', 'b', 'c', 'd'].map((one) => until(one, { version: 4 })),
    ],
  },
  filter: {
    what: 'one that hears of some topics: what passes, and bookmarks for what does not',
    does: [
      ...THREE,
      follow('a', 'version=0&topic=embedding:&topic=title:603'), until('a', { type: 'head' }), say('a', ack(3)),
      publish({ key: 'other:1' }), publish({ changes: [{ key: 'title:603' }, { key: 'other:2' }] }),
      until('a', { version: 5 }), say('a', ack(5)),
      follow('b', `${AT}5&hash={hash 5}&topic=nothing:`), until('b', { type: 'head' }),
    ],
  },
  reset: {
    what: 'positions that are not on the log, and a new epoch under a live follower',
    does: [
      ...THREE,
      follow('a', 'epoch=01ARYZ6S410000000000000000&version=2&hash=c2af7b8a19369152'), until('a', { type: 'live' }), say('a', ack(3)),
      follow('b', `${AT}9`), until('b', { type: 'live' }), say('b', ack(3)),
      follow('c', `${AT}2&hash=ffffffffffffffff`), until('c', { type: 'live' }), say('c', ack(3)),
      publish({ key: 'title:1' }), ...['a', 'b', 'c'].flatMap((one) => [until(one, { version: 4 }), say(one, ack(4))]),
      { wait: 'acked', version: 4 },
      { ask: 'POST', path: '/epochs', token: 'admin' },
      ...['a', 'b', 'c'].flatMap((one) => [until(one, { type: 'live' }), say(one, ack(0))]),
      publish({ key: 'title:3' }), ...['a', 'b', 'c'].map((one) => until(one, { version: 1 })),
    ],
  },
  replica: {
    what: 'a replica, believed; a newer socket takes the place of an older one',
    does: [
      ...THREE,
      follow('a', 'version=0&name=ams', { token: 'admin', headers: { 'newsreel-replica': '1' } }),
      until('a', { version: 3 }), say('a', ack(3)), until('a', { type: 'live' }),
      follow('b', `${AT}3&hash={hash 3}&name=ams`, { token: 'admin', headers: { 'newsreel-replica': '1' } }),
      until('b', { type: 'live' }), until('a', { close: true }),
      { ask: 'GET', path: '/followers', token: 'admin' },
      follow('c', `${AT}7&hash=ffffffffffffffff&name=ams`, { token: 'admin', headers: { 'newsreel-replica': '1' } }),
      until('c', { type: 'live' }), say('c', ack(0)), until('b', { close: true }),
    ],
  },
  fold: {
    what: 'one from before the tail: the fold, then what is left; pages of the same',
    vars: SHORT,
    does: [
      ...Array.from({ length: 8 }, (_, n) => publish({ changes: [{ key: `title:${n % 3}`, tags: [`t${n}`] }, { tag: `u${n % 2}`, soft: true }] })),
      { wait: 'folded', version: 4 },
      follow('a', 'version=0'), until('a', { version: 8 }), say('a', ack(4)), say('a', ack(8)), until('a', { type: 'live' }),
      follow('b', `${AT}2&hash={hash 2}`), until('b', { version: 8 }), say('b', ack(4)), say('b', ack(8)), until('b', { type: 'live' }),
      follow('c', `${AT}6&hash={hash 6}`), until('c', { type: 'live' }), say('c', ack(8)),
      follow('d', 'version=0&topic=title:2'), until('d', { type: 'head' }), say('d', ack(4)), say('d', ack(8)),
      page('?since=0'), page('?epoch={epoch}&since=2&hash={hash 2}'), page('?epoch={epoch}&since=5'),
      { ask: 'GET', path: '', token: 'follow' },
    ],
  },
  slow: {
    what: 'one that does not answer: 4008; and what a follower may not say: 4500, 4009',
    vars: SHORT,
    does: [
      follow('a', 'version=0&name=slow'), until('a', { type: 'live' }), publish({ key: 'title:1' }), until('a', { version: 1 }),
      until('a', { close: true }),
      follow('b', `${AT}1`), until('b', { type: 'live' }), say('b', ack(2)), until('b', { close: true }),
      follow('c', `${AT}1`), until('c', { type: 'live' }), say('c', '{"type":"unsubscribe"}'), until('c', { close: true }),
      follow('d', `${AT}1`), until('d', { type: 'live' }), say('d', 'hello'), until('d', { close: true }),
      follow('e', `${AT}1`), until('e', { type: 'live' }), say('e', ack(1), { binary: true }), until('e', { close: true }),
      follow('f', `${AT}1`), until('f', { type: 'live' }), say('f', ack(1), { times: 240 }), until('f', { close: true }),
    ],
  },
  publish: {
    what: 'publishes over HTTP: receipts, keys, expectations, waiting, lines',
    does: [
      publish({ key: 'title:603', tags: ['platform:netflix'] }, { headers: { 'idempotency-key': 'order-7' } }),
      publish({ key: 'title:603', tags: ['platform:netflix'] }, { headers: { 'idempotency-key': 'order-7' } }),
      publish({ key: 'title:604' }, { headers: { 'idempotency-key': 'order-7' } }),
      publish({ key: 'title:604', expect: { epoch: '{epoch}', version: 1 } }),
      publish({ key: 'title:604', expect: { version: 1 } }),
      publish({ key: 'title:605' }, { path: '/changes?wait=applied&timeout_ms=0' }),
      {
        ask: 'POST', path: '/changes', token: 'publish', headers: { 'content-type': 'application/x-ndjson', 'idempotency-key': 'load' },
        body: '{"key":"title:1"}\n{"key":"nothing"}\n\n{"changes":[{"prefix":"a:"},{"all":true}],"idempotency_key":"own"}\n',
      },
    ],
  },
  refusals: {
    what: 'what is refused, with its code and status',
    does: [
      ...['{', '{"kex":"title:1"}', '{"changes":[]}', '{"soft":true}', '{"key":"title:1","tag":"a"}', '{"changes":[{"tag":"a"},{"tag":"a"}]}',
        '{"key":"title:1","op":"rename"}', '{"key":"title"}', '{"tag":"a b"}', '{"prefix":""}',
      ].map((body) => ({ ask: 'POST', path: '/changes', token: 'publish', body })),
      { ask: 'POST', path: '/changes', body: '{"all":true}' },
      { ask: 'POST', path: '/changes', token: 'follow', body: '{"all":true}' },
      { ask: 'POST', path: '/epochs', token: 'publish' },
      { ask: 'GET', path: '/nothing', token: 'follow' },
      { ask: 'DELETE', path: '/changes', token: 'publish' },
      { ask: 'GET', path: '/follow', token: 'follow' },
      page('?limit=0'), page('?epoch=nonsense&since=1'), page('?since=1'),
      page('?epoch=01ARYZ6S410000000000000000&since=1'),
      follow('a', 'version=0', { protocols: ['newsreel.v0'] }),
      follow('b', 'version=0', { protocols: ['newsreel.v9', 'newsreel.v1'] }), until('b', { type: 'live' }),
      { open: 'c', path: '/follow?version=0', protocols: ['newsreel.v1'] },
      follow('d', 'version=7'),
      follow('e', 'version=0&later=1', { headers: { 'newsreel-later': '1' } }), until('e', { type: 'live' }),
    ],
  },
  'publish-socket': {
    what: 'publishes over the socket, many before the first answer, good and bad',
    does: [
      { open: 'a', path: '/publish', token: 'publish' },
      say('a', '{"key":"title:1","idempotency_key":"one"}'), say('a', '{"key":"title"}'), say('a', '{"key":"title:2"}'),
      until('a', { version: 2 }),
      say('a', '{"key":"title:1","idempotency_key":"one"}'), say('a', '{"key":"title:3","expect":{"version":2}}'), until('a', { version: 3 }),
      say('a', 'ping'), until('a', { type: 'pong' }),
      say('a', '{"key":"title:4"}', { binary: true }), until('a', { close: true }),
    ],
  },
  pages: {
    what: 'pages, their tags, polls that wait, the status',
    does: [
      ...THREE,
      page('?since=0'), page('?epoch={epoch}&since=1&hash={hash 1}&limit=1'), page('?epoch={epoch}&since=1&hash={hash 1}'),
      page('?epoch={epoch}&since=1&hash={hash 1}', { headers: { 'if-none-match': '{etag}' } }),
      page('?epoch={epoch}&since=3&hash={hash 3}&wait_ms=1'), page('?since=0&topic=embedding:'),
      page('?epoch={epoch}&since=1&hash=ffffffffffffffff'), page('?epoch={epoch}&since=7'),
      { ask: 'GET', path: '', token: 'follow' },
    ],
  },
  events: {
    what: 'the log as events, from everything, from an id, from one that is not on the log',
    does: [
      ...THREE,
      { stream: 'a', path: '/changes?since=0', token: 'follow' }, until('a', { type: 'head' }),
      publish({ key: 'title:1' }), until('a', { version: 4 }),
      { stream: 'b', path: '/changes', token: 'follow', headers: { 'last-event-id': '{position 2}' } }, until('b', { type: 'head' }),
      { stream: 'c', path: '/changes', token: 'follow', headers: { 'last-event-id': '{epoch}:9:ffffffffffffffff' } }, until('c', { type: 'head' }),
    ],
  },
  reads: {
    what: 'reads at the edge: a value, its envelope, many at once, what is not there, a version that is waited for',
    catalog: 'tv',
    does: [
      { origin: 'title:603', value: { name: 'The Matrix' }, tags: ['platform:netflix'] },
      { ask: 'GET', path: '/changes?since=0&wait_ms=10000', token: 'follow' },
      { ask: 'GET', path: '/entries/title:603', headers: { 'newsreel-min-version': '{epoch}:1' } },
      { ask: 'GET', path: '/entries/title:603?envelope=1', headers: { 'newsreel-min-version': '{epoch}:1' } },
      { ask: 'GET', path: '/entries/title:604' },
      { ask: 'POST', path: '/entries', body: '{"keys":["title:603","title:604"]}' },
    ],
  },
};

/** Knows what was heard, for what the clients say next. */
class Told {
  #hashes = new Map();

  hear(line) {
    const text = JSON.stringify(line).replaceAll('\\"', '"');
    for (const [, epoch, version, hash] of text.matchAll(/"position":"([0-9A-Z]{26}):(\d+):([0-9a-f]{16})"/g)) {
      this.epoch = epoch;
      this.#hashes.set(Number(version), hash);
    }
    for (const [, epoch, version, hash] of text.matchAll(/"epoch":"([0-9A-Z]{26})","from":\d+,"to":(\d+),"head":\d+,"hash":"([0-9a-f]{16})"/g)) {
      this.epoch = epoch;
      this.#hashes.set(Number(version), hash);
    }
    this.epoch ??= /"epoch":"([0-9A-Z]{26})"/.exec(text)?.[1];
    this.etag = line.headers?.etag ?? this.etag;
  }

  /** A line with what was heard in its places. */
  fill(line) {
    const known = (_, name, version) => (name === 'hash' ? this.#hashes.get(Number(version))
      : name === 'position' ? `${this.epoch}:${version}:${this.#hashes.get(Number(version))}` : this[name]) ?? assert.fail(`${name} is not known`);
    return Object.fromEntries(Object.entries(line).map(([field, value]) => [field,
      typeof value === 'string' ? value.replace(/\{(epoch|hash|position|etag)(?: (\d+))?\}/g, known)
        : field === 'headers' ? this.fill(value) : value]));
  }
}

const [version] = process.argv.slice(2);
const folder = `${ROOT}e2e/transcripts/${version}`;
assert.match(version ?? '', /^v\d+$/, 'which protocol: v1');

for (const [name, { what, vars = {}, catalog = `v1-${name}`, does }] of Object.entries(SCENARIOS)) {
  const file = `${folder}/${name}.jsonl`;
  test(name, { skip: existsSync(file) && 'it is recorded: a recording is never made again' }, async (t) => {
    const system = await startSystem(t, { vars, origin: catalog === 'tv' });
    const [client, told, lines] = [new Client(system, catalog), new Told(), []];
    for (const one of does) {
      const line = told.fill(one);
      lines.push(line);
      const heard = (await client.does(line)) ?? [];
      for (const one of heard) told.hear(one);
      lines.push(...heard);
    }
    client.end();
    mkdirSync(folder, { recursive: true });
    const cargo = /version = "(.*)"/.exec(readFileSync(`${ROOT}Cargo.toml`, 'utf8'))[1];
    const head = { transcript: name, what, protocol: 'newsreel.v1', recorded: cargo, catalog, vars };
    writeFileSync(file, [head, ...lines].map((line) => `${JSON.stringify(line)}\n`).join(''));
  });
}

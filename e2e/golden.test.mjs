// The golden wire files, read by a second implementation: written from PROTOCOL.md, with node's own parts only.
//
// `crates/core/tests/golden.rs` reads the same files. The protocol is where both agree. The test needs no deployment.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const DIRECTORY = new URL('../crates/core/tests/golden/', import.meta.url);

/** A refusal, with its stable code. */
class Refused extends Error {
  constructor(code) {
    super(code);
    this.code = code;
  }
}

function refuse(code) {
  throw new Refused(code);
}

/** Returns the result of a check, or the code of its refusal. */
function outcome(check) {
  try {
    return { value: check() };
  } catch (error) {
    return { code: error.code ?? 'unreadable' };
  }
}

// --- Names, positions, rows ---

const bytes = (text) => Buffer.byteLength(text);
const isPlain = (text) => text.isWellFormed() && !/\p{Cc}/u.test(text) && bytes(text) <= 400;

const NAMES = {
  catalog: (text) => /^[a-z0-9-]{1,64}$/.test(text),
  key: (text) => isPlain(text) && /^[^:]+:.+$/su.test(text),
  prefix: (text) => isPlain(text) && text !== '',
  tag: (text) => /^[!-~]{1,256}$/.test(text) && !text.includes(','),
  'idempotency-key': (text) => /^[ -~]{1,255}$/.test(text),
};

const isVersion = (number) => Number.isSafeInteger(number) && number >= 0;
const EPOCH = '[0-7][0-9A-HJKMNP-TV-Z]{25}';

function version(text) {
  const number = /^[0-9]+$/.test(text) ? Number(text) : NaN;
  return isVersion(number) ? number : refuse('bad-position');
}

function position(text) {
  const shape = new RegExp(`^(${EPOCH}):([0-9]+):([0-9a-f]{16})$`);
  const [, epoch, digits, hash] = shape.exec(text) ?? refuse('bad-position');
  return { epoch, version: version(digits), hash };
}

const shown = ({ epoch, version, hash }) => `${epoch}:${version}:${hash}`;
const digest = (...parts) => {
  const sha = createHash('sha256');
  for (const part of parts) sha.update(part);
  return sha.digest('hex').slice(0, 16);
};
const genesis = (epoch) => ({ epoch, version: 0, hash: digest(epoch) });
const after = ({ epoch, version, hash }, row) => ({
  epoch,
  version: version + 1,
  hash: digest(Buffer.from(hash, 'hex'), row),
});

/** Compact JSON; characters that are not ASCII as \uXXXX. */
function ascii(value) {
  const escaped = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(value).replace(/[^\0-\x7f]/g, escaped);
}

// --- Changes and publishes ---

const CHANGE_FIELDS = { key: 'string', tag: 'string', prefix: 'string', all: 'boolean', op: 'string', soft: 'boolean' };
const TARGETS = ['key', 'tag', 'prefix', 'all'];

/** Reads a change into its shortest form; a field it does not know is the caller's business. */
function change(fields) {
  const given = (name) => fields[name] !== undefined && fields[name] !== null;
  const targets = TARGETS.filter(given);
  if (targets.length === 0 || (targets.length === 1 && fields.all === false)) refuse('no-target');
  if (targets.length > 1) refuse('two-targets');
  const [target] = targets;
  if (target !== 'all' && !NAMES[target](fields[target])) refuse(`bad-${target}`);
  const [op, soft] = [fields.op ?? 'update', fields.soft ?? false];
  if (op !== 'update' && op !== 'remove') refuse('bad-change');
  if (op === 'remove' && (soft || target !== 'key')) refuse('bad-change');
  const tags = [...new Set(fields.tags ?? [])];
  if (!tags.every(NAMES.tag)) refuse('bad-tag');
  if (tags.length > 0 && target !== 'key') refuse('bad-change');
  const short = { [target]: fields[target] };
  if (soft) short.soft = true;
  if (op === 'remove') short.op = 'remove';
  if (tags.length > 0) short.tags = tags;
  return short;
}

const targetOf = (change) => ascii(TARGETS.map((name) => change[name] ?? null));

/** Refuses fields that do not exist, and those of another type. */
function strict(body, fields) {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) refuse('bad-json');
  for (const [name, value] of Object.entries(body)) {
    if (!(name in fields)) refuse('unknown-field');
    if (value !== null && !fields[name](value)) refuse('bad-json');
  }
}

const isText = (value) => typeof value === 'string' && (value.isWellFormed() || refuse('bad-json'));
const ofChange = {
  ...Object.fromEntries(Object.entries(CHANGE_FIELDS).map(([name, type]) => [name, (value) => typeof value === type])),
  tags: (value) => Array.isArray(value) && value.every(isText),
  key: isText,
  prefix: isText,
};
const ofPublish = {
  ...ofChange,
  changes: Array.isArray,
  expect: (value) => typeof value === 'object',
  idempotency_key: isText,
  traceparent: isText,
  source: (value) => typeof value === 'object' && !Array.isArray(value),
};
const ofEvent = { name: isText, id: isText, at: isVersion };
const ofExpect = {
  epoch: (value) => typeof value === 'string' && new RegExp(`^${EPOCH}$`).test(value),
  version: isVersion,
};

/** Reads a publish; a `line` may carry its idempotency key. */
function publish(text, { line = false } = {}) {
  if (bytes(text) > 1 << 20) refuse('body-too-large');
  const body = outcome(() => JSON.parse(text)).value ?? refuse('bad-json');
  strict(body, ofPublish);
  for (const one of body.changes ?? []) strict(one, ofPublish);
  const { changes, expect, idempotency_key, traceparent, source, ...bare } = body;
  if (expect) strict(expect, ofExpect);
  if (expect && !isVersion(expect.version)) refuse('bad-json');
  const cause = causeOf(traceparent ?? undefined, source ?? undefined);
  const isBare = Object.values(bare).some((value) => value !== null);
  if (changes && isBare) refuse('unknown-field');
  const listed = changes ?? [bare];
  if (listed.length === 0) refuse('no-changes');
  if (listed.length > 1000) refuse('too-many-changes');
  const targets = new Set();
  const read = listed.map((one) => {
    if (one.changes || one.expect || one.idempotency_key || one.traceparent || one.source) refuse('unknown-field');
    if (one.tags?.length > 256) refuse('bad-change');
    const short = change(one);
    if (targets.size === targets.add(targetOf(short)).size) refuse('duplicate-target');
    return short;
  });
  if (idempotency_key !== undefined && !line) refuse('unknown-field');
  if (line && idempotency_key !== undefined && !NAMES['idempotency-key'](idempotency_key)) refuse('bad-request');
  return { changes: ascii(read), expect: expect ?? undefined, idempotency_key, cause };
}

/** Reads what a publish is of, as it stands in the row behind the changes. */
function causeOf(traceparent, source) {
  let text = '';
  if (traceparent !== undefined) {
    if (!/^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/.test(traceparent)) refuse('bad-request');
    if (Number.parseInt(traceparent.slice(-2), 16) % 2 === 1) text += `,"traceparent":${ascii(traceparent)}`;
  }
  if (source !== undefined) {
    strict(source, ofEvent);
    if (typeof source.name !== 'string') refuse('bad-json');
    for (const [value, most] of [[source.name, 100], [source.id ?? 'none', 300]]) {
      if (value === '' || bytes(value) > most || /[\x00-\x1f\x7f-\x9f]/.test(value)) refuse('bad-request');
    }
    const [name, id, at] = [source.name, source.id ?? undefined, source.at ?? undefined];
    text += `,"source":${ascii({ name, id, at })}`;
  }
  return text;
}

/** The lines of a body that are not empty. */
function linesOf(body) {
  const trimmed = (line) => line.replace(/^[ \t\r\f]+|[ \t\r\f]+$/g, '');
  const lines = body.split('\n').map(trimmed).filter((line) => line !== '');
  if (lines.length === 0) refuse('no-changes');
  return lines.length > 10_000 ? refuse('body-too-large') : lines;
}

const areLines = (type) => /^application\/(x-ndjson|ndjson|jsonl)$/i.test(type.split(';')[0].trim());

// --- Folds and topics ---

/** Folds steps of rows: of each target the newest hard, soft and remove that still say something. */
function fold(steps) {
  const left = new Map();
  for (const { version, changes } of steps.flat()) {
    for (const one of changes) absorb(left, version, one);
    // All at once: the order of changes within a version means nothing.
    for (const one of changes) cover(left, one);
  }
  const told = [];
  for (const { target, tags, ...newest } of left.values()) {
    const tagged = tags.length > 0 ? { tags } : {};
    if (newest.hard) told.push({ version: newest.hard, ...target, ...tagged });
    if (newest.soft) told.push({ version: newest.soft, ...target, soft: true, ...tagged });
    if (newest.remove) told.push({ version: newest.remove, ...target, op: 'remove' });
  }
  return told.map(ascii);
}

function absorb(left, version, { op, soft, tags = [], ...target }) {
  const name = targetOf(target);
  if (!left.has(name)) left.set(name, { target, tags: [] });
  const own = left.get(name);
  own[op === 'remove' ? 'remove' : soft ? 'soft' : 'hard'] = version;
  if (!soft) delete own.soft;
  own.tags = [...own.tags.filter((tag) => !tags.includes(tag)), ...tags].slice(-256);
}

function cover(left, { op, soft, tags, ...wide }) {
  for (const [name, other] of left) {
    if (name === targetOf(wide) || !covers(wide, other.target)) continue;
    delete other.soft;
    if (!soft) delete other.hard;
  }
}

function covers(wide, { key, prefix }) {
  if (wide.all) return true;
  return wide.prefix !== undefined && (key ?? prefix ?? '\0').startsWith(wide.prefix);
}

function passes(topics, { key, prefix }) {
  if (topics.length === 0 || (key === undefined && prefix === undefined)) return true;
  if (key !== undefined) return topics.some((topic) => key.startsWith(topic));
  return topics.some((topic) => prefix.startsWith(topic) || topic.startsWith(prefix));
}

// --- Frames ---

const isHash = (value) => /^[0-9a-f]{16}$/.test(value);
const need = (met) => met || refuse('unreadable');

/** Reads a frame as a follower does: what it means, or nothing for a type it does not know. */
function frame(text) {
  if (text.startsWith('pong ')) return { type: 'pong', ...position(text.slice(5)) };
  const { type, ...fields } = JSON.parse(text);
  const { epoch, head, hash, resume, from, to, version, reason = '', code, message = '' } = fields;
  const at = { version, hash };
  const knows = { welcome: 1, changes: 1, fold: 1, live: 1, head: 1, reset: 1, error: 1 };
  if (!(type in knows)) return undefined;
  if (type === 'changes' || type === 'fold') return { type, ...part(type, fields) };
  if (type === 'error') {
    need(typeof code === 'string');
    const { retry_after_ms } = fields;
    return { type, code, message, ...(retry_after_ms === undefined ? {} : { retry_after_ms }) };
  }
  need(type === 'welcome' ? isVersion(head) : isVersion(version));
  need(type === 'live' || isHash(hash) || (type === 'welcome' && hash === undefined));
  need((type !== 'welcome' && type !== 'reset') || new RegExp(`^${EPOCH}$`).test(epoch));
  need(type !== 'welcome' || ['live', 'replay', 'reset'].includes(resume));
  if (type === 'welcome') return { type, epoch, head, ...(hash === undefined ? {} : { hash }), resume };
  if (type === 'reset') return { type, epoch, ...at, reason };
  if (type === 'live') return { type, version };
  return { type, ...(from === undefined ? {} : { from }), ...at };
}

/** Reads what `changes` and `fold` share: versions in order within (from, to]. */
function part(type, { from, to, hash, versions, changes, ack = false, more = false, part: number }) {
  need(isVersion(from) && isVersion(to) && from <= to && isHash(hash));
  const items = need(type === 'fold' ? changes : versions);
  let last = from;
  for (const { version } of items) {
    const inOrder = version > last || (type === 'fold' && version === last && version > from);
    need(isVersion(version) && version <= to && inOrder);
    last = version;
  }
  if (type === 'fold') {
    const told = items.map((one) => ({ version: one.version, ...change(one) }));
    return { from, to, hash, changes: told, more, ...(number === undefined ? {} : { part: number }) };
  }
  return { from, to, hash, ack, versions: items.map(row) };
}

const row = ({ version, at, changes, traceparent, source }) => ({
  version, at, changes: changes.map(change), ...(traceparent && { traceparent }), ...(source && { source }),
});

/** Reads a text of a follower as a broker does. */
function followerFrame(text) {
  if (text === 'ping') return { type: 'ping' };
  const { type, version } = JSON.parse(text);
  need(type === 'ack' && isVersion(version));
  return { type, version };
}

/** The fields of a frame in the order in which the broker writes them. */
const WRITTEN = {
  welcome: ['epoch', 'head', 'hash', 'resume'],
  changes: ['from', 'to', 'hash', 'ack', 'versions'],
  fold: ['from', 'to', 'hash', 'part', 'changes', 'more'],
  live: ['version'],
  head: ['from', 'version', 'hash'],
  reset: ['epoch', 'version', 'hash', 'reason'],
  error: ['code', 'message', 'retry_after_ms'],
  ack: ['version'],
};

function written(meaning) {
  if (meaning.type === 'ping') return 'ping';
  if (meaning.type === 'pong') return `pong ${shown(meaning)}`;
  const fields = { type: meaning.type };
  for (const name of WRITTEN[meaning.type]) {
    if (meaning[name] !== undefined && meaning[name] !== false) fields[name] = meaning[name];
  }
  return meaning.type === 'error' || meaning.type === 'reset' ? JSON.stringify(fields) : ascii(fields);
}

const mayReturn = (code) => code < 4500 || code > 4999;

// --- Claims and addresses ---

/** Judges a claim as a broker does whose log is `log`: its rows, and the oldest version whose hash it knows. */
function standing({ epoch, rows, known }, claim) {
  const positions = rows.reduce((all, row) => [...all, after(all.at(-1), row)], [genesis(epoch)]);
  const head = positions.length - 1;
  if (claim === 'head') return 'the head';
  const version = claim.version;
  if (claim.epoch !== undefined) {
    if (claim.epoch !== epoch) return 'another epoch';
    if (version > head) return 'ahead of the log';
    if (version < known) return 'older than anything kept';
    if (claim.hash !== undefined && claim.hash !== positions[version].hash) return 'another history';
  }
  return version === head ? 'the head' : 'behind';
}

/** Says whether a replica's claim makes a broker begin a new epoch. */
function beginsAnEpoch({ epoch }, claim, is) {
  if (is === 'another epoch') return claim.epoch > epoch;
  return is === 'ahead of the log' || is === 'another history';
}

/** Says whether a page may call: `own` is the origin of the deployment. */
function mayCall(list, own, origin) {
  const asked = origin.toLowerCase();
  return asked === own || list.split(',').map((one) => one.trim().toLowerCase()).some((one) => {
    if (one === '*' || one === asked) return true;
    return one.endsWith(':*') && asked.startsWith(one.slice(0, -2)) && /^(:[0-9]+)?$/.test(asked.slice(one.length - 2));
  });
}

/** Reads the position of a query: a claim, `"head"` for a follower that names none. */
function claimOf(query, name) {
  const given = new URLSearchParams(query);
  const part = (name) => given.get(name) || undefined;
  const [epoch, at, hash] = [part('epoch'), part(name), part('hash')];
  if (epoch === undefined && at === undefined && hash === undefined) return name === 'since' ? { version: 0 } : 'head';
  if (epoch !== undefined && !new RegExp(`^${EPOCH}$`).test(epoch)) refuse('bad-position');
  if (hash !== undefined && !isHash(hash)) refuse('bad-position');
  const number = at === undefined ? refuse('bad-position') : version(at);
  if (epoch === undefined) return number === 0 && hash === undefined ? { version: 0 } : refuse('bad-position');
  return hash === undefined ? { epoch, version: number } : { epoch, version: number, hash };
}

function whole(text, least, most) {
  const number = /^[0-9]+$/.test(text) ? Number(text) : NaN;
  return number >= least && number <= most ? number : refuse('bad-request');
}

const isSpoken = (offered) => offered === null || offered.split(',').some((one) => one.trim() === 'newsreel.v1');

function bearer(offered) {
  const one = offered.split(',').map((one) => one.trim()).find((one) => one.startsWith('newsreel.bearer.'));
  return one === undefined ? null : Buffer.from(one.slice('newsreel.bearer.'.length), 'base64url').toString();
}

// --- The cases ---

const CASES = {
  'names.jsonl': {
    name: ({ kind, text, ok }) => assert.equal(NAMES[kind](text), ok),
    path: ({ key, path }) => {
      const reserved = (text) => text.replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);
      assert.equal(reserved(encodeURIComponent(key)), path);
      assert.equal(decodeURIComponent(path), key);
    },
  },
  'positions.jsonl': {
    chain: ({ epoch, rows, positions }) => {
      let at = genesis(epoch);
      assert.equal(shown(at), positions[0]);
      assert.equal(positions.length, rows.length + 1);
      for (const [index, text] of rows.entries()) {
        assert.equal(ascii(row(JSON.parse(text))), text, 'a row is canonical');
        at = after(at, text);
        assert.equal(shown(at), positions[index + 1]);
      }
    },
    position: ({ text, epoch, version, hash }) => {
      assert.deepEqual(position(text), { epoch, version, hash });
      assert.equal(shown({ epoch, version, hash }), text);
    },
    refused: ({ text }) => assert.throws(() => position(text), Refused),
    newer: ({ older, newer }) => assert.ok(older < newer),
  },
  'publishes.jsonl': {
    publish: ({ body, changes, expect, cause = '' }) => {
      assert.deepEqual(publish(body), { changes, expect, idempotency_key: undefined, cause });
    },
    line: ({ body, changes, expect, idempotency_key, cause = '' }) => {
      assert.deepEqual(publish(body, { line: true }), { changes, expect, idempotency_key, cause });
    },
    refused: ({ body, code }) => assert.equal(outcome(() => publish(body)).code, code),
    'refused-line': ({ body, code }) => assert.equal(outcome(() => publish(body, { line: true })).code, code),
    body: ({ body, key, lines, keys }) => {
      assert.deepEqual(linesOf(body), lines);
      assert.deepEqual(lines.map((_, index) => `${key}#${index + 1}`), keys);
    },
    'refused-body': ({ body, code }) => assert.equal(outcome(() => linesOf(body)).code, code),
    'content-type': ({ content_type, lines }) => assert.equal(areLines(content_type), lines),
    same: ({ bodies, same }) => {
      const [one, other] = bodies.map((body) => publish(body)).map(({ changes, expect }) => ({ changes, expect }));
      (same ? assert.deepEqual : assert.notDeepEqual)(one, other);
    },
  },
  'frames.jsonl': {
    frame: ({ text, meaning, ours }) => {
      assert.deepEqual(frame(text), meaning);
      if (ours) assert.equal(written(meaning), text);
    },
    unknown: ({ text }) => assert.equal(frame(text), undefined),
    'no-frame': ({ text }) => assert.throws(() => frame(text)),
    close: ({ code, comes_back }) => assert.equal(mayReturn(code), comes_back),
  },
  'follower-frames.jsonl': {
    frame: ({ text, meaning, ours }) => {
      assert.deepEqual(followerFrame(text), meaning);
      if (ours) assert.equal(written(meaning), text);
    },
    refused: ({ text }) => assert.throws(() => followerFrame(text)),
  },
  'folds.jsonl': {
    fold: ({ steps, left }) => {
      const told = fold(steps.map((rows) => rows.map((text) => row(JSON.parse(text)))));
      // Within a version their order means nothing.
      const byVersion = told.sort().sort((one, other) => JSON.parse(one).version - JSON.parse(other).version);
      assert.deepEqual(byVersion, left);
    },
    topics: ({ topics, change: text, passes: expected }) =>
      assert.equal(passes(topics, change(JSON.parse(text))), expected),
  },
  'claims.jsonl': {
    claim: ({ log, claim, is, new_epoch }) => {
      assert.equal(standing(log, claim), is);
      assert.equal(beginsAnEpoch(log, claim, is), new_epoch);
    },
    follow: ({ query, claim }) => assert.deepEqual(claimOf(query, 'version'), claim),
    page: ({ query, claim, limit, wait_ms, topics }) => {
      const given = new URLSearchParams(query);
      assert.deepEqual(claimOf(query, 'since'), claim);
      assert.equal(whole(given.get('limit') ?? '1000', 1, 1000), limit);
      assert.equal(whole(given.get('wait_ms') ?? '0', 0, 30_000), wait_ms);
      assert.deepEqual(given.getAll('topic'), topics);
    },
    'refused-follow': ({ query, code }) => {
      const topics = new URLSearchParams(query).getAll('topic');
      const read = () => claimOf(query, 'version') && topics.length <= 32 && !topics.includes('');
      const { value, code: refused } = outcome(read);
      assert.equal(value === false ? 'bad-request' : refused, code);
    },
    'refused-page': ({ query, code }) => {
      const given = new URLSearchParams(query);
      const numbers = () => [whole(given.get('limit') ?? '1', 1, 1000), whole(given.get('wait_ms') ?? '0', 0, 30_000)];
      assert.equal(outcome(() => [claimOf(query, 'since'), numbers()]).code, code);
    },
    origin: ({ list, own, origin, allowed }) => assert.equal(mayCall(list, own, origin), allowed),
    subprotocols: ({ offered, spoken, token }) => {
      assert.equal(isSpoken(offered), spoken);
      assert.equal(bearer(offered ?? ''), token);
    },
  },
  'answers.jsonl': {
    receipt: ({ text, meaning }) => {
      assert.equal(shown(position(meaning.position)), meaning.position);
      const { catalog, epoch, version, position: at, at: moment, changes } = JSON.parse(text);
      assert.deepEqual({ catalog, epoch, version, position: at, at: moment, changes }, meaning);
      assert.equal(ascii(meaning), text);
    },
    problem: ({ text, status, code, detail, members }) => {
      const { title, ...body } = JSON.parse(text);
      assert.ok(title);
      assert.deepEqual(body, { type: `urn:newsreel:problem:${code}`, status, code, detail, ...members });
    },
    answers: ({ text, answers }) => {
      assert.deepEqual(JSON.parse(text), { type: 'answers', answers: answers.map((one) => JSON.parse(one)) });
      assert.equal(text, `{"type":"answers","answers":[${answers.join(',')}]}`);
    },
    lines: ({ text, answers }) => assert.deepEqual(linesOf(text), answers),
    page: ({ text, rows, etag, cache_control, limit, names_epoch, ...meaning }) => {
      const { versions, ...fields } = JSON.parse(text);
      assert.deepEqual(fields, meaning);
      assert.deepEqual(versions.map(row).map(ascii), rows);
      const { epoch, from, to, head, hash } = meaning;
      const fixed = JSON.stringify({ epoch, from, to, head, hash }).slice(0, -1);
      assert.equal(text, `${fixed},"versions":[${rows.join(',')}]}`);
      assert.equal(etag, `"${from}-${to}-${head}-${hash}"`);
      const kept = to < head || to - from >= limit ? 'private, max-age=86400, immutable' : 'no-cache';
      assert.equal(cache_control, names_epoch ? kept : 'no-store');
    },
    'fold-page': ({ text, left, etag, next, ...meaning }) => {
      const { versions, changes, more = false, ...fields } = JSON.parse(text);
      assert.deepEqual(fields, next === null ? meaning : { ...meaning, next });
      assert.deepEqual([versions, more], [[], next !== null]);
      const read = changes.map((one) => ascii({ version: one.version, ...change(one) }));
      assert.deepEqual(read, left);
      assert.equal(etag, `"${meaning.from}-${meaning.to}-${meaning.head}-${meaning.hash}-fold"`);
    },
    status: ({ text, meaning }) => assert.deepEqual(JSON.parse(text), meaning),
    followers: ({ text, meaning }) => assert.deepEqual(JSON.parse(text), meaning),
    'new-epoch': ({ text, meaning }) => {
      assert.deepEqual(JSON.parse(text), meaning);
      assert.equal(meaning.position, shown(genesis(meaning.epoch)));
      assert.ok(meaning.epoch > position(meaning.previous).epoch);
    },
  },
  'events.jsonl': {
    event: ({ text, kind, id, frame: inner }) => {
      const lines = text.split('\n');
      assert.deepEqual(lines.splice(-2), ['', ''], 'an empty line ends an event');
      const fields = Object.fromEntries(lines.map((line) => /^([a-z]+): (.*)$/s.exec(line).slice(1)));
      assert.deepEqual(fields, { event: kind, ...(id === null ? {} : { id }), data: inner });
      const meaning = frame(inner);
      assert.equal(meaning.type, kind);
      // The id is the position after the frame; a part of a fold that goes on has none.
      assert.equal(id === null, meaning.more === true);
      if (id === null) return;
      const { version, hash } = position(id);
      assert.deepEqual([version, hash], [meaning.to ?? meaning.version, meaning.hash]);
    },
    retry: ({ text, ms }) => assert.equal(text, `retry: ${ms}\n\n`),
    comment: ({ text }) => assert.match(text, /^:.*\n\n$/),
    accept: ({ accept, wanted }) => {
      const media = accept.split(/[,;]/).map((one) => one.trim().toLowerCase());
      assert.equal(media.includes('text/event-stream'), wanted);
    },
  },
};

test('every golden file is read', () => {
  assert.deepEqual(readdirSync(DIRECTORY).sort(), Object.keys(CASES).sort());
});

for (const [file, kinds] of Object.entries(CASES)) {
  test(`golden/${file}`, () => {
    const lines = readFileSync(new URL(file, DIRECTORY), 'utf8').split('\n').filter((line) => line !== '');
    const missing = new Set(Object.keys(kinds));
    for (const [index, line] of lines.entries()) {
      const { case: kind, why, ...given } = JSON.parse(line);
      assert.ok(why, `${file}:${index + 1} says what it shows`);
      assert.ok(kind in kinds, `${file}:${index + 1}: no case is called ${kind}`);
      try {
        kinds[kind](given);
      } catch (error) {
        error.message = `${file}:${index + 1}, ${why}: ${error.message}`;
        throw error;
      }
      missing.delete(kind);
    }
    assert.deepEqual([...missing], [], 'every kind of case has one');
  });
}

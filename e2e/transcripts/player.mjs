// Plays the client's side of a transcript against a deployment, and compares what it hears with what was recorded.
//
// A transcript is a conversation of an old client with an old broker, a line each (README.md beside this file). The
// comparison is the rule of docs/upgrades.md: what the old client was told is still told and means the same. A newer
// broker may say more: fields, headers and types of frame that the old client does not know.

import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { readFileSync } from 'node:fs';

import { WebSocket } from 'ws';

import { TOKENS } from '../system.mjs';

/** The types of frames that a v1 client knows; it drops any other. */
const FRAMES = ['welcome', 'changes', 'fold', 'live', 'head', 'reset', 'error', 'answers'];
/** Fields whose value is of one deployment or one moment, or for people: they keep their type. */
const OF_THE_MOMENT = ['at', 'since', 'last_ping', 'retry_after_ms', 'bytes', 'title', 'detail', 'message', 'reason',
  'fetched_at', 'expires_at', 'last_updated', 'next_update', 'lag_ms', 'confidence', 'cache_status'];
/** The headers of an answer that a client goes by. */
const HEADERS = ['content-type', 'cache-control', 'etag', 'vary', 'idempotent-replayed', 'retry-after', 'allow',
  'www-authenticate', 'newsreel-version', 'newsreel-entry-version', 'newsreel-freshness', 'cache-tag'];
/** Names that a log makes up: an epoch, a hash. */
const MADE_UP = /(?<![0-9A-Za-z])(?:[0-7][0-9A-HJKMNP-TV-Z]{25}|[0-9a-f]{16})(?![0-9A-Za-z])/g;

/** Reads a transcript: its head and its lines. */
export function read(url) {
  const [head, ...lines] = readFileSync(url, 'utf8').trim().split('\n').map((line) => JSON.parse(line));
  return { head, lines };
}

/** One run of a transcript's client side. The lines that the client hears come to `heard`, as a transcript has them. */
export class Client {
  heard = [];
  #sockets = new Map();

  constructor(system, catalog) {
    Object.assign(this, { system, catalog });
  }

  /** Does what a line says, if it is the client's; returns what was heard of it, once it has been. */
  async does(line) {
    if (line.ask) return [await this.#ask(line)];
    if (line.open) return [await this.#open(line)];
    if (line.stream) return [await this.#stream(line)];
    if (line.origin) return void (await this.system.origin.put(line.origin, line.value, line.tags));
    if (line.say) {
      for (let n = 0; n < (line.times ?? 1); n += 1) this.#sockets.get(line.say).say(line.text, line.binary);
      return undefined;
    }
    if (line.leave) return void this.#sockets.get(line.leave).leave(line.code);
    if (line.wait) return void (await this.#waited(line));
    if (line.until) return this.#sockets.get(line.until).until(line);
    return undefined;
  }

  /** Polls for what no frame tells: that every follower's ack was read, or that the log was folded so far. */
  async #waited({ wait, version }) {
    for (const deadline = Date.now() + 20_000; ;) {
      const [path, token] = wait === 'acked' ? ['/followers', 'admin'] : ['', 'follow'];
      const { json } = await this.system.broker.call('GET', path, { token: TOKENS[token], catalog: this.catalog });
      const [reached] = wait === 'acked' ? json.followers.map((one) => one.acked).sort((a, b) => a - b) : [json.oldest - 1];
      if (reached >= version) return;
      assert.ok(Date.now() < deadline, `not ${wait} up to ${version}: ${JSON.stringify(json)}`);
    }
  }

  #request({ token, headers = {} }) {
    return token ? { authorization: `Bearer ${TOKENS[token]}`, ...headers } : headers;
  }

  async #ask({ ask, path, body, ...line }) {
    const answer = await fetch(this.system.broker.at(path, this.catalog), { method: ask, headers: this.#request(line), body });
    const headers = Object.fromEntries(HEADERS.map((name) => [name, answer.headers.get(name)]).filter(([, value]) => value));
    return { answer: answer.status, headers, body: await answer.text() };
  }

  /** Opens a socket; an answer that is none is heard as an answer. */
  #open({ open, path, protocols = ['newsreel.v1'], ...line }) {
    const url = this.system.broker.at(path, this.catalog).replace(/^http/, 'ws');
    const socket = new WebSocket(url, protocols, { headers: this.#request(line), perMessageDeflate: false });
    const heard = new Heard(open, (text, { binary } = {}) => socket.send(binary ? Buffer.from(text) : text));
    heard.leave = (code) => socket.close(code);
    this.#sockets.set(open, heard);
    socket.on('message', (data) => heard.take({ from: open, text: String(data) }));
    return new Promise((resolve, reject) => {
      socket.on('open', () => {
        // The Close frame is the end; workerd ends the connection only when the object sleeps.
        socket._receiver.on('conclude', (code) => {
          heard.take({ from: open, closed: code });
          socket.terminate();
        });
        resolve({ opened: open, protocol: socket.protocol });
      });
      socket.on('error', reject);
      socket.on('unexpected-response', async (_, answer) => {
        let body = '';
        for await (const some of answer) body += some;
        const headers = Object.fromEntries(HEADERS.map((name) => [name, answer.headers[name]]).filter(([, value]) => value));
        resolve({ answer: answer.statusCode, headers, body });
      });
    });
  }

  async #stream({ stream, path, ...line }) {
    const stop = new AbortController();
    const headers = { ...this.#request(line), accept: 'text/event-stream' };
    const answer = await fetch(this.system.broker.at(path, this.catalog), { headers, signal: stop.signal });
    const heard = new Heard(stream);
    heard.leave = () => stop.abort();
    this.#sockets.set(stream, heard);
    (async () => {
      let rest = '';
      for await (const some of answer.body.pipeThrough(new TextDecoderStream())) {
        const events = (rest + some).split('\n\n');
        rest = events.pop();
        for (const event of events) if (!event.startsWith(':')) heard.take({ from: stream, event });
      }
    })().catch(() => {});
    return { opened: stream, status: answer.status };
  }

  end() {
    for (const socket of this.#sockets.values()) socket.leave(1000);
  }
}

/** The lines that came over one socket or stream. */
class Heard extends EventEmitter {
  #lines = [];
  #taken = 0;

  constructor(name, send) {
    super();
    Object.assign(this, { name, say: (text, binary) => send(text, { binary }) });
  }

  take(line) {
    this.#lines.push(line);
    this.emit('came');
  }

  /** Waits for what a line names; returns all that came since the last time, up to that. */
  async until(wanted) {
    for (;;) {
      const at = this.#lines.findIndex((line, index) => index >= this.#taken && isIt(line, wanted));
      if (at >= 0) {
        const came = this.#lines.slice(this.#taken, at + 1);
        this.#taken = at + 1;
        return came;
      }
      assert.ok(this.#lines.at(-1)?.closed === undefined, `${this.name}: closed before ${JSON.stringify(wanted)}: ${JSON.stringify(this.#lines.slice(-3))}`);
      await once(this, 'came');
    }
  }
}

/** Whether a line is what is waited for: a type of frame, a version that a frame reaches, so many answers, the close. */
function isIt({ text, event, closed }, { type, version, close }) {
  if (closed !== undefined) return close === true;
  if (text?.startsWith('pong ')) return type === 'pong';
  const frame = JSON.parse(text ?? /^data: (.*)$/m.exec(event)?.[1] ?? '{}');
  if (version !== undefined) return (frame.to ?? frame.version ?? lastOf(frame)) >= version && frame.more !== true;
  return frame.type === type;
}

const lastOf = ({ answers }) => answers?.at(-1)?.version;

/** Compares a recording with what is heard today, and knows which made-up name stands for which. */
export class Comparison {
  #names = new Map();
  #taken = new Set();

  /** Returns a text of the recorded client with today's names. */
  today(text) {
    return text?.replace(MADE_UP, (name) => this.#names.get(name) ?? name);
  }

  /** A line of a transcript with today's names. */
  line(line) {
    return JSON.parse(this.today(JSON.stringify(line)));
  }

  /** Compares the lines that were recorded of something with those heard of it. */
  lines(recorded, heard) {
    const [then, now] = [meant(recorded), meant(heard)];
    assert.equal(now.length, then.length, `${then.length} were recorded: ${shown(then)}\n${now.length} were heard: ${shown(now)}`);
    for (const [index, line] of then.entries()) this.#same(line, now[index], `line ${index + 1}, ${shown([line])}\nheard ${shown([now[index]])}`);
  }

  /** The old value is in the new one: fields that are not in the old are the newer broker's own business. */
  #same(then, now, where, name) {
    if (then === undefined) return;
    if (OF_THE_MOMENT.includes(name) && then !== null) {
      return assert.equal(typeof now, typeof then, `${where}: ${name} is of another type`);
    }
    if (Array.isArray(then)) {
      assert.ok(Array.isArray(now) && now.length === then.length, `${where}: ${name} has ${now?.length} items, it had ${then.length}`);
      return then.forEach((item, index) => this.#same(item, now[index], where, name));
    }
    if (typeof then === 'object' && then !== null) {
      assert.ok(typeof now === 'object' && now !== null, `${where}: ${name} is no object`);
      return Object.entries(then).forEach(([name, value]) => this.#same(value, now[name], where, name));
    }
    if (typeof then !== 'string') return assert.equal(now, then, `${where}: ${name}`);
    assert.equal(typeof now, 'string', `${where}: ${name}`);
    if (name === 'newsreel-freshness') [then, now] = [then, now].map((text) => text.split(';')[0]);
    if (name === 'cache-control') [then, now] = [then, now].map((text) => text.replace(/\d+/g, 'N'));
    if (name === 'vary') {
      const [old, fresh] = [then, now].map((text) => text.toLowerCase().split(/, */));
      // An answer that varies by more is reused for less, and never wrongly.
      return assert.deepEqual(old.filter((one) => !fresh.includes(one)), [], `${where}: vary is ${now}`);
    }
    const [old, fresh] = [then, now].map((text) => text.match(MADE_UP) ?? []);
    assert.equal(now.replace(MADE_UP, '…'), then.replace(MADE_UP, '…'), `${where}: ${name}`);
    old.forEach((made, index) => this.#bind(made, fresh[index], `${where}: ${name}`));
  }

  #bind(then, now, where) {
    if (!this.#names.has(then) && !this.#taken.has(now)) {
      this.#names.set(then, now);
      this.#taken.add(now);
    }
    assert.equal(now, this.#names.get(then), `${where}: one name of the recording is two, or two are one`);
  }
}

/** Headers that the first release sent wrongly, by what was asked for, with the wrong value: no client may go by it. */
const MENDED = [
  // The envelope tells of freshness and version, so the value's own entity tag hid their changes behind a 304.
  { path: /[?&]envelope=1(&|$)/, header: 'etag', wrong: ({ body }) => JSON.parse(body).etag },
];

/** Returns the recorded answers to a line, without the header values that have been mended since, and nothing else. */
export function withoutMended({ path = '' }, heard) {
  const mended = MENDED.filter((one) => one.path.test(path));
  const isWrong = (line, name, value) => mended.some(({ header, wrong }) => name === header && value === wrong(line));
  const kept = (line) => Object.fromEntries(Object.entries(line.headers).filter(([name, value]) => !isWrong(line, name, value)));
  return heard.map((line) => (line.headers ? { ...line, headers: kept(line) } : line));
}

const shown = (lines) => lines.map((line) => JSON.stringify(line).slice(0, 600)).join('\n  ');

/** Returns lines parsed, without frames that an old client drops, and with the parts of a frame joined. */
function meant(lines) {
  const meanings = lines.map(parsed).filter((line) => line.frame === undefined || FRAMES.includes(line.frame.type));
  return meanings.reduce((all, line) => {
    const joined = join(all.at(-1), line);
    return joined ? [...all.slice(0, -1), joined] : [...all, line];
  }, []);
}

function parsed({ text, event, body, ...line }) {
  if (body !== undefined) {
    const type = line.headers['content-type'] ?? '';
    if (/[/+]json/.test(type)) return { ...line, body: JSON.parse(body) };
    if (/ndjson/.test(type)) return { ...line, body: body.trim().split('\n').map((one) => JSON.parse(one)) };
    return { ...line, body };
  }
  if (text !== undefined) return text.startsWith('pong ') ? { ...line, pong: text.slice(5) } : { ...line, frame: JSON.parse(text) };
  if (event === undefined) return line;
  const { event: type, id, data } = Object.fromEntries(event.split('\n').map((one) => /^([a-z]+): ?(.*)$/.exec(one).slice(1)));
  return data === undefined ? line : { ...line, event: type, id, frame: JSON.parse(data) };
}

/** Joins two frames of a row in the log: where a frame ends is nothing that a client may go by. */
function join(before, line) {
  const [one, two] = [before?.frame, line.frame];
  if (!one || !two || before.from !== line.from || one.type !== two.type) return undefined;
  if (one.type === 'answers') return { ...line, frame: { ...two, answers: [...one.answers, ...two.answers] } };
  if (one.type === 'changes' && one.to === two.from) {
    return { ...line, frame: { ...two, from: one.from, ack: one.ack || two.ack, versions: [...one.versions, ...two.versions] } };
  }
  if (one.type !== 'fold' || !one.more) return undefined;
  return { ...line, frame: { ...two, changes: [...one.changes, ...two.changes] } };
}

/**
 * The broker's side of a transcript: what each follower asked for and heard, where that leads, and what changed on the
 * way since its last reset.
 */
export function conversations({ head, lines }) {
  const known = new Map();
  for (const [position] of JSON.stringify(lines).matchAll(/[0-9A-Z]{26}:\d+:[0-9a-f]{16}/g)) {
    known.set(position.slice(0, position.lastIndexOf(':')), position);
  }
  const all = lines.filter(({ open, path }) => open && path.startsWith('/follow')).map(({ open, path }) => {
    const query = new URL(path, 'http://broker').searchParams;
    const [epoch, version, hash] = ['epoch', 'version', 'hash'].map((name) => query.get(name));
    const held = epoch && (hash ? `${epoch}:${version}:${hash}` : known.get(`${epoch}:${version}`) ?? `${epoch}:${version}:${'f'.repeat(16)}`);
    const heard = lines.filter(({ from }) => from === open);
    const [texts, [closed]] = [heard.flatMap(({ text }) => text ?? []), heard.flatMap(({ closed }) => closed ?? [])];
    return { of: `${head.transcript}/${open}`, from: held ?? (version ? 'start' : 'head'), topics: query.getAll('topic'), texts, closed, ...told(texts) };
  });
  return all.filter(({ texts }) => texts.length > 0);
}

function told(texts) {
  let [epoch, at, changes] = [undefined, undefined, []];
  for (const frame of texts.filter((text) => text.startsWith('{')).map((text) => JSON.parse(text))) {
    epoch = frame.epoch ?? epoch;
    if (frame.type === 'reset') changes = [];
    if (frame.type === 'changes') changes.push(...frame.versions.map(({ version, changes }) => ({ version, changes })));
    if (frame.type === 'fold') changes.push({ version: frame.to, changes: frame.changes });
    const version = frame.resume === 'live' ? frame.head : frame.type === 'changes' || frame.type === 'fold' ? frame.to
      : frame.type === 'head' || frame.type === 'reset' ? frame.version : undefined;
    if (version !== undefined && !frame.more) at = `${epoch}:${version}:${frame.hash}`;
  }
  return { position: at, changes };
}

/** Returns the texts that a newer broker may send for a text: the same with unknown fields, between unknown frames. */
export function newer(text) {
  const unknown = ['{"type":"later"}', '{"type":"later","from":99,"to":1,"hash":7,"versions":"none","epoch":null,"version":-1}'];
  if (!text.startsWith('{')) return [text];
  const more = JSON.parse(text, (_, value) => (value && typeof value === 'object' && !Array.isArray(value) ? { ...value, later: { version: 'none' } } : value));
  return [...unknown, JSON.stringify(more), ...unknown];
}

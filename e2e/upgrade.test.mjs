// Old and new together: what the first protocol's clients and brokers said is said again, to this build.
//
// docs/upgrades.md has the rules. e2e/transcripts/v1 was recorded once, by the first release.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, globSync, readdirSync, readFileSync, watch } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';

import { QUICK, Recorder, TestStore } from './client.mjs';
import { FakeBroker, json } from './fake-broker.mjs';
import { Follower } from './follower.mjs';
import { Publisher } from './publisher.mjs';
import { freePort, NEWSREEL, newsreel, startDev, startSystem, temporaryFolder, TOKENS, wrapped } from './system.mjs';
import { Client, Comparison, conversations, newer, read, withoutMended } from './transcripts/player.mjs';

const V1 = new URL('./transcripts/v1/', import.meta.url);
const TRANSCRIPTS = readdirSync(V1).filter((file) => file.endsWith('.jsonl')).map((file) => read(new URL(file, V1)));

test('what the first release said and stored is as it was recorded', () => {
  const sums = readFileSync(new URL('SHA256SUMS', V1), 'utf8').trim().split('\n').map((line) => line.split('  '));
  const files = readdirSync(V1).filter((file) => file !== 'SHA256SUMS');
  assert.deepEqual(sums.map(([, file]) => file).sort(), files.sort());
  for (const [sum, file] of sums) {
    assert.equal(createHash('sha256').update(readFileSync(new URL(file, V1))).digest('hex'), sum, `${file} is never changed: docs/upgrades.md`);
  }
});

/** Whether a line is something that was heard. */
const isHeard = (line) => line.answer !== undefined || line.opened !== undefined || line.from !== undefined;

/** Plays the client's side of a transcript, comparing what it hears. */
async function play(system, { head, lines }) {
  const [client, comparison] = [new Client(system, head.catalog), new Comparison()];
  for (const [index, line] of lines.entries()) {
    if (isHeard(line)) continue;
    const next = lines.findIndex((other, at) => at > index && !isHeard(other));
    const recorded = lines.slice(index + 1, next < 0 ? undefined : next);
    try {
      comparison.lines(withoutMended(line, recorded), (await client.does(comparison.line(line))) ?? []);
    } catch (error) {
      error.message = `${head.transcript}:${index + 2}, ${JSON.stringify(line).slice(0, 200)}: ${error.message}`;
      throw error;
    }
  }
  client.end();
}

test("a first client's conversations with this broker", async (t) => {
  const groups = Map.groupBy(TRANSCRIPTS, ({ head }) => JSON.stringify(head.vars));
  for (const [vars, transcripts] of groups) {
    // Since then answers carry Cache-Tag where a deployment asks for it.
    const system = await startSystem(t, { vars: { SEND_CACHE_TAG: 'true', ...JSON.parse(vars) } });
    for (const transcript of transcripts) {
      await t.test(`${transcript.head.transcript}: ${transcript.head.what}`, () => play(system, transcript));
    }
  }
});

/** The conversations of followers in all transcripts. */
const CONVERSATIONS = TRANSCRIPTS.flatMap(conversations);
/** How brokers of today's protocol may say the same. */
const BROKERS = { first: (text) => [text], newer };
/** Times that no conversation reaches, but for coming back. */
const PATIENT = { ...QUICK, pingEveryMs: 60_000, pongTimeoutMs: 60_000, behindGraceMs: 60_000, pageTimeoutMs: 60_000 };

/** Opens the next connection's side of a conversation, and says it all. */
async function speak(broker, { texts, closed }, said) {
  const connection = await broker.connection();
  connection.pongs = false;
  for (const text of texts.flatMap(said)) connection.send(text);
  if (closed) connection.close(closed, 'as then');
  return connection;
}

/** A value without the fields that only a newer broker knows. */
const known = (value) => JSON.parse(JSON.stringify(value), (name, one) => (name === 'later' ? undefined : one));

for (const [age, said] of Object.entries(BROKERS)) {
  test(`a ${age} broker's conversations with the package`, async (t) => {
    for (const conversation of CONVERSATIONS) {
      const { of, from, topics, closed, position, changes } = conversation;
      await t.test(of, async (t) => {
        const broker = await FakeBroker.start(t);
        const store = new TestStore();
        const recorder = await Recorder.follow(t, broker, { from: from === 'head' ? 'now' : from, topics, store, timing: PATIENT });
        await speak(broker, conversation, said);
        if (closed >= 4500) assert.ok((await recorder.feed.closed).terminal);
        else if (closed) await broker.connection();
        else await recorder.feed.live();
        // A position is kept after the live that comes with it, where a filter hid what led there.
        await Promise.race([recorder.feed.waitFor(position), recorder.feed.closed]);
        assert.equal(recorder.feed.position, position);
        const since = recorder.events.findLastIndex(({ type }) => type === 'reset') + 1;
        const came = recorder.events.slice(since).map(({ version, changes }) => ({ version, changes }));
        assert.deepEqual(known(came), changes);
      });
    }
  });

  test(`a ${age} broker's conversations with the command`, async (t) => {
    for (const conversation of CONVERSATIONS.filter(({ changes, closed }) => changes.length > 0 && !closed)) {
      await t.test(conversation.of, (t) => tail(t, conversation, said));
    }
  });
}

/** Has `newsreel tail` follow a conversation until its resume file has the position that it leads to. */
async function tail(t, conversation, said) {
  const { from, topics, position, changes } = conversation;
  const broker = await FakeBroker.start(t);
  const folder = temporaryFolder(t);
  const resume = join(folder, 'position');
  const kept = new Promise((resolve) => {
    const look = () => existsSync(resume) && readFileSync(resume, 'utf8').trim() === position && resolve();
    const watcher = watch(folder, look);
    t.after(() => watcher.close());
  });
  const words = ['tail', '--json', '--broker', broker.url, '--from', from, '--resume', resume, ...topics.flatMap((topic) => ['--topic', topic])];
  const child = spawn(NEWSREEL, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
  const ended = once(child, 'close');
  await speak(broker, conversation, said);
  await Promise.race([kept, ended.then(([code]) => assert.fail(`ended with ${code}: ${stderr}`))]);
  child.kill('SIGINT');
  await ended;
  const lines = stdout.trim().split('\n').map((line) => JSON.parse(line));
  const since = lines.findLastIndex(({ reset }) => reset) + 1;
  const came = lines.slice(since).map(({ fold, version, changes }) => (fold ? { version: Number(fold.position.split(':')[1]), changes: fold.changes } : { version, changes }));
  assert.deepEqual(came, changes);
}

test('codes and ranges that a client does not know', async (t) => {
  const { texts } = CONVERSATIONS.find(({ of }) => of === 'live/a');
  const unknown = '{"type":"error","code":"of-tomorrow","message":"…","later":1}';
  for (const [closed, comesBack] of [[4321, true], [4777, false]]) {
    const conversation = { texts: [...texts, unknown], closed };
    await t.test(`the package: ${closed}`, async (t) => {
      const broker = await FakeBroker.start(t);
      const recorder = await Recorder.follow(t, broker, { from: 'start', timing: PATIENT });
      await speak(broker, conversation, newer);
      if (comesBack) assert.equal((await broker.connection()).query.get('version'), '4', 'it goes on from there');
      else assert.equal((await recorder.feed.closed).terminal, true);
    });
    await t.test(`the command: ${closed}`, async (t) => {
      const broker = await FakeBroker.start(t);
      const ended = newsreel('tail', '--broker', broker.url, '--from', 'start', '--until', '5');
      await speak(broker, conversation, newer);
      if (comesBack) {
        const again = await broker.connection();
        assert.equal(again.query.get('version'), '4', 'it goes on from there');
        again.close(4777);
      }
      const { code, stderr } = await ended;
      assert.match(stderr, /of-tomorrow/);
      assert.notEqual(code, 0, 'told not to come back');
    });
  }
});

test("a first broker's answers over HTTP", async (t) => {
  const { lines } = TRANSCRIPTS.find(({ head }) => head.transcript === 'pages');
  const answers = lines.filter(({ answer, body }) => answer === 200 && body.includes('"versions"')).map(({ body }) => JSON.parse(body));
  const [whole, empty] = [answers.find(({ from, to }) => from === 0 && to === 3), answers.find(({ from }) => from === 3)];

  await t.test('pages, by the package', async (t) => {
    const broker = await FakeBroker.start(t);
    broker.answer = (url) => json(known({ ...(url.searchParams.get('since') === '0' ? whole : empty), later: [1] }));
    const recorder = await Recorder.follow(t, broker, { from: 'start', transport: 'polling' });
    await recorder.feed.live();
    assert.equal(recorder.feed.position, `${whole.epoch}:3:${whole.hash}`);
    assert.deepEqual(recorder.events.map(({ changes }) => changes), whole.versions.map(({ changes }) => changes));
  });

  await t.test('the status, by the command', async (t) => {
    const broker = await FakeBroker.start(t);
    const status = JSON.parse(lines.findLast(({ body }) => body?.includes('"oldest"')).body);
    broker.answer = () => json({ ...status, later: 1 });
    const { code, stdout, stderr } = await newsreel('status', '--broker', broker.url);
    assert.equal(code, 0, stderr);
    assert.ok(stdout.includes(status.position), stdout);
  });

  await t.test('receipts, by the command', async (t) => {
    const broker = await FakeBroker.start(t);
    const { lines } = TRANSCRIPTS.find(({ head }) => head.transcript === 'publish');
    const receipt = lines.find(({ answer }) => answer === 200);
    broker.answer = () => json({ ...JSON.parse(receipt.body), later: 1 });
    const { code, stdout, stderr } = await newsreel('publish', '--broker', broker.url, '--key', 'title:603');
    assert.equal(code, 0, stderr);
    assert.ok((stdout + stderr).includes('1'), stdout);
  });
});

test('the comparison sees what an old client would, and no more', async (t) => {
  const page = { from: 'a', text: '{"type":"changes","from":0,"to":1,"hash":"68af3c045ca45573","versions":[{"version":1,"at":1,"changes":[{"key":"title:1"}]}]}' };
  const live = { from: 'a', text: '{"type":"live","version":1}' };
  const edited = ({ text, ...line }, from, to) => ({ ...line, text: text.replace(from, to) });
  const compare = (...heard) => new Comparison().lines([page, live], heard);
  const two = '{"version":2,"at":2,"changes":[{"key":"title:2"}]}';
  const split = [page, { from: 'a', text: `{"type":"changes","from":1,"to":2,"hash":"c2af7b8a19369152","versions":[${two}]}` }];
  await t.test('as it was, another hash and time, more fields, more frames, other parts', () => {
    compare(page, live);
    compare(edited(page, '68af3c045ca45573', 'ffff3c045ca45573'), live);
    compare(edited(page, '"at":1', '"at":7,"later":[{}]'), { from: 'a', text: '{"type":"later"}' }, live);
    const joined = split[1].text.replace('"from":1', '"from":0').replace('[{', `[${JSON.stringify(JSON.parse(page.text).versions[0])},{`);
    new Comparison().lines(split, [{ from: 'a', text: joined }]);
  });
  for (const [what, from, to] of [
    ['a field that is gone', '"from":0,', ''], ['another type', '"to":1', '"to":"1"'], ['another key', 'title:1', 'title:2'],
    ['no hash', '68af3c045ca45573', '1'], ['a change too many', '{"key":"title:1"}', '{"key":"title:1"},{"all":true}'],
    ['another name for a field', '"at"', '"when"'], ['a time that is a text', '"at":1', '"at":"1"'],
  ]) await t.test(what, () => assert.throws(() => compare(edited(page, from, to), live)));
  await t.test('a frame too few, one too many', () => {
    assert.throws(() => compare(page));
    assert.throws(() => compare(page, live, live));
  });
  await t.test('two hashes where there was one', () => {
    const head = { from: 'a', text: '{"type":"head","version":1,"hash":"68af3c045ca45573"}' };
    new Comparison().lines([page, head], [page, head]);
    assert.throws(() => new Comparison().lines([page, head], [page, edited(head, '68af', 'ffff')]));
  });
  await t.test('a header that is mended is left out in its wrong value alone, and where it was asked for so', () => {
    const answer = (etag) => ({ answer: 200, headers: { etag, vary: 'Newsreel-Min-Version' }, body: '{"etag":"\\"value\\""}' });
    const left = (path, etag) => Object.keys(withoutMended({ path }, [answer(etag)])[0].headers);
    assert.deepEqual(left('/entries/title:1?envelope=1', '"value"'), ['vary']);
    assert.deepEqual(left('/entries/title:1?envelope=1', '"other"'), ['etag', 'vary']);
    for (const path of ['/entries/title:1', '/entries/title:1?envelope=11']) assert.deepEqual(left(path, '"value"'), ['etag', 'vary']);
  });
});

/** Returns a folder with a copy of the first release's state: its objects, KV and R2. */
function firstState(t) {
  const state = temporaryFolder(t);
  execFileSync('tar', ['-xzf', new URL('state.tar.gz', V1).pathname, '-C', state]);
  return state;
}

/** The rows of an object, read and written past it while nothing runs. */
function rowsOf(state, object, work) {
  const [file] = globSync(`v3/do/newsreel-${object}/*.sqlite`, { cwd: state }).filter((name) => !name.endsWith('metadata.sqlite'));
  const database = new DatabaseSync(join(state, file));
  try {
    return work(database);
  } finally {
    database.close();
  }
}

const setSchema = (state, object, schema) =>
  rowsOf(state, object, (rows) => rows.prepare("UPDATE meta SET value = ? WHERE name = 'schema'").run(schema));

test("a first release's state under this build", async (t) => {
  const { vars, held, last } = JSON.parse(readFileSync(new URL('state.json', V1), 'utf8'));
  // No origin: every value that is read was stored.
  const where = { state: firstState(t), port: await freePort(), originPort: await freePort(), vars };
  const { broker, kill } = await startDev(t, where);

  await t.test('the log goes on, for whoever held a position of it', async () => {
    assert.equal((await broker.status()).position, last.position);
    const follower = new Follower(broker, { name: 'held' });
    follower.position = held;
    await follower.connect();
    assert.deepEqual([follower.resets, follower.versions.map(({ version }) => version)], [0, [9, 10, 11]]);
    const everything = await new Follower(broker, { name: 'everything' }).connect();
    assert.deepEqual([everything.folded.length, everything.versions.map(({ version }) => version)], [3, [4, 5, 6, 7, 8, 9, 10, 11]]);
    const next = await broker.publish({ key: 'other:1' });
    assert.deepEqual([next.epoch, next.version], [last.epoch, 12]);
    await Promise.all([follower.reached(12), everything.reached(12)]);
    await Promise.all([follower.close(), everything.close()]);
  });

  await t.test('its entries are served, but those that ended only marked, and what was removed never', async () => {
    const read = (key) => broker.read(key, { after: last });
    for (const [key, tier] of [['title:2', 'kv'], ['title:7', 'kv']]) {
      const { status, headers, json } = await read(key);
      assert.deepEqual([status, json], [200, { name: `Title ${key.at(-1)}`, told: 1 }]);
      assert.match(headers.get('cache-status'), new RegExp(`newsreel-${tier}; hit`));
    }
    for (const key of ['title:0', 'title:1']) assert.equal((await read(key)).status, 502, 'what ended is fetched anew');
    const marked = await broker.read('title:0');
    assert.deepEqual([marked.status, marked.headers.get('newsreel-freshness').split(';')[0]], [200, 'stale']);
    assert.equal((await broker.read('title:1')).status, 502, 'what was removed is not even served marked');
  });

  await t.test('and R2 has the same, where KV has nothing', async (t) => {
    await kill();
    execFileSync('rm', ['-r', join(where.state, 'v3/kv')]);
    const { broker, kill: again } = await startDev(t, where);
    const { status, headers, json } = await broker.read('title:2', { after: last });
    assert.deepEqual([status, json], [200, { name: 'Title 2', told: 1 }]);
    assert.match(headers.get('cache-status'), /newsreel-r2; hit/);
    await again();
  });
});

test('rows of a newer release', async (t) => {
  const { vars, last } = JSON.parse(readFileSync(new URL('state.json', V1), 'utf8'));
  const where = { state: firstState(t), port: await freePort(), originPort: await freePort(), vars };
  setSchema(where.state, 'Broker', '1000');
  const { broker, kill } = await startDev(t, where);
  const refused = ({ status, json }) => assert.deepEqual([status, json.code], [503, 'newer-schema']);

  await t.test('the broker answers everything with 503 and touches nothing', async () => {
    refused(await broker.publishRaw('{"key":"title:1"}'));
    refused(await broker.changes('?since=0'));
    refused(await broker.call('GET', '', { token: TOKENS.follow }));
    refused(await broker.call('POST', '/epochs', { token: TOKENS.admin }));
    const client = new Client({ broker }, 'tv');
    const [{ answer, body }] = await client.does({ open: 'a', path: '/follow?version=0', token: 'follow' });
    refused({ status: answer, json: JSON.parse(body) });
    const { code, stderr } = await newsreel('publish', '--broker', broker.url, '--token', TOKENS.publish, '--key', 'a:1', '--retry-for-ms', '1');
    assert.notEqual(code, 0);
    assert.match(stderr, /newer-schema|schema 1000/);
    await kill();
    const versions = rowsOf(where.state, 'Broker', (rows) => rows.prepare('SELECT max(version) AS head FROM log').get().head);
    assert.equal(versions, last.version);
  });

  await t.test('and once a build that knows them is back, nothing is missing; a replica refuses in the same way', async (t) => {
    setSchema(where.state, 'Broker', '1');
    setSchema(where.state, 'Replica', '1000');
    const { broker, kill } = await startDev(t, where);
    assert.equal((await broker.publish({ key: 'other:1' })).version, 12);
    const { status, json } = await broker.read('title:2');
    assert.deepEqual([status, json.code], [503, 'bound-not-kept'], 'nothing is served that it could not judge');
    await kill();
    const position = rowsOf(where.state, 'Replica', (rows) => rows.prepare("SELECT value FROM meta WHERE name = 'position'").get().value);
    assert.equal(position, last.position);
  });
});

test('sockets that slept while a newer release was there come back, and miss nothing', async (t) => {
  const { broker, worker } = await startSystem(t, { origin: false, config: wrapped(t, 'newer.worker.mjs') });
  const evict = () => worker.evictDurableObject('Broker', { name: 'tv', webSockets: 'hibernate' });
  const follower = await new Follower(broker).connect();
  const publisher = await new Publisher(broker).connect();
  await broker.publish({ key: 'newer:schema' });
  await follower.reached(1);
  await evict();
  assert.match(await follower.ping(), /:1:/, 'a ping wakes nobody, and no head has moved');
  const { status, json } = await broker.publishRaw('{"key":"title:1"}', { headers: { 'idempotency-key': 'again' } });
  assert.deepEqual([status, json.code], [503, 'newer-schema']);
  follower.socket.send('{"type":"ack","version":1}');
  const answered = publisher.publish({ key: 'title:2' });
  await follower.until(() => follower.isLeft);
  while (publisher.socket.readyState < WebSocket.CLOSING) await new Promise((resolve) => setImmediate(resolve));
  await evict();
  await Promise.all([follower.until(() => follower.closed), publisher.until(() => publisher.closed)]);
  assert.deepEqual([follower.closed.code, publisher.closed.code], [4010, 4010]);
  await follower.connect();
  await publisher.connect();
  const { version } = await answered;
  const retried = await broker.publish({ key: 'title:1' }, { headers: { 'idempotency-key': 'again' } });
  assert.deepEqual([version, retried.version], [2, 3]);
  await follower.reached(3);
  assert.deepEqual([follower.resets, follower.versions.map((row) => row.version)], [0, [1, 2, 3]]);
  await Promise.all([follower.close(), publisher.close()]);
});

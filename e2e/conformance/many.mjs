// Many at once: lines in a body, and the publishing socket.

import { holds, mediaType, problem, problemMembers, same, status } from './expect.mjs';
import { NDJSON } from './deployment.mjs';

const section = 'Many at once';
const range = (count) => Array.from({ length: count }, (_, n) => n);

async function lines(log) {
  const follower = await log.follow();
  const keys = range(500).map((n) => `title:${n}`);
  const receipts = await log.keys(keys);
  same('the versions, in order', receipts.map((receipt) => receipt.version), range(500).map((n) => n + 1));
  await follower.reached(500);
  same('the keys a follower hears', follower.versions.map((row) => row.changes[0].key), keys);
  same('the last receipt is the head', (await log.status()).position, receipts.at(-1).position);
}

async function badLines(log) {
  const answers = await log.lines([
    { key: 'a:1' }, '', { key: 'a' }, '{', `${JSON.stringify({ changes: [{ tag: 'x' }, { prefix: 'a' }] })}\r`,
    { key: 'a:2', expect: { version: 2 } }, { key: 'a:3', expect: { version: 1 } }, { tag: 'x'.repeat(1 << 20) }, { key: 'a:4' }, '',
  ]);
  const seen = answers.map((answer) => answer.code ?? answer.version);
  same('the answers in order', seen, [1, 'bad-key', 'bad-json', 2, 3, 'expect-failed', 'body-too-large', 4]);
  problemMembers(answers[1], 400, 'bad-key', 'a line');
  problemMembers(answers[6], 413, 'body-too-large', 'a line');
  same('the head', (await log.status()).version, 4);
}

async function types(log) {
  for (const type of [NDJSON, 'application/ndjson', 'application/jsonl', `${NDJSON}; charset=utf-8`]) {
    const answer = status(await log.post('{"key":"a:1"}\n{"key":"a:1"}\n', { headers: { 'content-type': type } }), 200);
    same(`the content type of the answer to ${type}`, mediaType(answer), NDJSON);
    same('its lines', answer.text.split('\n').filter(Boolean).length, 2);
  }
}

async function bodyAgain(log) {
  const body = ['{"key":"b:1"}', '{"key":"b"}', '{"key":"b:2","idempotency_key":"own"}', '', '{"key":"b:3"}'];
  const headers = { 'idempotency-key': 'body' };
  const first = await log.lines(body, { headers });
  same('the whole body again', await log.lines(body, { headers }), first);
  const under = (key, publish) => log.publish(publish, { headers: { 'idempotency-key': key } });
  same('a line has its own key', await under('own', { key: 'b:2' }), first[2]);
  same('or one of its place, from 1', await under('body#4', { key: 'b:3' }), first[3]);
  same('the head', (await log.status()).version, 3);
}

async function limits(log) {
  const headers = { 'content-type': NDJSON };
  problem(await log.post('\n \n', { headers }), 400, 'no-changes');
  problem(await log.post('{}\n'.repeat(10_001), { headers }), 413, 'body-too-large');
  // Not announced, so that it is read before it is refused.
  const chunked = { ...headers, 'transfer-encoding': 'chunked', 'content-length': [] };
  const lines = `${' '.repeat(1 << 20)}\n`.repeat(9);
  problem(await log.answered(() => log.begin(lines, { headers: chunked, half: 1 << 20 }).finish()), 413, 'body-too-large');
  problem(await log.post('{"all":true}', { headers, query: '?wait=applied' }), 400, 'bad-request');
  same('the head', (await log.status()).version, 0);
}

async function pipelined(log) {
  const follower = await log.follow({ from: 'head' });
  const publisher = await log.publisher();
  const answers = await Promise.all(range(500).map((n) => publisher.publish({ key: `title:${n}` })));
  same('the versions, in order', answers.map((answer) => answer.version), range(500).map((n) => n + 1));
  holds('answers come together', publisher.frames.length < 500, 'fewer than 500 frames', publisher.frames.length);
  await follower.reached(500);
  same('the keys a follower hears', follower.versions.map((row) => row.changes[0].key), range(500).map((n) => `title:${n}`));
}

async function badTexts(log) {
  const publisher = await log.publisher();
  const answers = await Promise.all([
    { key: 'a:1' }, 'no JSON', '', { key: 'a:2', expect: { version: 0 } }, { tag: 'x'.repeat(1 << 20) },
    { changes: [{ key: 'a:2' }, { key: 'a:3' }], expect: { version: 1 } },
  ].map((line) => publisher.publish(line)));
  same('the answers in order', answers.map((answer) => answer.code ?? answer.version), [
    1, 'bad-json', 'bad-json', 'expect-failed', 'body-too-large', 2,
  ]);
  problemMembers(answers[3], 412, 'expect-failed', 'a text');
  same('it stays open', (await publisher.publish({ key: 'a:4' })).version, 3);
}

async function binary(log) {
  const publisher = await log.publisher();
  publisher.publish({ key: 'a:1' }).catch(() => {});
  publisher.send(new Uint8Array([1, 2, 3]));
  await publisher.closesWith(4500, 'bad-frame');
  same('what came before is published', (await log.status()).version, 1);
}

async function noFollower(log) {
  const publisher = await log.publisher();
  same('the followers', (await log.status()).followers, 0);
  const { position } = await publisher.publish({ key: 'a:1' });
  const { position: later } = await log.publish({ key: 'a:2' });
  same('a pong tells the head', await publisher.ping(), later);
  const others = publisher.texts.filter((text) => !text.startsWith('pong ') && JSON.parse(text).type !== 'answers');
  same('frames that are no answers', others, []);
  holds('the first receipt', position !== later, 'another version', position);
}

async function leaves(log) {
  const publisher = await log.publisher();
  for (let n = 1; n <= 50; n += 1) publisher.publish({ key: `a:${n}` }).catch(() => {});
  // The publisher leaves before most answers; every publish that was answered must be on the log.
  await publisher.until('a first answer', () => publisher.frames.length > 0);
  await publisher.close();
  const page = await log.pageOf('?since=0');
  holds('a publish that was answered is on the log', page.to >= publisher.frames[0].answers.at(-1).version, 'it is', page.to);
}

export default [
  { id: 'N1', section, what: 'each line is a version of its own, in order', run: lines },
  { id: 'N2', section, what: 'a line that is refused keeps its place and stops no other', run: badLines },
  { id: 'N3', section, what: 'the three content types, also with parameters', run: types },
  { id: 'N4', section, what: 'a body sent again under its key has no second effect', run: bodyAgain },
  { id: 'N5', section, what: 'no line, 10,001 lines, 9 MiB, wait: refused', run: limits },
  { id: 'N6', section, what: '500 texts without waiting are answered in order, many in a frame', run: pipelined },
  { id: 'N7', section, what: 'a text that is no publish is answered in its place and closes nothing', run: badTexts },
  { id: 'N8', section, what: 'binary: error, 4500; what came before is published', run: binary },
  { id: 'N9', section, what: 'a publisher is no follower; its ping tells the head', run: noFollower },
  { id: 'N10', section, what: 'what was answered before a close is on the log', run: leaves },
];

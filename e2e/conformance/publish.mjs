// Publish: receipts, atomic versions, expect, waiting.

import { Skipped, holds, matches, problem, same, status } from './expect.mjs';
import { EPOCH, OTHER_EPOCH, POSITION } from './rows.mjs';

const section = 'Publishing';

async function receipt(log) {
  const answer = status(await log.post('{"key":"title:1","tags":["a"]}'), 200);
  const { json } = answer;
  matches('the content type of a receipt', answer.headers.get('content-type'), /^application\/json\b/);
  same('catalog, version and changes', [json.catalog, json.version, json.changes], [log.catalog, 1, 1]);
  matches('the epoch', json.epoch, EPOCH);
  matches('the position', json.position, POSITION);
  holds('the position', json.position.startsWith(`${json.epoch}:1:`), `${json.epoch}:1:…`, json.position);
  const [row] = (await log.pageOf('?since=0')).versions;
  same('the time of the receipt is the time of the row', json.at, row.at);
}

async function bareAndList(log) {
  const bare = await log.publish({ key: 'a:1', op: 'update', expect: { version: 0 } });
  const list = await log.publish({ changes: [{ key: 'a:1' }], expect: { version: bare.version } });
  const rows = (await log.pageOf('?since=0')).versions;
  same('the changes of both', [list.version, rows[0].changes, rows[1].changes], [2, [{ key: 'a:1' }], [{ key: 'a:1' }]]);
}

async function targets(log) {
  const changes = [
    { key: 'a:1', tags: ['x', 'y'] }, { key: 'a:2', op: 'remove' }, { key: 'a:3', soft: true }, { tag: 'x' },
    { tag: 'y', soft: true }, { prefix: 'b:' }, { prefix: 'c', soft: true }, { all: true },
  ];
  const { version } = await log.publish({ changes });
  same('the one version', (await log.pageOf('?since=0')).versions.map((row) => [row.version, row.changes]), [[version, changes]]);
}

async function limits(log) {
  const keys = [`a:${'x'.repeat(398)}`, `a:${'é'.repeat(199)}`, 'a:b:c', 'a:/ ?#%"\\', `x${':'.repeat(2)}`, '映:画'];
  for (const key of keys) await log.publish({ key });
  await log.publish({ prefix: 'p'.repeat(400) });
  await log.publish({ prefix: 'p' });
  await log.publish({ tag: 't'.repeat(256) });
  await log.publish({ key: 'a:1', tags: ['!', '~', '"', '\\'] });
  await log.publish({ key: 'a:1' }, { headers: { 'idempotency-key': 'k'.repeat(255) } });
  const rows = (await log.pageOf('?since=0')).versions;
  same('the keys as they were sent', rows.slice(0, keys.length).map((row) => row.changes[0].key), keys);
}

async function expectRight(log) {
  const first = await log.publish({ key: 'a:1', expect: { version: 0 } });
  const { epoch, version } = first;
  same('with the epoch', (await log.publish({ key: 'a:1', expect: { epoch, version } })).version, version + 1);
}

async function expectWrong(log) {
  const { epoch, position } = await log.publish({ key: 'a:1' });
  for (const expect of [{ version: 0 }, { version: 2 }, { epoch, version: 0 }, { epoch: OTHER_EPOCH, version: 1 }]) {
    const answer = await log.post(JSON.stringify({ changes: [{ key: 'a:2' }], expect }));
    const told = problem(answer, 412, 'expect-failed', ['epoch', 'version', 'position']);
    same('the head that is told', [told.epoch, told.version, told.position], [epoch, 1, position]);
  }
  same('the head after refusals', (await log.status()).position, position);
}

async function expectRace(log) {
  const bodies = Array.from({ length: 10 }, (_, n) => JSON.stringify({ key: `a:${n}`, expect: { version: 0 } }));
  const answers = await Promise.all(bodies.map((body) => log.post(body)));
  same('those that won', answers.filter((answer) => answer.status === 200).length, 1);
  for (const answer of answers) if (answer.status !== 200) problem(answer, 412, 'expect-failed');
  same('the head', (await log.status()).version, 1);
}

async function atomic(log) {
  const follower = await log.follow();
  const changes = Array.from({ length: 1000 }, (_, n) => ({ key: `title:${n}`, tags: [`t-${n % 7}`] }));
  const receipt = await log.publish({ changes });
  same('version and changes of the receipt', [receipt.version, receipt.changes], [1, 1000]);
  await follower.reached(1);
  same('what a follower sees', follower.versions.map((row) => row.changes), [changes]);
  same('the head', (await log.status()).position, receipt.position);
}

async function waitAlone(log) {
  const { json } = status(await log.post('{"key":"a:1"}', { query: '?wait=applied&timeout_ms=0' }), 200);
  same('the receipt', [json.version, json.changes], [1, 1]);
  same('the replicas of a new catalog', [json.applied, json.pending, json.offline], [[], [], []]);
}

async function waitAsks(log) {
  const follower = await log.follow({ name: 'no-replica' });
  const { json } = status(await log.post('{"key":"a:1"}', { query: '?wait=applied&timeout_ms=2000' }), 200);
  await follower.reached(json.version);
  same('`ack` of the frame', follower.frames.find((frame) => frame.type === 'changes').ack, true);
  same('only replicas are named', [...json.applied, ...json.pending, ...json.offline].includes('no-replica'), false);
  const plain = await log.publish({ key: 'a:2' });
  same('the lists of who does not wait', 'applied' in plain, false);
}

/** A reader makes its replica follow; whether it follows this broker is the deployment's affair. */
async function waitNames(log) {
  const { epoch, version } = await log.publish({ key: 'a:1', op: 'remove' });
  await log.call('GET', '/entries/a:1', { headers: { 'newsreel-min-version': `${epoch}:${version}` } });
  const started = performance.now();
  const { json } = status(await log.post('{"key":"a:2"}', { query: '?wait=applied&timeout_ms=5000' }), 200);
  const took = performance.now() - started;
  const names = [...json.applied, ...json.pending, ...json.offline];
  if (names.length === 0) throw new Skipped('the readers of this deployment follow another broker');
  same('a name stands in one list', new Set(names).size, names.length);
  holds('it waits while one is pending', json.pending.length === 0 || took > 4900, 'nobody pending, or 5 s', json);
  holds('who is connected has applied it', json.applied.length > 0 || took > 4900, 'a replica', json);
}

async function readYourWrites(log) {
  for (let n = 1; n <= 10; n += 1) {
    const { position, version } = await log.publish({ key: `a:${n}` });
    same('the head after a receipt', (await log.status()).position, position);
    same('a page after a receipt', (await log.pageOf('?since=0')).to, version);
  }
}

export default [
  { id: 'P1', section, what: 'the receipt has catalog, epoch, version, position, at, changes', run: receipt },
  { id: 'P2', section, what: 'a list of one and a bare change are the same, each with expect', run: bareAndList },
  { id: 'P3', section, what: 'key, tag, prefix, all; update, remove, soft', run: targets },
  { id: 'P4', section, what: 'the longest names and strange signs are taken as they are', run: limits },
  { id: 'P5', section, what: '1,000 changes are one version, seen together', run: atomic },
  { id: 'P6', section, what: '`expect` that is the head, with and without epoch', run: expectRight },
  { id: 'P7', section, what: '`expect` that is not: 412 tells the head, and nothing is left behind', run: expectWrong },
  { id: 'P8', section, what: 'of ten publishes that expect the same head one wins', run: expectRace },
  { id: 'P9', section, what: 'what a receipt tells is there to be read at once', run: readYourWrites },
  { id: 'P10', section: 'Waiting', what: 'wait=applied adds applied, pending, offline', run: waitAlone },
  { id: 'P11', section: 'Waiting', what: 'wait=applied asks every follower for an ack, and names only replicas', run: waitAsks },
  { id: 'P12', section: 'Waiting', what: 'wait=applied names the replica of a reader, once it has applied it', run: waitNames },
];

// Publishes that are refused: each with its problem, and without a trace in the log.

import { problem, same } from './expect.mjs';
import { genesis } from './rows.mjs';

const changes = (...list) => ({ changes: list });

/** Bodies by the code that each must be refused with. A value is sent as JSON. */
const REFUSED = {
  'bad-json': [
    '', '{', '[]', 'null', '"a"', '[null,null,null,"a:1",null,null,null,null,null,null]', '{"changes":{}}', '{"changes":[1]}', '{"key":1}', '{"key":"a:1"} x',
    Buffer.from('{"key":"a:\xff"}', 'latin1'),
  ],
  'unknown-field': [
    { key: 'a:1', colour: 'red' }, changes({ key: 'a:1', colour: 'red' }), { ...changes({ key: 'a:1' }), colour: 'red' },
    { key: 'a:1', expect: { version: 0, colour: 'red' } },
  ],
  'no-changes': [changes()],
  'too-many-changes': [changes(...Array.from({ length: 1001 }, (_, n) => ({ key: `a:${n}` })))],
  'no-target': [{}, { tags: ['a'] }, { op: 'update' }, { all: false }, changes({ key: 'a:1' }, {})],
  'two-targets': [{ key: 'a:1', tag: 'x' }, { prefix: 'a', all: true }],
  'duplicate-target': [
    changes({ key: 'a:1' }, { key: 'a:1' }), changes({ tag: 'x' }, { tag: 'x', soft: true }),
    changes({ key: 'a:1' }, { key: 'a:1', op: 'remove' }), changes({ all: true }, { all: true }),
  ],
  'bad-change': [
    { key: 'a:1', op: 'upsert' }, { key: 'a:1', op: 'remove', soft: true }, { tag: 'x', op: 'remove' },
    { prefix: 'x', op: 'remove' }, { all: true, op: 'remove' }, { tag: 'x', tags: ['y'] },
    { key: 'a:1', tags: Array.from({ length: 257 }, (_, n) => `t:${n}`) },
  ],
  'bad-key': [
    { key: 'a' }, { key: ':a' }, { key: 'a:' }, { key: '' }, { key: 'a:\u0001' }, { key: 'a:\u007f' },
    { key: `a:${'x'.repeat(399)}` }, { key: `a:${'é'.repeat(200)}` },
  ],
  'bad-tag': [
    { tag: '' }, { tag: 'a b' }, { tag: 'a,b' }, { tag: 'é' }, { tag: 't'.repeat(257) }, { key: 'a:1', tags: ['a b'] },
  ],
  'bad-prefix': [{ prefix: '' }, { prefix: 'p'.repeat(401) }, { prefix: 'a\n' }],
};

const refusals = Object.entries(REFUSED).map(([code, bodies], n) => ({
  id: `R${n + 1}`,
  section: 'Problems',
  what: `${code}: ${bodies.length === 1 ? 'a publish is' : `${bodies.length} publishes are`} refused, without a trace`,
  run: async (log) => {
    for (const body of bodies) {
      const sent = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
      problem({ ...(await log.post(sent)), asked: `a publish of ${String(sent).slice(0, 100)}` }, 400, code);
    }
    const { epoch, position } = await log.status();
    same('the head', position, `${epoch}:0:${genesis(epoch)}`);
  },
}));

async function tooLarge(log) {
  problem(await log.answered(() => log.begin(' '.repeat((1 << 20) + 1)).finish()), 413, 'body-too-large');
  same('it goes on', (await log.publish({ key: 'a:1' })).version, 1);
}

async function unannounced(log) {
  const body = `{"key":"a:1"}${' '.repeat(5 << 18)}`;
  const headers = { 'transfer-encoding': 'chunked', 'content-length': [] };
  problem(await log.answered(() => log.begin(body, { headers, half: 1 << 19 }).finish()), 413, 'body-too-large');
}

async function justFits(log) {
  const body = '{"key":"a:1"}'.padEnd(1 << 20);
  same('a body of 1 MiB', (await log.post(body)).status, 200);
}

async function badRequests(log) {
  for (const query of ['?wait=seen', '?wait=applied&timeout_ms=30001', '?timeout_ms=-1', '?timeout_ms=soon']) {
    problem(await log.post('{"key":"a:1"}', { query }), 400, 'bad-request');
  }
  for (const key of ['k'.repeat(256), 'é']) {
    problem(await log.post('{"key":"a:1"}', { headers: { 'idempotency-key': key } }), 400, 'bad-request');
  }
  same('the head', (await log.status()).version, 0);
}

export default [
  ...refusals,
  { id: 'R12', section: 'Problems', what: 'body-too-large: more than 1 MiB', run: tooLarge },
  { id: 'R13', section: 'Problems', what: 'body-too-large also when the length is not announced', run: unannounced },
  { id: 'R14', section: 'Publishing', what: 'a body of exactly 1 MiB is taken', run: justFits },
  { id: 'R15', section: 'Problems', what: 'bad-request: wait, timeout_ms, Idempotency-Key', run: badRequests },
];

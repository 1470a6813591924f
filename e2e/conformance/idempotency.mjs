// Idempotency: one key, one effect, by whichever way it comes.

import { matches, problem, problemMembers, same, status } from './expect.mjs';

const section = 'Idempotency';
const keyed = (key) => ({ headers: { 'idempotency-key': key } });

async function again(log) {
  const first = status(await log.post('{"key":"a:1","tags":["x"]}', keyed('one')), 200);
  same('the header of the first answer', first.headers.get('idempotent-replayed'), null);
  for (const body of ['{"key":"a:1","tags":["x"]}', '{ "changes": [ {"tags":["x","x"],"op":"update","soft":false,"key":"a:1"} ] }']) {
    const second = status(await log.post(body, keyed('one')), 200);
    same('the first answer again', second.json, first.json);
    same('the header Idempotent-Replayed', second.headers.get('idempotent-replayed'), 'true');
  }
  same('the head', (await log.status()).version, 1);
}

async function reuse(log) {
  await log.publish({ key: 'a:1' }, keyed('one'));
  for (const body of ['{"key":"a:2"}', '{"key":"a:1","soft":true}', '{"key":"a:1","expect":{"version":1}}']) {
    problem(await log.post(body, keyed('one')), 422, 'idempotency-reuse');
  }
  same('the head', (await log.status()).version, 1);
}

async function together(log) {
  const receipts = await Promise.all(Array.from({ length: 16 }, () => log.publish({ key: 'a:1' }, keyed('one'))
    .catch((failure) => (String(failure.seen).startsWith('409 ') ? undefined : Promise.reject(failure)))));
  // One that comes while another is being read may be told so, and then tries again.
  receipts.push(await log.publish({ key: 'a:1' }, keyed('one')));
  const positions = new Set(receipts.filter(Boolean).map((receipt) => receipt.position));
  same('the positions of all', positions.size, 1);
  same('the head', (await log.status()).version, 1);
}

async function refusedIsForgotten(log) {
  problem(await log.post('{"key":"a:1","expect":{"version":7}}', keyed('one')), 412, 'expect-failed');
  problem(await log.post('{"key":"a"}', keyed('one')), 400, 'bad-key');
  same('another publish under the key', (await log.publish({ key: 'a:2' }, keyed('one'))).version, 1);
}

async function expectOnce(log) {
  const publish = { key: 'a:1', expect: { version: 0 } };
  const first = await log.publish(publish, keyed('one'));
  await log.publish({ key: 'a:2' });
  same('the repeat, though the head moved', await log.publish(publish, keyed('one')), first);
}

async function everyWay(log) {
  const publisher = await log.publisher();
  const line = { key: 'a:1', idempotency_key: 'one' };
  const first = await log.publish({ key: 'a:1' }, keyed('one'));
  const [lined] = await log.lines([line]);
  same('as a line', lined, first);
  same('over a socket', await publisher.publish(line), first);
  problemMembers(await publisher.publish({ ...line, key: 'a:2' }), 422, 'idempotency-reuse', 'another one over the socket');
  problemMembers((await log.lines([{ ...line, key: 'a:2' }]))[0], 422, 'idempotency-reuse', 'another one as a line');
  const second = await publisher.publish({ key: 'b:1', idempotency_key: 'two' });
  same('from the socket to HTTP', await log.publish({ key: 'b:1' }, keyed('two')), second);
  same('the head', (await log.status()).version, 2);
}

async function perCatalog(log) {
  const other = log.another();
  await log.publish({ key: 'a:1' }, keyed('one'));
  const answer = status(await other.post('{"key":"a:2"}', keyed('one')), 200);
  same('in another catalog', [answer.json.catalog, answer.json.version], [other.catalog, 1]);
}

async function inFlight(log) {
  const body = '{"key":"a:1"}';
  const chunked = { 'transfer-encoding': 'chunked', 'content-length': [] };
  const begin = () => log.begin(body, { headers: { ...keyed('one').headers, ...chunked } });
  let slow = begin();
  // Until the slow one has arrived the probe is what it is without it: no publish. If it arrives while a probe is
  // being read, it is the one that is refused, and begins anew.
  let probe;
  do {
    probe = await log.post('{"changes":[]}', keyed('one'));
    if (slow.early?.startsWith('409 ')) slow = begin();
    else same('what is answered to a body that has not ended', slow.early, undefined);
  } while (probe.json?.code === 'no-changes');
  problem(probe, 409, 'idempotency-in-flight');
  matches('Retry-After', probe.headers.get('retry-after'), /^1$/);
  same('another key', (await log.post(body, keyed('two'))).status, 200);
  const receipt = status(await slow.finish(), 200).json;
  same('the key afterwards', await log.publish({ key: 'a:1' }, keyed('one')), receipt);
}

export default [
  { id: 'I1', section, what: 'the same key and publish: the first answer again, with Idempotent-Replayed', run: again },
  { id: 'I2', section, what: 'the same key and another publish: idempotency-reuse', run: reuse },
  { id: 'I3', section, what: 'sixteen at once are one version', run: together },
  { id: 'I4', section, what: 'a refused publish is not remembered', run: refusedIsForgotten },
  { id: 'I5', section, what: '`expect` is not looked at again', run: expectOnce },
  { id: 'I6', section, what: 'a key is the same over HTTP, a line and a socket', run: everyWay },
  { id: 'I7', section, what: 'a key belongs to its catalog', run: perCatalog },
  { id: 'I8', section, what: 'while a body without a length is being read its key is idempotency-in-flight', run: inFlight },
];

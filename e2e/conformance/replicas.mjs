// Replicas: followers with an admin token and `Newsreel-Replica: 1`. Receipts name the replicas, there is one of a
// name, and the broker believes their claims.

import { holds, same, status } from './expect.mjs';
import { otherHash } from './rows.mjs';

const needs = ['admin'];
/** An epoch that begins in the year 2500. */
const LATER_EPOCH = '0F7SS7FX410000000000000000';

const replica = (log, options) => log.follow({ replica: true, name: 'r1', ...options });

function publishAndWait(log, ms) {
  return log.post('{"key":"a:1"}', { query: `?wait=applied&timeout_ms=${ms}` }).then((answer) => status(answer, 200).json);
}

async function waited(log) {
  const one = await replica(log);
  const two = await replica(log, { name: 'r2', mute: true });
  await log.follow({ name: 'no-replica' });
  const some = await publishAndWait(log, 500);
  same('who applied, who did not', [some.applied, some.pending, some.offline], [['r1'], ['r2'], []]);
  same('how many followers', some.followers, { acked: 2, pending: 1 });
  two.ack();
  const acked = await publishAndWait(log, 500);
  same('the one that is asked again', [acked.applied, acked.pending], [['r1'], ['r2']]);
  await two.close();
  await log.untilFollowers('the replica that left is gone', ({ followers }) => followers.every(({ name }) => name !== 'r2'));
  const gone = await publishAndWait(log, 5000);
  same('who is away', [gone.applied, gone.pending, gone.offline], [['r1'], [], ['r2']]);
  await one.close();
}

async function answersAtOnce(log) {
  const one = await replica(log, { mute: true });
  const started = performance.now();
  const answer = publishAndWait(log, 15_000);
  await one.reached(1);
  one.ack();
  const { applied, pending } = await answer;
  same('the replica', [applied, pending], [['r1'], []]);
  holds('it answers when nobody is pending', performance.now() - started < 10_000, 'before its time', 'it waited');
}

async function oneOfAName(log) {
  const first = await replica(log);
  const other = await log.follow({ name: 'r1' });
  const second = await replica(log);
  await first.closesWith(4502);
  const { version } = await log.publish({ key: 'a:1' });
  await second.reached(version);
  await other.reached(version);
  const { followers } = await log.followers();
  same('who follows', followers.map(({ name, replica: is }) => [name, is]).sort(), [['r1', false], ['r1', true]]);
}

/** A claim of a replica begins a new epoch, and every follower hears of it. */
function believed(claimOf) {
  return async (log) => {
    const other = await log.follow();
    await log.keys(['a:1', 'a:2']);
    await other.reached(2);
    const claim = claimOf(other.position);
    const one = await replica(log, { from: claim });
    await other.until('a reset', () => other.resets === 1);
    same('the reset of the replica', one.resets, 1);
    const { epoch, version } = await log.status();
    same('both are on the new log', [one.position, other.position].map((at) => [at.epoch, at.version]), [[epoch, 0], [epoch, 0]]);
    holds('the new epoch', epoch > claim.epoch && version === 0, `after ${claim.epoch}`, epoch);
  };
}

/** The same claim without the right or the header is a reset of that follower alone. */
async function notBelieved(log) {
  await log.keys(['a:1', 'a:2']);
  const { epoch, position } = await log.status();
  const hash = position.slice(-16);
  const later = { epoch: LATER_EPOCH, version: 1, hash };
  for (const options of [{ from: later }, { from: later, replica: true, token: log.tokens.follow }]) {
    // With one token for everything there is no header that would be in vain.
    if (options.replica && log.tokens.follow === log.tokens.admin) continue;
    same('its resets', (await log.follow(options)).resets, 1);
    same('the epoch', (await log.status()).epoch, epoch);
  }
  const away = await replica(log, { from: { epoch: '01ARYZ6S410000000000000000', version: 1, hash } });
  same('a replica of an epoch before', [away.resets, away.position.epoch], [1, epoch]);
}

export default [
  { id: 'Q1', section: 'Waiting', needs, what: 'wait=applied tells applied, pending and offline replicas', run: waited },
  { id: 'Q2', section: 'Waiting', needs, what: 'it answers when the last pending one has acknowledged', run: answersAtOnce },
  { id: 'Q3', section: 'A socket opens', needs, what: 'a replica that connects anew closes the older one with 4502', run: oneOfAName },
  { id: 'Q4', section: 'New epochs', needs, what: 'a replica ahead of the log begins a new epoch',
    run: believed((head) => ({ ...head, version: head.version + 1 })) },
  { id: 'Q5', section: 'New epochs', needs, what: 'a replica of another history begins a new epoch',
    run: believed((head) => ({ ...head, hash: otherHash(head.hash) })) },
  { id: 'Q6', section: 'New epochs', needs, what: 'a replica of a greater epoch begins one greater than both',
    run: believed((head) => ({ ...head, epoch: LATER_EPOCH })) },
  { id: 'Q7', section: 'New epochs', needs, what: 'nobody else is believed, nor a replica of an epoch before', run: notBelieved },
];

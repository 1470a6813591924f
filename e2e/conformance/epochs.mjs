// A new epoch: its answer, everyone's reset, and what may not be carried over.

import { holds, matches, problem, same, status } from './expect.mjs';
import { genesis, position, positionText } from './rows.mjs';

const section = 'New epochs';
const needs = ['admin'];

async function answer(log) {
  const before = await log.publish({ key: 'a:1' });
  const { json } = status(await log.newEpoch(), 200);
  same('the answer', json, {
    catalog: log.catalog, epoch: json.epoch, version: 0,
    position: positionText({ epoch: json.epoch, version: 0, hash: genesis(json.epoch) }), previous: before.position,
  });
  holds('the greater epoch is the newer', json.epoch > before.epoch, `after ${before.epoch}`, json.epoch);
  same('the status', (await log.status()).position, json.position);
  const page = await log.pageOf('');
  same('a page', [page.epoch, page.to, page.versions], [json.epoch, 0, []]);
}

async function twice(log) {
  const first = status(await log.newEpoch(), 200).json;
  const second = status(await log.newEpoch(), 200).json;
  holds('asked twice it begins two', second.epoch > first.epoch, `after ${first.epoch}`, second.epoch);
  same('the one before', second.previous, first.position);
}

async function everybody(log) {
  await log.keys(['a:1', 'a:2']);
  const followers = await Promise.all([[], ['a:'], ['b:']].map((topics) => log.follow({ topics })));
  followers.push(await log.follow({ from: 'head' }));
  // A follower that has not acknowledged all that it was sent is closed instead.
  await log.untilFollowers('all have acknowledged', (seen) => seen.followers.every(({ lag }) => lag === 0));
  const { json } = await log.newEpoch();
  for (const follower of followers) {
    await follower.until('a reset', () => follower.resets === 1);
    const { reason } = follower.frames.find((frame) => frame.type === 'reset');
    same('where it goes on', positionText(follower.position), json.position);
    matches('the reason', reason, /new epoch/);
  }
  const { position: text, version } = await log.publish({ all: true });
  for (const follower of followers) {
    await follower.reached(1);
    same('the first version after', [version, positionText(follower.position)], [1, text]);
  }
}

async function oldPositions(log) {
  const old = (await log.keys(['a:1', 'a:2'])).map((receipt) => position(receipt.position));
  await log.newEpoch();
  const { position: text } = await log.publish({ key: 'a:3' });
  for (const claim of old) {
    const query = `?epoch=${claim.epoch}&since=${claim.version}&hash=${claim.hash}`;
    same('the reason', problem(await log.page(query), 410, 'reset').reason, 'another epoch');
    const follower = await log.follow({ from: claim });
    same('a follower', [follower.resets, positionText(follower.position)], [1, text]);
    same('its reason', follower.frames[1].reason, 'another epoch');
    same('its versions', follower.versions, []);
  }
}

async function expectOld(log) {
  const { epoch } = await log.publish({ key: 'a:1' });
  const { json } = await log.newEpoch();
  const told = problem(await log.post(JSON.stringify({ key: 'a:1', expect: { epoch, version: 0 } })), 412, 'expect-failed');
  same('the head that is told', told.position, json.position);
  same('the new one', (await log.publish({ key: 'a:1', expect: { epoch: json.epoch, version: 0 } })).version, 1);
}

async function keysStay(log) {
  const headers = { 'idempotency-key': 'one' };
  const first = await log.publish({ key: 'a:1' }, { headers });
  await log.newEpoch();
  same('the first answer again', await log.publish({ key: 'a:1' }, { headers }), first);
  same('the head', (await log.status()).version, 0);
}

async function publisherStays(log) {
  const publisher = await log.publisher();
  await publisher.publish({ key: 'a:1' });
  const { json } = await log.newEpoch();
  const receipt = await publisher.publish({ key: 'a:2' });
  same('its next receipt', [receipt.epoch, receipt.version], [json.epoch, 1]);
}

async function lateAcks(log) {
  const follower = await log.follow({ mute: true });
  await log.keys(['a:1', 'a:2', 'a:3']);
  await follower.reached(3);
  const { json } = await log.newEpoch();
  // The follower sends this ack before it hears of the new epoch.
  follower.ack(3);
  await follower.until('a reset', () => follower.resets === 1);
  follower.mute = false;
  follower.ack();
  const { position: text } = await log.publish({ key: 'a:4' });
  await follower.reached(1);
  same('it goes on', [positionText(follower.position), follower.closed, follower.epoch], [text, undefined, json.epoch]);
}

async function pollEnds(log) {
  const { position: text } = await log.publish({ key: 'a:1' });
  const { epoch, version, hash } = position(text);
  const poll = log.page(`?epoch=${epoch}&since=${version}&hash=${hash}&wait_ms=15000`);
  await log.newEpoch();
  problem(await poll, 410, 'reset');
}

export default [
  { id: 'E1.1', section, needs, what: 'the answer names the new and the old head, and the log is empty', run: answer },
  { id: 'E1.2', section, needs, what: 'asked twice it begins two', run: twice },
  { id: 'E1.3', section, needs, what: 'everyone live is reset, filtered too, and goes on', run: everybody },
  { id: 'E1.4', section, needs, what: 'positions of the epoch before are "another epoch"', run: oldPositions },
  { id: 'E1.5', section, needs, what: '`expect` of the epoch before fails', run: expectOld },
  { id: 'E1.6', section, needs, what: 'an idempotency key keeps its one effect', run: keysStay },
  { id: 'E1.7', section, needs, what: 'a publishing socket goes on', run: publisherStays },
  { id: 'E1.8', section, needs, what: 'an ack of the epoch before that comes late closes nothing', run: lateAcks },
  { id: 'E1.9', section, needs, what: 'a long poll ends with the problem reset', run: pollEnds },
];

// GET …/followers: the connected followers, and how far each has got.

import { same } from './expect.mjs';

const section = 'Addresses';
const needs = ['admin'];

async function acked(log) {
  const follower = await log.follow({ name: 'one', mute: true });
  await log.keys(['a:1', 'a:2', 'a:3']);
  await follower.reached(3);
  follower.ack(2);
  await log.untilFollowers('an ack of 2 is listed', ({ followers }) => followers[0]?.acked === 2);
  const { followers: [{ name, replica, lag, stage }] } = await log.followers();
  same('the follower', { name, replica, lag, stage }, { name: 'one', replica: false, lag: 1, stage: 'live' });
  follower.ack(3);
  await log.untilFollowers('an ack of 3 is listed', ({ followers }) => followers[0].acked === 3 && followers[0].lag === 0);
}

async function leaves(log) {
  const [one, two] = [await log.follow({ name: 'one' }), await log.follow({ name: 'two' })];
  const { followers } = await log.followers();
  same('the names', followers.map(({ name }) => name).sort(), ['one', 'two']);
  same('the number in the status', (await log.status()).followers, 2);
  await one.close();
  await log.untilFollowers('only one is listed', (seen) => seen.followers.length === 1 && seen.followers[0].name === two.name);
}

async function readers(log) {
  await log.keys(['a:1']);
  const { epoch, version } = await log.status();
  const events = await log.events();
  await events.caughtUp();
  const poll = log.pageOf(`?epoch=${epoch}&since=${version}&wait_ms=15000`);
  await log.untilFollowers('a poll and a stream are counted', ({ polls, streams }) => polls === 1 && streams === 1);
  same('neither is a follower', (await log.followers()).followers, []);
  await log.publish({ key: 'a:2' });
  await poll;
  await log.untilFollowers('the poll is over', ({ polls }) => polls === 0);
}

export default [
  { id: 'K1', section, needs, what: 'a follower is listed with what it acknowledged', run: acked },
  { id: 'K2', section, needs, what: 'each is listed and counted, and gone when it has left', run: leaves },
  { id: 'K3', section: 'Pages', needs, what: 'polls and streams are counted, and are no followers', run: readers },
];

// Claims: every row of their table, shown by a page, a follower and a stream of events.

import { holds, problem, same } from './expect.mjs';
import { OTHER_EPOCH, genesis, otherHash, position } from './rows.mjs';

const section = 'Claims';

/** A log of five versions: its epoch, and the position of each version. */
async function five(log) {
  const receipts = await log.keys(['a:1', 'a:2', 'a:3', 'a:4', 'a:5']);
  const { epoch } = receipts[0];
  const at = [{ epoch, version: 0, hash: genesis(epoch) }, ...receipts.map((receipt) => position(receipt.position))];
  return { epoch, at, head: at[5] };
}

function query({ epoch, version, hash }) {
  return `?epoch=${epoch}&since=${version}${hash === undefined ? '' : `&hash=${hash}`}`;
}

/** The claim is not on the log: all three ways must say so, tell the head and send nothing else. */
async function elsewhere(log, claim, reason, head) {
  const told = problem(await log.page(query(claim)), 410, 'reset', ['reason', 'epoch', 'version', 'hash']);
  same('the reason of a page', told.reason, reason);
  same('where a page goes on', { epoch: told.epoch, version: told.version, hash: told.hash }, head);

  const follower = await log.follow({ from: claim });
  same('`resume`', follower.frames[0].resume, 'reset');
  same('the frames of a reset', follower.types().slice(0, 3), ['welcome', 'reset', 'live']);
  const { type, reason: said, ...to } = follower.frames[1];
  same('the reason of a reset', said, reason);
  same('where a reset goes on', to, head);
  await follower.close();

  if (claim.hash === undefined) return;
  const events = await log.events({ last: `${claim.epoch}:${claim.version}:${claim.hash}` });
  await events.caughtUp();
  same('the events of a reset', events.types(), ['reset', 'head']);
  const { frame } = events.events[0];
  same('the reason of a reset event', frame.reason, reason);
  same('where it goes on', { epoch: frame.epoch, version: frame.version, hash: frame.hash }, head);
  events.leave();
}

/** The claim is on the log: all three ways must send exactly what comes after it. */
async function onTheLog(log, claim, after, head) {
  const page = await log.pageOf(query(claim));
  same('the versions of a page', page.versions.map((row) => row.version), after);
  same('from and to of a page', [page.from, page.to, page.hash], [claim.version, head.version, head.hash]);

  const follower = await log.follow({ from: claim });
  same('`resume`', follower.frames[0].resume, after.length === 0 ? 'live' : 'replay');
  same('the versions of a follower', follower.versions.map((row) => row.version), after);
  same('its resets', follower.resets, 0);
  await follower.close();

  if (claim.hash === undefined) return;
  const events = await log.events({ last: `${claim.epoch}:${claim.version}:${claim.hash}` });
  await events.caughtUp();
  same('the versions of a stream', events.versions.map((row) => row.version), after);
  events.leave();
}

async function none(log) {
  const { head } = await five(log);
  const follower = await log.follow({ from: 'head' });
  same('`resume`', follower.frames[0].resume, 'live');
  same('where it begins', follower.position, head);
  same('its versions', follower.versions, []);
  same('a page without a claim', (await log.pageOf('')).versions.length, 5);
  const events = await log.events();
  await events.caughtUp();
  same('a stream without a claim', events.versions.length, 5);
}

async function nothing(log) {
  await five(log);
  const follower = await log.follow({ from: 'start' });
  same('`resume`', follower.frames[0].resume, 'replay');
  same('the versions', follower.versions.map((row) => row.version), [1, 2, 3, 4, 5]);
  same('a page', (await log.pageOf('?since=0')).versions.length, 5);
}

async function nothingOfNew(log) {
  const follower = await log.follow({ from: 'start' });
  holds('`resume` of a log without versions', follower.frames[0].resume !== 'reset', 'no reset', follower.frames[0]);
  await log.publish({ key: 'a:1' });
  await follower.reached(1);
}

async function order(log) {
  const { epoch, head } = await five(log);
  await elsewhere(log, { epoch: OTHER_EPOCH, version: 99, hash: head.hash }, 'another epoch', head);
  await elsewhere(log, { epoch, version: 6, hash: otherHash(head.hash) }, 'ahead of the log', head);
  await elsewhere(log, { epoch: OTHER_EPOCH, version: 0, hash: genesis(epoch) }, 'another epoch', head);
}

async function bad(log) {
  const { epoch, hash } = (await five(log)).head;
  const queries = [
    'since=3', `epoch=${epoch}`, `hash=${hash}`, `since=0&hash=${hash}`, `since=3&hash=${hash}`, 'epoch=x&since=1', `epoch=${epoch.toLowerCase()}&since=1`,
    `epoch=${epoch}&since=-1`, `epoch=${epoch}&since=1.5`, `epoch=${epoch}&since=x`, `epoch=${epoch}&since=9007199254740992`,
    `epoch=${epoch}&since=1&hash=12`, `epoch=${epoch}&since=1&hash=${'G'.repeat(16)}`,
  ];
  for (const words of queries) {
    problem(await log.page(`?${words}`), 400, 'bad-position');
    const path = `/follow?${words.replace('since', 'version')}`;
    problem(await log.upgrade(path, { token: log.tokens.follow }), 400, 'bad-position');
  }
  problem(await log.page('', { accept: 'text/event-stream', 'last-event-id': 'x:1' }), 400, 'bad-position');
}

export default [
  { id: 'C1', section, what: 'none at all is the head to a follower, everything kept to a page and a stream', run: none },
  { id: 'C2', section, what: 'version 0 without epoch is before everything kept', run: nothing },
  { id: 'C3', section, what: 'version 0 on a log without versions', run: nothingOfNew },
  { id: 'C4', section, what: 'another epoch is a reset', run: async (log) => {
    const { at, head } = await five(log);
    await elsewhere(log, { ...at[3], epoch: OTHER_EPOCH }, 'another epoch', head);
  } },
  { id: 'C5', section, what: 'a version above the head is a reset', run: async (log) => {
    const { head } = await five(log);
    await elsewhere(log, { ...head, version: 6 }, 'ahead of the log', head);
    await elsewhere(log, { ...head, version: Number.MAX_SAFE_INTEGER }, 'ahead of the log', head);
  } },
  { id: 'C6', section, what: 'a hash that is not the log\'s at that version is a reset, at every version', run: async (log) => {
    const { at, head } = await five(log);
    for (const claim of at) await elsewhere(log, { ...claim, hash: otherHash(claim.hash) }, 'another history', head);
    await elsewhere(log, { ...at[2], hash: at[3].hash }, 'another history', head);
  } },
  { id: 'C7', section, what: 'a position of the log is on it, and without a hash it is believed', run: async (log) => {
    const { at, head } = await five(log);
    for (const claim of at) {
      const after = at.slice(claim.version + 1).map((one) => one.version);
      await onTheLog(log, claim, after, head);
      await onTheLog(log, { epoch: claim.epoch, version: claim.version }, after, head);
    }
  } },
  { id: 'C8', section, what: 'what is wrong in several ways: the order of the table', run: order },
  { id: 'C9', section, what: 'a position that is none, or not whole, is bad-position', run: bad },
];

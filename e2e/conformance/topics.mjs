// Topics: what passes, and how a filtered follower learns how far it has got.

import { holds, problem, same } from './expect.mjs';

const section = 'Topics';

/** Every kind of change, and for which topics it passes is in the table below. */
const CHANGES = [
  { key: 'a:1' }, { key: 'a:12' }, { key: 'ab:1' }, { key: 'b:1' }, { prefix: 'a' }, { prefix: 'a:1' }, { prefix: 'a:123' },
  { prefix: 'b' }, { prefix: 'a:2' }, { tag: 'x' }, { all: true }, { key: 'a:1', op: 'remove' }, { key: 'b:1', soft: true },
];
const PASS = [
  [['a:'], [1, 2, 5, 6, 7, 9, 10, 11, 12]],
  [['a:1'], [1, 2, 5, 6, 7, 10, 11, 12]],
  [['b:'], [4, 8, 10, 11, 13]],
  [['c:'], [10, 11]],
  [['a:12', 'b:'], [2, 4, 5, 6, 7, 8, 10, 11, 13]],
];

async function replayed(log, topics, versions) {
  await log.lines(CHANGES);
  const follower = await log.follow({ topics });
  await follower.reached(CHANGES.length);
  same('the versions of a replay', follower.versions.map((row) => row.version), versions);
  const query = `?since=0${topics.map((topic) => `&topic=${topic}`).join('')}`;
  same('the same of a page', (await log.pageOf(query)).versions, follower.versions);
  const events = await log.events({ topics });
  await events.reached(CHANGES.length);
  same('the same of a stream', events.versions, follower.versions);
}

async function live(log, topics, versions) {
  const follower = await log.follow({ topics });
  await log.lines(CHANGES);
  // This one passes every filter, so everything before it has been heard.
  const { version } = await log.publish({ all: true });
  await follower.reached(version);
  same('the versions', follower.versions.map((row) => row.version), [...versions, version]);
}

async function cut(log) {
  const follower = await log.follow({ topics: ['a:'] });
  await log.publish({ changes: [{ key: 'b:1' }, { key: 'a:1', tags: ['x'] }, { tag: 'y' }, { prefix: 'b' }] });
  await follower.reached(1);
  same('what is left of a version', follower.versions[0].changes, [{ key: 'a:1', tags: ['x'] }, { tag: 'y' }]);
}

async function hiddenBefore(log) {
  const follower = await log.follow({ topics: ['a:'] });
  await log.keys(['b:1', 'b:2', 'b:3']);
  const { position } = await log.publish({ key: 'a:1' });
  await follower.reached(4);
  const frame = follower.frames.findLast(({ type }) => type === 'changes');
  holds('the frame covers what was hidden before it', frame.from === 0 && frame.to === 4, '(0, 4]', frame);
  same('the position', `${follower.epoch}:4:${follower.position.hash}`, position);
}

async function bookmarks(log) {
  const follower = await log.follow({ topics: ['a:'], from: 'head' });
  for (let n = 0; n < 5; n += 1) {
    await log.keys(Array.from({ length: 500 }, (_, i) => `b:${n}-${i}`));
    const before = (n + 1) * 500;
    if (before >= 1000) await follower.reached(before - 1000);
  }
  await follower.reached(1500);
  const marks = [0, ...follower.frames.filter(({ type }) => type === 'head').map((frame) => frame.version)];
  same('versions', follower.versions, []);
  holds('a bookmark in every thousand', marks.length >= 3, 'at least two', marks);
}

async function emptyPages(log) {
  await log.keys(['b:1', 'b:2']);
  const follower = await log.follow({ topics: ['a:'], from: 'start' });
  await follower.reached(2);
  same('versions', follower.versions, []);
  await follower.close();
  const again = await log.follow({ topics: ['a:'], from: follower.position });
  same('`resume` from the bookmark', again.frames[0].resume, 'live');
}

async function tooMany(log) {
  const of = (count) => `/follow?${Array.from({ length: count }, (_, n) => `topic=t${n}`).join('&')}`;
  problem(await log.upgrade(of(33), { token: log.tokens.follow }), 400, 'bad-request');
  problem(await log.upgrade('/follow?topic=', { token: log.tokens.follow }), 400, 'bad-request');
  same('32 topics', (await log.upgrade(of(32), { token: log.tokens.follow })).status, 101);
}

export default [
  ...PASS.map(([topics, versions], n) => ({
    id: `T1.${n + 1}`, section, what: `what passes ${topics.join(' or ')}, by replay, page and stream`,
    run: (log) => replayed(log, topics, versions),
  })),
  ...PASS.slice(0, 2).map(([topics, versions], n) => ({
    id: `T2.${n + 1}`, section, what: `what passes ${topics.join(' or ')}, live`, run: (log) => live(log, topics, versions),
  })),
  { id: 'T3', section, what: 'of a version only the changes that pass', run: cut },
  { id: 'T4', section, what: 'a live frame begins where the follower was last told to', run: hiddenBefore },
  { id: 'T5', section, what: '`head` at least once in 1,000 hidden versions', run: bookmarks },
  { id: 'T6', section, what: 'a replay in which nothing passes ends at the head', run: emptyPages },
  { id: 'T7', section, what: 'at most 32 topics, and none empty', run: tooMany },
];

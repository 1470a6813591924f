// Frames: the order per kind of resume, the window of a replay, acks, pings; and what closes a socket.

import { holds, matches, same } from './expect.mjs';
import { position } from './rows.mjs';

const keys = (count) => Array.from({ length: count }, (_, n) => `a:${n + 1}`);

/** A version of more than 256 KiB, which ends its page. */
function large(n) {
  const tags = ['x'.repeat(250)];
  return { changes: Array.from({ length: 1000 }, (_, i) => ({ key: `a:${n}-${i}`, tags })) };
}

async function welcome(log) {
  const { position: text } = (await log.keys(keys(2))).at(-1);
  const head = position(text);
  for (const from of ['head', 'start', { ...head, version: 9 }]) {
    const follower = await log.follow({ from });
    const { type, epoch, head: version, hash } = follower.frames[0];
    same('the first frame', { type, epoch, version, hash }, { type: 'welcome', ...head });
    await follower.close();
  }
}

async function orders(log) {
  const { position: text } = (await log.keys(keys(2))).at(-1);
  const head = position(text);
  for (const [topics, last] of [[[], []], [['b:'], ['head']]]) {
    const of = async (from) => {
      const follower = await log.follow({ from, topics });
      if (topics.length > 0) await follower.until('a bookmark', () => follower.types().includes('head'));
      same('where it stands', follower.position, head);
      await follower.close();
      return follower.types().filter((type) => type !== 'changes');
    };
    same('live', (await of('head')).slice(0, 3), ['welcome', 'live', ...last]);
    same('replay', (await of('start')).slice(0, 3), ['welcome', 'live', ...last]);
    same('reset', (await of({ ...head, version: 9 })).slice(0, 4), ['welcome', 'reset', 'live', ...last]);
  }
}

async function overlap(log) {
  await log.keys(keys(3));
  const follower = await log.follow();
  same('the frames of a replay', follower.types(), ['welcome', ...follower.types().filter((type) => type === 'changes'), 'live']);
  const receipts = await log.keys(keys(20));
  await follower.reached(23);
  same('the position', `${follower.epoch}:23:${follower.position.hash}`, receipts.at(-1).position);
}

async function window(log) {
  for (let n = 0; n < 7; n += 1) await log.publish(large(n));
  const follower = await log.follow({ mute: true, untilLive: false });
  const pages = () => follower.types().filter((type) => type === 'changes').length;
  await follower.until('four pages', () => pages() >= 4);
  // Pages that were on their way came before the pong.
  for (let n = 0; n < 3; n += 1) await follower.ping();
  same('pages without an ack', pages(), 4);
  same('it is not live', follower.live, false);
  follower.ack(1);
  await follower.until('the fifth page, after one ack', () => pages() >= 5);
  for (let n = 0; n < 3; n += 1) await follower.ping();
  same('pages after one ack', pages(), 5);
  follower.ack(5);
  await follower.until('`live`', () => follower.live);
  same('the position', follower.position.version, 7);
}

async function duringReplay(log) {
  for (let n = 0; n < 6; n += 1) await log.publish(large(n));
  const follower = await log.follow({ mute: true, untilLive: false });
  const pages = () => follower.types().filter((type) => type === 'changes').length;
  await follower.until('four pages', () => pages() >= 4);
  const { version } = await log.publish({ key: 'late:1' });
  follower.mute = false;
  follower.ack();
  await follower.until('`live`', () => follower.live);
  await follower.reached(version);
  same('the versions', follower.versions.map((row) => row.version), [1, 2, 3, 4, 5, 6, 7]);
}

async function frameSize(log) {
  const follower = await log.follow();
  await log.lines([large(0), { key: 'a:1' }, ...[1, 2, 3, 4, 5].map(large), { key: 'a:2' }]);
  await follower.reached(8);
  for (const frame of follower.frames.filter(({ type }) => type === 'changes')) {
    const before = JSON.stringify(frame.versions.slice(0, -1)).length;
    holds('what stands before the last version of a frame', before <= 1 << 20, 'at most 1 MiB', before);
  }
}

async function pings(log) {
  const follower = await log.follow({ from: 'head' });
  matches('a pong', await follower.ping(), /^\S+$/);
  for (let n = 1; n <= 20; n += 1) {
    const receipt = await log.publish({ key: `a:${n}` });
    same('a pong after a receipt', await follower.ping(), receipt.position);
  }
}

async function acks(log) {
  const follower = await log.follow();
  await log.keys(keys(5));
  await follower.reached(5);
  for (const version of [5, 3, 5, 0]) follower.ack(version);
  const { position: head } = await log.publish({ key: 'a:6' });
  await follower.reached(6);
  same('an ack that goes back closes nothing', await follower.ping(), head);
}

/** An ack that would be good if it were shorter. */
const LONG = `{"type":"ack","version":0,"x":"${'x'.repeat(4096)}"}`;

/** Sends something bad: that follower is closed, and another one hears the next version. */
function bad(text, code = 'bad-frame') {
  return async (log) => {
    const [victim, other] = [await log.follow({ from: 'head', name: 'bad' }), await log.follow({ from: 'head', name: 'good' })];
    victim.send(text);
    await victim.closesWith(4500, code);
    const { version } = await log.publish({ key: 'a:1' });
    await other.reached(version);
    same('the other stays', other.closed, undefined);
  };
}

async function flood(log) {
  const [victim, other] = [await log.follow({ from: 'head', name: 'loud' }), await log.follow({ from: 'head', name: 'good' })];
  for (let n = 0; n < 600; n += 1) victim.ack(0);
  await victim.closesWith(4009);
  if (victim.error) same('the error', victim.error.code, 'busy');
  const { version } = await log.publish({ key: 'a:1' });
  await other.reached(version);
}

async function afterwards(log) {
  await log.keys(keys(3));
  const follower = await log.follow();
  follower.send('{"type":"nonsense"}');
  await follower.closesWith(4500);
  await log.publish({ key: 'a:4' });
  await follower.connect();
  same('it comes back from where it was', follower.versions.map((row) => row.version), [1, 2, 3, 4]);
}

async function sharedName(log) {
  const followers = [];
  for (let n = 0; n < 3; n += 1) followers.push(await log.follow({ from: 'head', name: 'shared' }));
  const { version } = await log.publish({ key: 'a:1' });
  for (const follower of followers) await follower.reached(version);
  same('who was closed', followers.filter((follower) => follower.closed).length, 0);
}

export default [
  { id: 'F1', section: 'Frames', what: 'welcome is first, with epoch, head, hash, resume', run: welcome },
  { id: 'F2', section: 'A socket opens', what: 'live, replay and reset, each with `head` to a filter', run: orders },
  { id: 'F3', section: 'A socket opens', what: 'pages, `live` with the last, then changes as they are made', run: overlap },
  { id: 'F4', section: 'A socket opens', what: 'at most 4 pages of a replay are unacknowledged', run: window },
  { id: 'F5', section: 'A socket opens', what: 'what is published during a replay comes in its pages', run: duringReplay },
  { id: 'F6', section: 'Frames', what: 'a frame for live followers ends with the first version past 1 MiB', run: frameSize },
  { id: 'F7', section: 'Frames', what: 'a pong tells everything committed before the ping', run: pings },
  { id: 'F8', section: 'Frames', what: 'an ack never goes back, and one that does closes nothing', run: acks },
  { id: 'S1', section: 'Close codes', what: 'no JSON: error, 4500, that follower only', run: bad('nonsense') },
  { id: 'S2', section: 'Close codes', what: 'an unknown type: error, 4500, that follower only', run: bad('{"type":"nonsense"}') },
  { id: 'S3', section: 'Close codes', what: 'an ack without a version: error, 4500', run: bad('{"type":"ack"}') },
  { id: 'S4', section: 'Close codes', what: 'an ack above the head: error, 4500', run: bad('{"type":"ack","version":1}') },
  { id: 'S5', section: 'Close codes', what: 'binary: error, 4500', run: bad(new Uint8Array([1, 2])) },
  { id: 'S6', section: 'Close codes', what: 'more than 4,096 bytes: error, 4500', run: bad(LONG) },
  { id: 'S7', section: 'Close codes', what: '600 acks that nobody asked for: 4009', run: flood },
  { id: 'S8', section: 'Close codes', what: 'whoever was closed comes back from where it was', run: afterwards },
  { id: 'S9', section: 'A socket opens', what: 'followers that are no replicas may share a name', run: sharedName },
];

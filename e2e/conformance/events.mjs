// Events: the log as server-sent events.

import { holds, problem, same } from './expect.mjs';
import { OTHER_EPOCH, positionText } from './rows.mjs';

const section = 'Events';
const keys = (count) => Array.from({ length: count }, (_, n) => `a:${n + 1}`);

async function everything(log) {
  await log.keys(keys(5));
  const events = await log.events();
  await events.caughtUp();
  holds('the first line', /^retry: ?\d+$/.test(events.first), 'retry', events.first);
  holds('retry', events.retry >= 1000 && events.retry <= 5000, '1000 to 5000', events.retry);
  const live = await log.publish({ key: 'a:6' });
  await events.reached(6);
  same('the last id', events.last, live.position);
  same('the versions', events.versions, (await log.pageOf('?since=0')).versions);
}

async function limit(log) {
  await log.keys(keys(5));
  const events = await log.events({ query: '?since=0&limit=2' });
  await events.caughtUp();
  same('the events', events.types(), ['changes', 'changes', 'changes', 'head']);
  same('how far each went', events.events.map((event) => event.frame.to ?? event.frame.version), [2, 4, 5, 5]);
}

async function resumed(log) {
  const receipts = await log.keys(keys(4));
  for (const [n, { epoch, position }] of receipts.entries()) {
    const events = await log.events({ query: `?epoch=${epoch}&since=0`, last: position });
    await events.caughtUp();
    same(`the versions after ${n + 1}`, events.versions.map((row) => row.version), [1, 2, 3, 4].slice(n + 1));
    events.leave();
  }
}

async function fromQuery(log) {
  const [, { epoch, position }] = await log.keys(keys(4));
  const events = await log.events({ query: `?epoch=${epoch}&since=2&hash=${position.slice(-16)}`, last: '' });
  // Without a Last-Event-ID the reader knows where it stands from its query only.
  events.last = position;
  await events.caughtUp();
  same('the versions', events.versions.map((row) => row.version), [3, 4]);
}

async function topics(log) {
  await log.lines([{ changes: [{ key: 'a:1' }, { key: 'b:1' }] }, { key: 'b:2' }]);
  const events = await log.events({ topics: ['a:'] });
  await events.reached(2);
  same('what passes', events.versions.map((row) => row.changes), [[{ key: 'a:1' }]]);
  await log.publish({ key: 'b:3' });
  const shown = await log.publish({ tag: 'x' });
  await events.reached(shown.version);
  same('the versions', events.versions.map((row) => row.version), [1, 4]);
  same('the last id', events.last, shown.position);
}

async function afterReset(log) {
  const { position } = (await log.keys(keys(3))).at(-1);
  const events = await log.events({ last: positionText({ epoch: OTHER_EPOCH, version: 2, hash: position.slice(-16) }) });
  await events.caughtUp();
  same('the events', events.types(), ['reset', 'head']);
  same('where it goes on', events.last, position);
  const next = await log.publish({ key: 'a:4' });
  await events.reached(4);
  same('what comes then', [events.versions.map((row) => row.version), events.last], [[4], next.position]);
}

async function manyReaders(log) {
  const readers = await Promise.all(Array.from({ length: 10 }, () => log.events()));
  const receipts = await log.keys(keys(50));
  for (const reader of readers) {
    await reader.reached(50);
    same('the last id', reader.last, receipts.at(-1).position);
    same('the number of versions', reader.versions.length, 50);
  }
}

async function tooMany(log) {
  const readers = await Promise.all(Array.from({ length: 256 }, () => log.events()));
  const refused = await log.page('', { accept: 'text/event-stream' });
  problem(refused, 429, 'busy');
  same('Retry-After', refused.headers.get('retry-after'), '1');
  await log.publish({ key: 'a:1' });
  for (const reader of readers) await reader.reached(1);
}

async function newEpoch(log) {
  const before = await log.publish({ key: 'a:1' });
  const events = await log.events();
  await events.caughtUp();
  const { json } = await log.newEpoch();
  await events.until('the event `reset`', () => events.types().includes('reset'));
  same('where it goes on', events.events.find((event) => event.type === 'reset').id, json.position);
  holds('the new epoch', json.epoch > before.epoch, `after ${before.epoch}`, json.epoch);
  await log.publish({ key: 'a:2' });
  await events.until('a version of the new epoch', () => events.versions.length === 1);
  same('it', events.versions[0].version, 1);
}

export default [
  { id: 'V1', section, what: 'retry first, then everything kept, `head`, and each version as it is made', run: everything },
  { id: 'V2', section, what: 'at most `limit` versions an event', run: limit },
  { id: 'V3', section, what: 'Last-Event-ID resumes without gap or repeat, and wins over the query', run: resumed },
  { id: 'V4', section, what: 'a position in the query', run: fromQuery },
  { id: 'V5', section, what: 'topics, and ids that move over what they hide', run: topics },
  { id: 'V6', section, what: 'after a reset it goes on from the head', run: afterReset },
  { id: 'V7', section, what: 'ten streams get fifty versions, each the whole log', run: manyReaders },
  { id: 'V8', section, what: 'the 257th stream of a catalog is busy, the others go on', run: tooMany },
  { id: 'V9', section, what: 'a new epoch is a reset to an open stream', needs: ['admin'], run: newEpoch },
];

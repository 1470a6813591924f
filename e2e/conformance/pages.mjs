// Pages: what they hold, how they are kept, and how they wait.

import { holds, matches, problem, same, status } from './expect.mjs';
import { canonicalRows, chain, genesis, position } from './rows.mjs';

const section = 'Pages';
const KEPT = 'private, max-age=86400, immutable';
const keys = (count) => Array.from({ length: count }, (_, n) => `a:${n + 1}`);
const after = ({ epoch, to, hash }) => `?epoch=${epoch}&since=${to}&hash=${hash}`;
const kept = (answer) => answer.headers.get('cache-control');

async function walk(log) {
  const receipts = await log.keys(keys(9));
  for (const limit of [1, 2, 4, 9, 1000]) {
    let [hash, version] = [genesis(receipts[0].epoch), 0];
    for (let at = '?since=0'; version < 9; ) {
      const { text, json } = status(await log.page(`${at}&limit=${limit}`), 200);
      const rows = canonicalRows(text);
      same('from, to, head of a page', [json.from, json.to, json.head], [version, Math.min(9, version + limit), 9]);
      same('its versions', json.versions.map((row) => row.version), Array.from(rows, (_, n) => version + 1 + n));
      hash = chain(hash, rows);
      same('its hash, from the rows', json.hash, hash);
      version = json.to;
      at = after(json);
    }
  }
}

async function limit(log) {
  await log.keys(keys(1001));
  same('the default limit', (await log.pageOf('?since=0')).to, 1000);
  for (const wrong of ['0', '1001', '-1', 'x']) problem(await log.page(`?limit=${wrong}`), 400, 'bad-request');
}

async function nothing(log) {
  const { position: head } = await log.publish({ key: 'a:1' });
  const { epoch, version, hash } = position(head);
  const page = await log.pageOf(`?epoch=${epoch}&since=${version}&hash=${hash}`);
  const { from, to, head: at, versions } = page;
  same('an empty page', [from, to, at, page.hash, versions], [1, 1, 1, hash, []]);
}

async function topics(log) {
  await log.lines([{ changes: [{ key: 'a:1' }, { key: 'b:1' }] }, { key: 'c:1' }, { tag: 'x' }, { key: 'c:2' }]);
  const all = await log.pageOf('?since=0');
  const some = await log.pageOf('?since=0&topic=b:');
  same('what passes', some.versions.map((row) => [row.version, row.changes]), [[1, [{ key: 'b:1' }]], [3, [{ tag: 'x' }]]]);
  same('to and hash are of the whole log', [some.to, some.hash], [4, all.hash]);
  const hidden = await log.pageOf('?since=0&limit=1&topic=c:');
  same('the limit counts before the filter', [hidden.to, hidden.versions], [1, []]);
}

async function badQueries(log) {
  for (const query of ['?topic=', '?wait_ms=30001', '?wait_ms=-1', '?wait_ms=soon', `?${'topic=a&'.repeat(33)}`]) {
    problem(await log.page(query), 400, 'bad-request');
  }
  status(await log.page(`?${Array.from({ length: 32 }, (_, n) => `topic=a${n}`).join('&')}`), 200);
}

async function caching(log) {
  await log.keys(keys(7));
  const first = await log.page('?since=0&limit=2');
  same('without an epoch', kept(first), 'no-store');
  const cut = await log.page(`${after(first.json)}&limit=3`);
  same('cut by its limit', kept(cut), KEPT);
  const rest = await log.page(`${after(cut.json)}&limit=2`);
  same('cut by its limit at the head', [rest.json.to, kept(rest)], [rest.json.head, KEPT]);
  same('one that a publish makes longer', kept(await log.page(after(cut.json))), 'no-cache');
  same('an empty one', kept(await log.page(after(rest.json))), 'no-cache');
}

async function etags(log) {
  await log.keys(keys(3));
  const address = after(await log.pageOf('?since=0&limit=1'));
  const first = status(await log.page(address), 200);
  const etag = first.headers.get('etag');
  matches('the ETag', etag, /^(W\/)?"[^"]+"$/);
  for (const known of [etag, `"other", ${etag}`]) {
    const same304 = status(await log.page(address, { 'if-none-match': known }), 304);
    same('the body of a 304', same304.text, '');
  }
  same('another tag', (await log.page(address, { 'if-none-match': '"other"' })).status, 200);
  await log.publish({ key: 'a:4' });
  const longer = status(await log.page(address, { 'if-none-match': etag }), 200);
  holds('the ETag changes with the head', longer.headers.get('etag') !== etag, 'another', etag);
  same('the longer page', longer.json.to, 4);
}

async function etagOfAll(log) {
  await log.keys(keys(2));
  const pages = ['?since=0', '?since=0&limit=1', `${after(await log.pageOf('?since=0'))}`, '?since=0&topic=b:', ''];
  for (const query of pages) {
    const etag = status(await log.page(query), 200).headers.get('etag');
    same(`a page ${query} asked again with its ETag`, (await log.page(query, { 'if-none-match': etag ?? '' })).status, 304);
  }
}

async function poll(log) {
  await log.keys(keys(2));
  const address = after(await log.pageOf('?since=0'));
  const polls = [1, 2, 3].map(() => log.page(`${address}&wait_ms=15000`));
  const { position: head } = await log.publish({ key: 'a:3' });
  for (const answer of await Promise.all(polls)) {
    const page = status(answer, 200).json;
    same('what ends a poll', page.versions.map((row) => row.version), [3]);
    same('its position', `${page.epoch}:${page.to}:${page.hash}`, head);
  }
}

async function pollEnds(log) {
  await log.keys(keys(2));
  const address = after(await log.pageOf('?since=0'));
  const started = performance.now();
  const page = await log.pageOf(`${address}&wait_ms=500`);
  const took = Math.round(performance.now() - started);
  holds('a poll without a publish', took >= 490, 'it waits 500 ms', `${took} ms`);
  same('its answer', [page.from, page.to, page.versions], [2, 2, []]);
}

async function pollNow(log) {
  await log.keys(keys(2));
  const started = performance.now();
  same('the versions', (await log.pageOf('?since=0&wait_ms=15000')).versions.length, 2);
  holds('what is there is answered at once', performance.now() - started < 10_000, 'without waiting', 'it waited');
}

async function pollTopics(log) {
  await log.keys(['a:1']);
  const address = `${after(await log.pageOf('?since=0'))}&topic=b:`;
  const waiting = log.pageOf(`${address}&wait_ms=15000`);
  await log.publish({ key: 'a:2' });
  const shown = await log.publish({ key: 'b:1' });
  let page = await waiting;
  // A poll that comes late finds both there already; one that waited is ended by the one that passes.
  same('what ends the poll', [page.to, page.versions.map((row) => row.changes)], [shown.version, [[{ key: 'b:1' }]]]);
  const late = log.pageOf(`${after(page)}&topic=b:&wait_ms=600`);
  const hidden = await log.publish({ key: 'a:3' });
  page = await late;
  same('at its end, over what was hidden', [page.to, page.versions], [hidden.version, []]);
}

export default [
  { id: 'L1', section, what: 'a walk by pages of any size is the log, each with the hash of its end', run: walk },
  { id: 'L2', section, what: 'limit is 1 to 1,000, by default 1,000', run: limit },
  { id: 'L3', section, what: 'a page at the head is empty and stays there', run: nothing },
  { id: 'L4', section, what: 'topics filter the versions, not the position; limit counts before', run: topics },
  { id: 'L5', section, what: 'topic, wait_ms: what cannot be read is bad-request; 32 topics, not 33', run: badQueries },
  { id: 'L6', section: 'Pages', what: 'every row of the table of Cache-Control', run: caching },
  { id: 'L7', section: 'Pages', what: 'an ETag is answered 304 until the head moves', run: etags },
  { id: 'L8', section: 'Pages', what: 'every page has an ETag', run: etagOfAll },
  { id: 'L9', section: 'Pages', what: 'it is ended by the next version', run: poll },
  { id: 'L10', section: 'Pages', what: 'at the end of its time it is empty', run: pollEnds },
  { id: 'L11', section: 'Pages', what: 'what is there already is answered at once', run: pollNow },
  { id: 'L12', section: 'Pages', what: 'only what passes the topics ends it; `to` moves over the rest', run: pollTopics },
];

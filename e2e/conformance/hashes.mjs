// Positions, rows, hashes: all computed here from what the document says, and compared with what is sent.

import { holds, same } from './expect.mjs';
import { canonicalRows, chain, genesis, rawRows } from './rows.mjs';

const section = 'Positions, rows, hashes';

/** The examples of the document: the kit is checked before it checks a deployment. */
async function examples() {
  const epoch = '01ARYZ6S410000000000000000';
  const rows = [
    '{"version":1,"at":1767225600000,"changes":[{"key":"title:603","tags":["platform:netflix"]}]}',
    '{"version":2,"at":1767225600500,"changes":[{"key":"title:604","op":"remove"},{"tag":"platform:hulu","soft":true}]}',
    String.raw`{"version":3,"at":1767225601000,"changes":[{"key":"title:\u6620\u753b"}]}`,
  ];
  same('hash(0)', genesis(epoch), '7ae264e1fd7e3c55');
  same('hash(1)', chain(genesis(epoch), rows.slice(0, 1)), '68af3c045ca45573');
  same('hash(3)', chain(genesis(epoch), rows), '2fc6e70082c1813d');
  same('rows cut out of a page', canonicalRows(`{"versions":[${rows.join(',')}],"x":1}`), rows);
}

/** Texts that a publisher may write, each with the only row it may become. */
const WRITTEN = [
  ['{ "op" : "update", "soft" : false, "key" : "a:1" }', '[{"key":"a:1"}]'],
  ['{"tags":[],"key":"a:1"}', '[{"key":"a:1"}]'],
  ['{"tags":["x","x"],"soft":true,"key":"a:1"}', '[{"key":"a:1","soft":true,"tags":["x"]}]'],
  ['{"tags":["x"],"op":"remove","key":"a:1"}', '[{"key":"a:1","op":"remove","tags":["x"]}]'],
  ['{"soft":true,"all":true}', '[{"all":true,"soft":true}]'],
  [String.raw`{"key":"a:\u0041\/\u00e9"}`, String.raw`[{"key":"a:A/\u00e9"}]`],
  ['{"key":"映:画"}', String.raw`[{"key":"\u6620:\u753b"}]`],
  ['{"key":"a:🎬"}', String.raw`[{"key":"a:\ud83c\udfac"}]`],
  [String.raw`{"key":"a:\"\\"}`, String.raw`[{"key":"a:\"\\"}]`],
  ['{"changes":[{"prefix":"é"},{"soft":true,"tag":"y"}]}', String.raw`[{"prefix":"\u00e9"},{"tag":"y","soft":true}]`],
];

async function shortest(log) {
  for (const [body] of WRITTEN) same(`the status of ${body}`, (await log.post(body)).status, 200);
  const rows = rawRows((await log.page('?since=0')).text);
  const seen = rows.map((row) => row.slice(row.indexOf('"changes":') + 10, -1));
  same('the bytes of the rows', seen, WRITTEN.map(([, row]) => row));
}

async function receipts(log) {
  const positions = [];
  for (const [body] of WRITTEN) positions.push((await log.post(body)).json.position);
  const { text, json } = await log.page('?since=0');
  const rows = canonicalRows(text);
  let hash = genesis(json.epoch);
  same('as many rows as receipts', rows.length, positions.length);
  rows.forEach((row, n) => {
    hash = chain(hash, [row]);
    same(`the position of receipt ${n + 1}`, positions[n], `${json.epoch}:${n + 1}:${hash}`);
  });
  same('the hash of the page', json.hash, hash);
}

async function everywhere(log) {
  const follower = await log.follow();
  const events = await log.events();
  const publisher = await log.publisher();
  await Promise.all(WRITTEN.map(([body]) => publisher.publish(body)));
  const { position, version } = await log.publish({ all: true });
  await follower.reached(version);
  await events.reached(version);
  const rows = rawRows((await log.page('?since=0')).text);
  same('the rows of a follower and of a page', follower.rows, rows);
  const held = `${follower.position.epoch}:${version}:${chain(genesis(follower.epoch), follower.rows)}`;
  same('the position computed by a follower', held, position);
  same('the last id of a stream', events.last, position);
  same('the status', (await log.status()).position, position);
  same('the pong', await follower.ping(), position);
}

async function ascii(log) {
  await log.publish({ key: 'a:映画', tags: ['x'] });
  for (const { text, asked } of [await log.page('?since=0'), await log.page('?since=0&topic=a:')]) {
    holds(`the text of ${asked}`, /^[\x20-\x7e]*$/.test(text), 'ASCII only', text);
  }
  const filtered = await log.follow({ topics: ['a:'] });
  same('a filtered row', filtered.rows, rawRows((await log.page('?since=0')).text));
}

const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

async function causes(log) {
  const event = { name: 'postgres:é', id: '16/B374D848', at: 1767225600480 };
  const headers = { traceparent: TRACE };
  const own = TRACE.replace('4bf92f35', '00000001');
  for (const [body, more] of [
    [{ all: true }, { headers }],
    [{ key: 'a:1', source: event, traceparent: own }, { headers }],
    [{ key: 'a:2', traceparent: TRACE.replace('-01', '-00') }],
    [{ key: 'a:3' }, { headers: { traceparent: 'none' } }],
  ]) same(`the status of ${JSON.stringify(body)}`, (await log.post(JSON.stringify(body), more)).status, 200);
  const { text } = await log.page('?since=0');
  const seen = canonicalRows(text).map((row) => JSON.parse(row)).map(({ traceparent, source }) => [traceparent, source]);
  same('what the rows are of', seen, [[TRACE, undefined], [own, event], [undefined, undefined], [undefined, undefined]]);
  const follower = await log.follow({ topics: ['a:'] });
  same('filtered rows', follower.rows, rawRows((await log.page('?since=0&topic=a:')).text));
  const status = await log.status();
  same('the status', status.position, `${status.epoch}:4:${chain(genesis(status.epoch), rawRows(text))}`);
}

async function filteredHash(log) {
  await log.keys(['a:1', 'b:1', 'a:2', 'b:2']);
  const { position } = await log.status();
  for (const topics of [['a:'], ['c:']]) {
    const follower = await log.follow({ topics });
    await follower.reached(4);
    same(`the hash told to ${topics}`, `${follower.epoch}:4:${follower.position.hash}`, position);
  }
}

export default [
  { id: 'H1', section, what: 'the examples of the document (asks nobody)', run: examples },
  { id: 'H2', section, what: 'a row is the shortest canonical ASCII form of what was published', run: shortest },
  { id: 'H3', section, what: 'the hash of each receipt, computed from the epoch and the rows', run: receipts },
  { id: 'H4', section, what: 'page, follower, stream, status, pong and receipt tell one position', run: everywhere },
  { id: 'H5', section, what: 'what is not ASCII is escaped, in pages and frames, filtered too', run: ascii },
  { id: 'H6', section, what: 'a filtered follower is told the hash of the whole log', run: filteredHash },
  { id: 'H7', section: 'What a publish is of', what: 'a trace and a source stand behind the changes of the row', run: causes },
];

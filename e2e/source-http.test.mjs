// `newsreel source http` against scripted APIs: the four kinds, as TMDB, TheTVDB, Gracenote and XMLTV guides have them, and
// every misbehaviour that public APIs show.

import { strictEqual as same, deepStrictEqual as sameAll, match, ok } from 'node:assert';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { Api, HttpSource, misbehave } from './api.mjs';
import { reached, until } from './source.mjs';
import { startBroker } from './served.mjs';

const OFTEN = 'every = "100 ms"\n';

/** Movies that changed, by day, as TMDB lists them: `{ id, adult }` without a time, 2 a page. */
const tmdb = (changed) => (url) => {
  const at = (name) => url.searchParams.get(name);
  const days = (Date.parse(at('end_date')) - Date.parse(at('start_date'))) / 86_400_000;
  if (!(days >= 0 && days <= 14)) return { status: 422, body: { success: false, status_message: 'at most 14 days' } };
  const listed = changed.filter(({ day }) => day >= at('start_date') && day <= at('end_date'));
  const page = Number(at('page'));
  const results = listed.slice(page * 2 - 2, page * 2).map(({ id }) => ({ id, adult: false }));
  return { body: { results, page, total_pages: Math.max(1, Math.ceil(listed.length / 2)), total_results: listed.length } };
};

const TMDB = (url, fields = '') => `[[feed]]
name = "tmdb-movies"
kind = "updated-since"
url = "${url}/3/movie/changes?start_date={since}&end_date={until}&page={page}"
headers = { Authorization = "Bearer \${TMDB_TOKEN}" }
time = "date"
overlap = "1 d"
window = "14 d"
items = "/results"
pages = "/total_pages"
error = "/status_message"
repeat = "1 h"
${OFTEN}${fields}
[[map]]
from = "tmdb-movies"
key = "movie:{id}"
`;
process.env.TMDB_TOKEN = 'a-secret-of-tests';

const day = (ago = 0) => new Date(Date.now() - ago * 86_400_000).toISOString().slice(0, 10);
const keys = (versions) => versions.map((changes) => changes.map(({ key, op }) => (op ? `${op} ${key}` : key)));

test('TMDB: days in windows and pages, and whatever goes wrong changes nothing and loses nothing', async (t) => {
  const broker = await startBroker(t);
  const changed = [1, 2, 3].map((id) => ({ id, day: day() }));
  const api = await Api.start(t, tmdb(changed));
  const source = new HttpSource(t, { broker, map: TMDB(api.url, 'timeout = "1 s"') }).start();
  await until(async () => (await broker.status()).version === 1, () => source.log);
  match(source.log, /nothing is known of an earlier run; everything that its rules cover is published as changed/);
  same(api.asked[0].headers.authorization, 'Bearer a-secret-of-tests');
  for (const [number, show] of [misbehave.status(500), misbehave.errorIn200, misbehave.cutOff, misbehave.hangUp, misbehave.silent, misbehave.html].entries()) {
    api.next.push(show);
    changed.push({ id: 10 + number, day: day() });
    sameAll(keys(await reached(broker, source, 2 + number)).at(-1), [`movie:${10 + number}`]);
  }
  for (const said of [/500 Internal|500/, /over limit/, /not JSON: EOF while parsing .* at line 1 column \d+/, /nothing of it was published/]) match(source.log, said);
  ok(!source.log.includes('a-secret-of-tests'), 'no secret is told');
  await source.kill();
});

test('a feed that was away catches up in windows that the API answers', async (t) => {
  const broker = await startBroker(t);
  const changed = [{ id: 1, day: day() }];
  const api = await Api.start(t, tmdb(changed));
  api.ahead = -40 * 86_400_000;
  const source = new HttpSource(t, { broker, map: TMDB(api.url), flags: ['--once'] }).start();
  same(await source.ended(), 0, source.log);
  api.ahead = 0;
  changed.push({ id: 2, day: day(35) }, { id: 3, day: day(20) });
  source.start();
  same(await source.ended(), 0, source.log);
  const published = keys(await reached(broker, source, 2)).flat();
  sameAll([...new Set(published)].sort(), ['movie:1', 'movie:2', 'movie:3'].sort());
  same(published.length, new Set(published).size, 'nothing is published twice');
});

/** Entities as TheTVDB tells of them: one stamp a second, deletes, and merges of two. */
const tvdb = (records) => (url) => {
  const since = Number(url.searchParams.get('since'));
  const page = Number(url.searchParams.get('page') ?? 0);
  const listed = records.filter(({ timeStamp, visibleAt = 0 }) => timeStamp >= since && Date.now() >= visibleAt);
  const next = listed.length > (page + 1) * 2 ? `/v4/updates?since=${since}&page=${page + 1}` : null;
  return { body: { status: 'success', data: listed.slice(page * 2, page * 2 + 2).map(({ visibleAt, ...record }) => record), links: { next } } };
};

const TVDB = (url, fields = '') => `[[feed]]
name = "tvdb"
kind = "updated-since"
url = "${url}/v4/updates?since={since}"
overlap = "10 s"
items = "/data"
next = "/links/next"
id = ["/entityType", "/recordId"]
stamp = "/timeStamp"
${OFTEN}${fields}
[[map]]
from = "tvdb"
key = "{entityType}:{recordId}"
removed_when = { methodInt = [3] }
[[map]]
from = "tvdb"
key = "{mergeToEntityType}:{mergeToId}"
when = { mergeToEntityType = ["series", "movies"] }
`;

test('TheTVDB: updates, deletes and merges by the clock of the server, late ones too, each once', async (t) => {
  const broker = await startBroker(t);
  const records = [];
  const api = await Api.start(t, tvdb(records));
  // The clock there is an hour behind the one here.
  api.ahead = -3_600_000;
  const add = (recordId, methodInt, more = {}) => records.push({ entityType: 'series', recordId, methodInt, timeStamp: Math.floor(api.now() / 1000), ...more });
  const source = new HttpSource(t, { broker, map: TVDB(api.url) }).start();
  await until(async () => (await broker.status()).version === 1, () => source.log);
  const none = { mergeToId: 0, mergeToEntityType: '' };
  add(5, 2, none);
  sameAll(keys(await reached(broker, source, 2)).at(-1), ['series:5']);
  add(7, 3, { mergeToId: 9, mergeToEntityType: 'series' });
  sameAll(keys(await reached(broker, source, 3)).at(-1), ['remove series:7', 'series:9']);
  // A change of five seconds ago that the API tells only now, amid others of now: three pages.
  add(11, 2, { ...none, timeStamp: Math.floor(api.now() / 1000) - 5 });
  sameAll(keys(await reached(broker, source, 4)).at(-1), ['series:11']);
  const answers = api.asked.length;
  await until(() => api.asked.length > answers + 20, 'more rounds');
  same((await broker.status()).version, 4, 'what every window reports is published once');
  await source.kill();
});

/** A stream of updates as Gracenote has it: XML, `updateId`, two programs an answer, and what is forgotten is 410. */
const gracenote = (programs, oldest = { id: 0 }) => (url) => {
  const from = Number(url.searchParams.get('updateId'));
  if (from !== 0 && from < oldest.id) return { status: 410, body: '<on/>' };
  const max = Math.max(0, ...programs.map(({ updateId }) => updateId));
  const rest = programs.filter(({ updateId }) => updateId >= from).sort((a, b) => a.updateId - b.updateId);
  const next = rest[2] ? `<nextUpdateId>${rest[2].updateId}</nextUpdateId>` : '';
  const rows = rest.slice(0, 2).map(({ id, updateId, deleted }) => `<program TMSId="${id}" updateId="${updateId}"${deleted ? ' deleted="true"' : ''}><title>x &amp; y</title></program>`);
  return { body: `<?xml version="1.0"?><on><header><streamData>${next}<maxUpdateId>${max}</maxUpdateId></streamData></header><programs>${rows.join('')}</programs></on>`, gzip: true };
};

const GRACENOTE = (url) => `[[feed]]
name = "gracenote"
kind = "cursor"
url = "${url}/v3/Programs?updateId={cursor}&limit=2&api_key=\${TMDB_TOKEN}"
format = "xml"
items = "/on/programs/program"
cursor = "/on/header/streamData/nextUpdateId"
last = "/on/header/streamData/maxUpdateId"
start = "0"
${OFTEN}
[[map]]
from = "gracenote"
key = "program:{TMSId}"
[[map]]
from = "gracenote"
key = "deleted:{TMSId}"
when = { deleted = ["true"] }
`;

test('Gracenote: a cursor moves with what is durable, and one that was forgotten is a wide change', async (t) => {
  const broker = await startBroker(t);
  const programs = [1, 2, 3, 4, 5].map((n) => ({ id: `MV${n}`, updateId: n * 10 }));
  const oldest = { id: 0 };
  const api = await Api.start(t, gracenote(programs, oldest));
  const source = new HttpSource(t, { broker, map: GRACENOTE(api.url) }).start();
  await until(async () => (await broker.status()).version === 1, () => source.log);
  await until(() => api.asked.some(({ path }) => path.includes('updateId=51&')), 'the end of the stream is one above its last');
  programs.push({ id: 'MV2', updateId: 60 }, { id: 'MV9', updateId: 70 }, { id: 'MV2', updateId: 80 });
  sameAll(keys(await reached(broker, source, 3)), [['program:MV2', 'program:MV9'], ['program:MV2']]);
  // The stream was made anew: what it numbered before, it does not know.
  oldest.id = 1000;
  for (const program of programs) program.updateId += 1000;
  const wide = (await reached(broker, source, 4)).at(-1);
  sameAll(wide, [{ prefix: 'deleted:' }, { prefix: 'program:' }]);
  match(source.log, /the API forgot what it was asked for \(cursor=81\)/);
  ok(!source.log.includes('a-secret-of-tests'), 'no secret is told');
  await source.kill();
});

test('etag: a body is published when it changes, by redirects and with back-off', async (t) => {
  const broker = await startBroker(t);
  const body = { week: 1 };
  const api = await Api.start(t, (url) => (url.pathname === '/old' ? { status: 301, headers: { Location: '/trending' } } : { body: { ...body }, etag: true, gzip: true }));
  const map = `[[feed]]
name = "trending"
kind = "etag"
url = "${api.url}/old"
${OFTEN}
[[map]]
from = "trending"
key = "trending:week"
`;
  const source = new HttpSource(t, { broker, map }).start();
  await until(async () => (await broker.status()).version === 1, () => source.log);
  await until(() => api.asked.some(({ headers }) => headers['if-none-match']), 'a conditional request');
  body.week = 2;
  sameAll(keys(await reached(broker, source, 2)), [['trending:week']]);
  const before = Date.now();
  api.next.push(misbehave.busy('1'));
  body.week = 3;
  sameAll(keys(await reached(broker, source, 3)).at(-1), ['trending:week']);
  ok(Date.now() - before >= 1000, 'a server that asks for patience has it');
  await source.kill();
});

/** A guide as XMLTV has it, in gzip: programmes of two channels. */
const guide = (programmes) =>
  `<?xml version="1.0" encoding="ISO-8859-1"?>\n<!DOCTYPE tv SYSTEM "xmltv.dtd">\n<tv>${programmes.map(({ channel, start, title }) => `
  <programme start="${start} +0000" stop="x" channel="${channel}"><title lang="en">${title}</title></programme>`).join('')}\n</tv>\n`;

test('XMLTV: of a guide by ETag only what differs is published, and a guide that is cut off changes nothing', async (t) => {
  const broker = await startBroker(t);
  const programmes = Array.from({ length: 200 }, (_, n) => ({ channel: n % 2 ? 'one.uk' : 'two.uk', start: `202612010${String(n).padStart(5, '0')}`, title: `T${n}` }));
  let served = gzipSync(Buffer.from(guide(programmes), 'latin1'));
  const tag = () => `"${served.length}-${programmes.map(({ title }) => title).join('').length}-${programmes.length}"`;
  const api = await Api.start(t, (_, request) => {
    const headers = { ETag: tag(), 'Content-Type': 'application/gzip' };
    return request.headers['if-none-match'] === tag() ? { status: 304, headers } : { headers, raw: served };
  });
  const map = `[[feed]]
name = "guide"
kind = "whole-file"
url = "${api.url}/guide.xml.gz"
format = "xml"
items = "/tv/programme"
${OFTEN}
[[map]]
from = "guide"
key = "programme:{channel}:{start}"
tags = ["channel:{channel}"]
`;
  const source = new HttpSource(t, { broker, map }).start();
  await until(async () => (await broker.status()).version === 1, () => source.log);
  await until(() => api.asked.some(({ headers }) => headers['if-none-match']), 'a conditional request');
  const serve = () => (served = gzipSync(Buffer.from(guide(programmes), 'latin1')));
  programmes[3].title = 'Rätsel';
  programmes.push({ channel: 'three.uk', start: '20261201070000', title: 'new' });
  programmes.splice(0, 1);
  serve();
  sameAll(keys(await reached(broker, source, 2)).map((list) => list.sort()), [
    ['programme:one.uk:20261201000003 +0000', 'programme:three.uk:20261201070000 +0000', 'remove programme:two.uk:20261201000000 +0000'],
  ]);
  // A guide without most of its programmes, which the guard refuses; then half of a file.
  const whole = programmes.splice(5, 190);
  serve();
  await until(() => /are gone, more than --max-removed/.test(source.log), () => source.log);
  programmes.splice(5, 0, ...whole);
  serve();
  served = served.subarray(0, served.length / 2);
  await until(() => /the file is not XML in line \d+|the file is cut off|the file: /.test(source.log), () => source.log);
  programmes[7].title = 'late';
  serve();
  sameAll(keys(await reached(broker, source, 3)).at(-1), [`programme:${programmes[7].channel}:${programmes[7].start} +0000`]);
  await source.kill();
});

for (const [format, write] of Object.entries({
  json: (rows) => JSON.stringify({ rows }),
  ndjson: (rows) => rows.map((row) => `${JSON.stringify(row)}\n`).join(''),
  csv: (rows) => `id,name\n${rows.map(({ id, name }) => `${id},${name}\n`).join('')}`,
})) {
  test(`a whole file of ${format} is compared with the one before, by Last-Modified`, async (t) => {
    const broker = await startBroker(t);
    const rows = Array.from({ length: 20 }, (_, id) => ({ id, name: 'a' }));
    let modified = 0;
    const api = await Api.start(t, (_, request) => {
      const headers = { 'Last-Modified': new Date(modified * 1000).toUTCString(), 'Content-Type': 'text/plain' };
      return request.headers['if-modified-since'] === headers['Last-Modified'] ? { status: 304, headers } : { headers, raw: Buffer.from(write(rows)) };
    });
    const map = `[[feed]]\nname = "all"\nkind = "whole-file"\nurl = "${api.url}/all"\nformat = "${format}"\n${format === 'json' ? 'items = "/rows"\n' : ''}
[[map]]\nfrom = "all"\nkey = "row:{id}"\n`;
    const source = new HttpSource(t, { broker, map, flags: ['--once'] });
    same(await source.start().ended(), 0, source.log);
    rows[4].name = 'b';
    rows.pop();
    same(await source.start().ended(), 0, source.log);
    same((await broker.status()).version, 1, 'the server says that it is the same');
    modified += 1;
    same(await source.start().ended(), 0, source.log);
    sameAll(keys(await reached(broker, source, 2)).map((list) => list.sort()), [['remove row:19', 'row:4']]);
  });
}

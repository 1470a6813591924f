// `newsreel source http` watched and run from cron: `--once`, `status`, metrics, rows that name nothing, and its ends.

import { strictEqual as same, deepStrictEqual as sameAll, match, ok } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { Api, HttpSource, misbehave } from './api.mjs';
import { reached, until } from './source.mjs';
import { startBroker } from './served.mjs';
import { NEWSREEL } from './system.mjs';

const FEED = (url, fields = '') => `[[feed]]
name = "changes"
kind = "updated-since"
url = "${url}/changes?since={since}"
overlap = "10 s"
time = "rfc3339"
items = "/rows"
next = "Link"
stamp = ""
every = "100 ms"
${fields}
[[map]]
from = "changes"
key = "row:{id}"
`;
const keys = (versions) => versions.map((changes) => changes.map(({ key }) => key));

/** Rows two a page, whose next page is a header, relative to the address. */
const linked = (rows) => (url) => {
  const page = Number(url.searchParams.get('page') ?? 0);
  const more = rows.length > (page + 1) * 2;
  const next = `<changes?since=x&page=${page + 1}>; rel="next", <changes>; rel="first"`;
  return { body: { rows: rows.slice(page * 2, page * 2 + 2) }, headers: more ? { Link: next } : {}, etag: true };
};

const status = (source, ...flags) => spawnSync(NEWSREEL, ['source', 'http', '--map', source.map, '--state', source.state, 'status', ...flags], { encoding: 'utf8' });

test('--once asks until nothing more is there; a failure is exit code 6 and loses nothing', async (t) => {
  const broker = await startBroker(t);
  const rows = [];
  const api = await Api.start(t, linked(rows));
  const source = new HttpSource(t, { broker, map: FEED(api.url, 'every = "1 h"').replace('every = "100 ms"\n', ''), flags: ['--once'] });
  const checked = spawnSync(NEWSREEL, ['map', 'check', source.map], { encoding: 'utf8' });
  match(checked.stdout, /^feed changes: updated-since, asked every 3600s: http:.*since=\{since\}$/m);
  const never = status(source, '--json');
  same(never.status, 6, never.stderr);
  match(never.stderr, /no good answer is known/);
  same(await source.start().ended(), 0, source.log);
  for (let id = 1; id <= 5; id += 1) rows.push({ id });
  api.next.push(misbehave.status(503));
  same(await source.start().ended(), 6, source.log);
  match(source.log, /the feed "changes" cannot be followed: 503/);
  same((await broker.status()).version, 1);
  same(await source.start().ended(), 0, source.log);
  sameAll(keys(await reached(broker, source, 2)), [[1, 2, 3, 4, 5].map((id) => `row:${id}`)]);
  ok(api.asked.some(({ path }) => path.endsWith('page=2')), 'the pages of Link');
  same(await source.start().ended(), 0);
  same((await broker.status()).version, 2, 'and once only');
  const known = status(source, '--json');
  same(known.status, 0, known.stderr);
  const { feed, kind, remembered, pending_publishes, gap, late, age_seconds } = JSON.parse(known.stdout);
  sameAll({ feed, kind, remembered, pending_publishes, gap, late }, { feed: 'changes', kind: 'updated-since', remembered: 5, pending_publishes: 0, gap: null, late: false });
  ok(age_seconds < 60);
  match(status(source).stdout, /^feed {11}changes\nkind {11}updated-since\npublished to {3}20/);
});

test('metrics count answers, rows and what is repeated; rows that name nothing are kept and stop no other', async (t) => {
  const broker = await startBroker(t);
  const rows = [];
  const api = await Api.start(t, linked(rows));
  const source = new HttpSource(t, { broker, map: FEED(api.url), flags: ['--metrics', '0'] }).start();
  await until(async () => (await broker.status()).version === 1, () => source.log);
  rows.push({ id: null, name: 'x' }, { id: 7 });
  sameAll(keys(await reached(broker, source, 2)), [['row:7']]);
  const dead = readFileSync(join(source.state, 'changes.dead.ndjson'), 'utf8').trim().split('\n').map((line) => JSON.parse(line));
  sameAll(dead.map(({ reason, row }) => ({ reason, row })), [{ reason: 'unnamed', row: { id: null, name: 'x' } }]);
  const [, address] = source.log.match(/metrics at (\S+)/);
  let text;
  await until(async () => {
    text = await (await fetch(address)).text();
    return /^newsreel_source_feed_repeated_rows_total\{feed="changes"\} [1-9]/m.test(text);
  }, () => `a round that is answered with rows again: ${text}`);
  for (const line of [
    /^newsreel_source_feed_answers_total\{feed="changes",outcome="answered"\} [1-9]/m,
    /^newsreel_source_feed_rows_total\{feed="changes"\} 2$/m,
    /^newsreel_source_feed_dead_letters_total\{feed="changes",reason="unnamed"\} 1$/m,
    /^newsreel_source_feed_age_seconds\{feed="changes"\} \d/m,
    /^newsreel_source_wide_changes_total\{reason="gap"\} 1$/m,
    /^newsreel_source_connected\{side="api"\} 1$/m,
    /^newsreel_source_durable_delay_seconds_count [1-9]/m,
  ]) match(text, line);
  const second = spawnSync(NEWSREEL, source.words, { encoding: 'utf8' });
  match(second.stderr, /changes\.lock: another process follows this feed/);
  same(await source.kill('SIGTERM'), 0, source.log);
});

test('a source ends when one of its feeds has failed too often', async (t) => {
  const broker = await startBroker(t);
  const api = await Api.start(t, (url) => (url.pathname === '/bad' ? { status: 401 } : { body: { rows: [] } }));
  const bad = `[[feed]]\nname = "bad"\nkind = "etag"\nurl = "${api.url}/bad"\n[[map]]\nfrom = "bad"\nkey = "bad:1"\n`;
  const source = new HttpSource(t, { broker, map: FEED(api.url) + bad, flags: ['--max-failures', '2'] }).start();
  same(await source.ended(), 6, source.log);
  match(source.log, /bad: refused with 401; nothing of it was published, asking again \(failure 1\)/);
  match(source.log, /the feed "bad" cannot be followed: refused with 401/);
});

test('a secret that is missing, a page of another server and a redirect elsewhere are told, and give no secret away', async (t) => {
  const broker = await startBroker(t);
  const heard = [];
  const other = await Api.start(t, (_, request) => {
    heard.push(request.headers);
    return { body: { rows: [{ id: 1 }] } };
  });
  const api = await Api.start(t, () => ({ body: { rows: [] }, headers: { Link: `<${other.url}/x>; rel="next"` } }));
  const secret = FEED(api.url, 'headers = { "X-Api-Key" = "${API_KEY_OF_TESTS}" }');
  delete process.env.API_KEY_OF_TESTS;
  const source = new HttpSource(t, { broker, map: secret, flags: ['--once'] });
  same(await source.start().ended(), 3);
  match(source.log, /the feed "changes" needs the variable API_KEY_OF_TESTS in the environment/);
  process.env.API_KEY_OF_TESTS = 'do-not-tell';
  same(await source.start().ended(), 6);
  match(source.log, /the next page .* is on another server/);
  same(heard.length, 0);
  api.next.push(misbehave.redirect(`${other.url}/changes`, 307));
  same(await source.start().ended(), 0, source.log);
  sameAll([heard.length, heard[0]['x-api-key']], [1, undefined], 'another server gets no header of the feed');
  same(api.asked.at(-1).headers['x-api-key'], 'do-not-tell');
  ok(!source.log.includes('do-not-tell'));
  ok(!existsSync(join(source.state, 'changes.dead.ndjson')));
});

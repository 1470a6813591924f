// `newsreel source http` killed in random places, while the API misbehaves: in the end every change is published once, and
// the last word of every key is that of the API.

import { strictEqual as same, deepStrictEqual as sameAll, ok } from 'node:assert';
import { test } from 'node:test';

import { Api, HttpSource, misbehave } from './api.mjs';
import { kills, until, versions } from './source.mjs';
import { randomFrom } from './random.mjs';
import { startBroker } from './served.mjs';

/** How often the source is killed. */
const KILLS = kills(15);
const IDS = 40;
const SHOWN = [misbehave.busy('0'), misbehave.status(503), misbehave.errorIn200, misbehave.cutOff, misbehave.hangUp, misbehave.html];

const MAP = (url) => `[[feed]]
name = "rows"
kind = "updated-since"
url = "${url}/changes?since={since}&page={page}"
every = "20 ms"
overlap = "30 s"
time = "millis"
items = "/rows"
pages = "/pages"
id = "/id"
stamp = "/at"
error = "/status_message"
[[feed]]
name = "events"
kind = "cursor"
url = "${url}/events?after={cursor}"
every = "20 ms"
items = "/events"
cursor = "/next"
start = "0"
[[feed]]
name = "all"
kind = "whole-file"
url = "${url}/all"
every = "20 ms"
items = "/rows"
[[map]]
from = "rows"
key = "row:{id}"
removed_when = { gone = [true] }
also = [{ tag = "change:{at}" }]
[[map]]
from = "events"
key = "event:{n}"
[[map]]
from = "all"
key = "all:{id}"
tags = ["state:{at}"]
`;

/** Rows by the time of their change, five a page, and a stream of events, seven an answer. */
const answer = (rows, events) => (url) => {
  const at = (name) => Number(url.searchParams.get(name));
  if (url.pathname === '/events') {
    const rest = events.filter((n) => n > at('after')).slice(0, 7);
    return { body: { events: rest.map((n) => ({ n })), next: rest.at(-1) ?? null } };
  }
  if (url.pathname === '/all') return { body: { rows: [...rows.values()] }, etag: true };
  const listed = [...rows.values()].filter((row) => row.at >= at('since')).sort((a, b) => a.at - b.at);
  return { body: { rows: listed.slice(at('page') * 5 - 5, at('page') * 5), pages: Math.max(1, Math.ceil(listed.length / 5)) }, etag: true };
};

test(`killed ${KILLS} times, every change is published once`, { timeout: 400_000 }, async (t) => {
  const seed = Number(process.env.SEED ?? Date.now() % 1e6);
  t.diagnostic(`SEED=${seed}`);
  const random = randomFrom(seed);
  const below = (bound) => Math.floor(random() * bound);
  const broker = await startBroker(t);
  const [rows, events, stamps] = [new Map(), [], []];
  const api = await Api.start(t, answer(rows, events));
  const source = new HttpSource(t, { broker, map: MAP(api.url), flags: ['--max-failures', '0'] }).start();
  await until(async () => (await broker.status()).version >= 3, () => source.log);
  let last = 0;
  const change = () => {
    last = Math.max(last + 1, Date.now());
    rows.set(below(IDS), { at: last, gone: below(4) === 0 });
    stamps.push(last);
    for (const [id, row] of rows) row.id = id;
    if (below(2) === 0) events.push(events.length + 1);
    if (below(6) === 0) api.next.push(SHOWN[below(SHOWN.length)]);
  };
  const changing = setInterval(change, 3);
  t.after(() => clearInterval(changing));
  for (let kill = 0; kill < KILLS; kill += 1) {
    await new Promise((resolve) => setTimeout(resolve, below(500)));
    await source.kill();
    source.start();
  }
  clearInterval(changing);
  api.next.length = 0;
  const lastWord = (all) => {
    const words = new Map();
    for (const { changes } of all) for (const { key, op, tags = [] } of changes) if (key) words.set(key, op ?? (tags[0] || 'update'));
    return words;
  };
  const wanted = [...rows.values()].map(({ at }) => `change:${at}`);
  const tags = (all) => all.flatMap(({ changes }) => changes.flatMap(({ tag }) => tag ?? []));
  let all = [];
  const missing = () => {
    const [told, words] = [new Set(tags(all)), lastWord(all)];
    const differ = [...rows].filter(([id, { at }]) => words.get(`all:${id}`) !== `state:${at}`).map(([id]) => `all:${id}`);
    return [...wanted.filter((tag) => !told.has(tag)), ...events.map((n) => `event:${n}`).filter((key) => !words.has(key)), ...differ];
  };
  await until(async () => {
    all = await versions(broker);
    return missing().length === 0;
  }, () => `${missing()}; the source says\n${source.log.slice(-2000)}`, 60_000);
  await source.kill();

  const told = tags(all);
  same(new Set(told).size, told.length, 'no change is published twice');
  ok(told.every((tag) => stamps.includes(Number(tag.slice(7)))), 'nothing is published that did not happen');
  const published = all.flatMap(({ changes }) => changes.filter(({ key }) => key?.startsWith('event:')).map(({ key }) => Number(key.slice(6))));
  sameAll(published, events, 'every event once, in order');
  const words = lastWord(all);
  for (const [id, { gone }] of rows) same(words.get(`row:${id}`), gone ? 'remove' : 'update', `row:${id}`);
  ok(all.filter(({ changes }) => changes.some(({ prefix, all: every }) => prefix || every)).length <= 2, 'there was no gap but the first of each feed');
  t.diagnostic(`${stamps.length} changes, ${events.length} events, ${api.asked.length} requests, ${all.length} versions`);
});

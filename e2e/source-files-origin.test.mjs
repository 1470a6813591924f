// From a dump to the edge: `newsreel source files` publishes what differs, `newsreel origin --from` serves what is there.

import { strictEqual as same, deepStrictEqual as sameAll, match, ok } from 'node:assert';
import { join } from 'node:path';
import { test } from 'node:test';

import { FilesSource, MAP, ndjson, replace, startFilesOrigin, title } from './files.mjs';
import { kills, until, versions } from './source.mjs';
import { randomFrom } from './random.mjs';
import { startBroker } from './served.mjs';
import { freePort, temporaryFolder } from './system.mjs';

/** How often the source is killed. */
const KILLS = kills(50);

/** A dump in a folder of its own, an edge that asks an origin of it, and a source of it. */
async function begin(t, rows, { flags = ['--initial', 'nothing'] } = {}) {
  const folder = temporaryFolder(t);
  const [path, port] = [join(folder, 'titles.ndjson'), await freePort()];
  replace(path, ndjson(rows));
  const broker = await startBroker(t, { ORIGIN_URL: `http://127.0.0.1:${port}` });
  const source = new FilesSource(t, { place: path, broker: broker.url, folder, map: MAP, flags });
  const originAt = { from: path, map: source.map, db: join(folder, 'origin.state'), port };
  return { folder, path, broker, source, originAt };
}

test('an origin serves the rows of the newest dump, with tags and ETag', async (t) => {
  const { path, originAt } = await begin(t, [title(1, 'one', { platforms: ['a', 'b'] }), title('a/b', 'slash')]);
  const origin = await startFilesOrigin(t, originAt);
  const first = await origin.get('title:1');
  sameAll([first.status, first.headers.get('content-type'), first.headers.get('cache-tag')], [200, 'application/json', 'platform:a,platform:b']);
  sameAll(await first.json(), title(1, 'one', { platforms: ['a', 'b'] }));
  const etag = first.headers.get('etag');
  same((await origin.get('title:1', { headers: { 'if-none-match': etag } })).status, 304);
  same((await origin.get('title%3Aa%2Fb')).status, 200);
  const missing = await origin.get('title:9');
  sameAll([missing.status, missing.headers.get('cache-control')], [404, null]);
  replace(path, ndjson([title(1, 'uno'), title(9, 'nine')]));
  sameAll(await (await origin.get('title:1')).json(), title(1, 'uno'), 'a request never sees an older dump than the one that is there');
  same((await origin.get('title:9')).status, 200);
  same((await origin.get('title%3Aa%2Fb')).status, 404);
  replace(path, '{"id":1');
  same((await (await origin.get('title:1')).json()).name, 'uno', 'a dump that is cut off changes nothing');
  match(origin.log, /titles\.ndjson: line 1: .*cut off here; the dump before it is served on/);
});

test('an origin serves a column, and refuses the dump that the source refuses', async (t) => {
  const rows = Array.from({ length: 10 }, (_, id) => title(id, `${id}`));
  const { path, originAt } = await begin(t, rows);
  const origin = await startFilesOrigin(t, { ...originAt, flags: ['--column', 'name', '--max-removed', '20%'] });
  const answer = await origin.get('title:7');
  sameAll([answer.headers.get('content-type'), await answer.text()], ['text/plain; charset=utf-8', '7']);
  replace(path, ndjson(rows.slice(0, 5)));
  same((await origin.get('title:7')).status, 200);
  match(origin.log, /50?.* more than --max-removed 20%/);
});

test('a new dump is at the edge once it is published', async (t) => {
  const { path, broker, source, originAt } = await begin(t, [title(1, 'one'), title(2, 'two')]);
  await startFilesOrigin(t, originAt);
  source.start();
  await source.said(/2 rows, 0 before/);
  sameAll((await broker.read('title:1')).json, title(1, 'one'));
  sameAll((await broker.read('title:3')).status, 404);
  for (let n = 1; n <= 5; n += 1) {
    replace(path, ndjson([title(1, `one ${n}`), title(3, `three ${n}`)]));
    await until(() => source.versions.length === n, () => source.log);
    const after = await broker.status();
    sameAll((await broker.read('title:1', { after })).json, title(1, `one ${n}`));
    sameAll((await broker.read('title:3', { after })).json, title(3, `three ${n}`));
    same((await broker.read('title:2', { after })).status, 404);
  }
});

/** Reads at the edge until it is told to stop, so that the edge holds values of every age. Returns how many it read. */
async function read(broker, keys, stopped) {
  let count = 0;
  for (let n = 0; !stopped(); n += 1) {
    const some = keys.slice((n % 3) * 30, (n % 3) * 30 + 30);
    // While the origin is away there is no answer.
    const { entries } = await broker.readMany(some).catch(() => ({ entries: [] }));
    count += entries.filter(({ status }) => status === 200 || status === 404).length;
  }
  return count;
}

test(`killed ${KILLS} times amid dumps, everything is published once and the edge has every row`, { timeout: 400_000 }, async (t) => {
  const random = randomFrom(19);
  const below = (bound) => Math.floor(random() * bound);
  const ids = Array.from({ length: 90 }, (_, id) => id);
  const rows = new Map(ids.map((id) => [id, title(id, 'first')]));
  const { path, broker, source, originAt } = await begin(t, [...rows.values()], { flags: ['--initial', 'nothing', '--allow-removals'] });
  await startFilesOrigin(t, { ...originAt, flags: ['--allow-removals'] });
  const [marks, started] = [[], new Set()];
  await source.once();
  let done = false;
  const reading = read(broker, ids.map((id) => `title:${id}`), () => done);
  const dump = () => {
    for (let step = below(8); step >= 0; step -= 1) {
      const id = below(ids.length);
      if (below(4) === 0) rows.delete(id);
      else rows.set(id, title(id, `${marks.length}-${step}`, { platforms: [`p${below(3)}`] }));
    }
    // A row that comes with this dump and never changes: it is in one version.
    marks.push(`mark-${marks.length}`);
    replace(path, ndjson([...rows.values(), ...marks.map((mark) => title(mark, mark))]));
  };
  for (let kills = 0; kills < KILLS; kills += 1) {
    source.start();
    const end = Date.now() + below(400);
    while (Date.now() < end) {
      dump();
      await new Promise((resolve) => setTimeout(resolve, below(60)));
    }
    await source.kill();
    const { last } = await source.status();
    started.add(last.snapshot);
  }
  dump();
  source.start();
  const quiet = async () => {
    const { rows: count, waiting_publishes: waiting } = await source.status();
    return count.titles === rows.size + marks.length && waiting === 0 && (await broker.read(`title:${marks.at(-1)}`)).status === 200;
  };
  await until(quiet, () => source.log);
  done = true;
  ok((await reading) > 100, 'the edge was read meanwhile');
  ok(started.size > KILLS / 4, `the source was killed amid its work: it had accepted ${[...started].join(', ')}`);
  const published = (await versions(broker, 0)).flatMap(({ changes }) => changes.flatMap(({ key }) => (key?.startsWith('title:mark-') ? [key.slice(6)] : [])));
  sameAll(published.toSorted(), marks.toSorted(), 'every dump is published, and none twice');
  const after = await broker.status();
  for (let from = 0; from < ids.length; from += 30) {
    const some = ids.slice(from, from + 30);
    const { entries } = await broker.readMany(some.map((id) => `title:${id}`), { after });
    sameAll(
      entries.map(({ status, value }) => [status, status === 200 ? value : undefined]),
      some.map((id) => (rows.has(id) ? [200, rows.get(id)] : [404, undefined])),
    );
  }
  same(await source.kill('SIGTERM'), 0);
});

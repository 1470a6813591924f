// `newsreel source files`: dumps of every form, from every place, as versions of a real broker.

import { strictEqual as same, deepStrictEqual as sameAll, match, ok } from 'node:assert';
import { createServer } from 'node:http';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';

import { FilesSource, MAP, ndjson, replace, title } from './files.mjs';
import { until, versions } from './source.mjs';
import { startBroker } from './served.mjs';
import { temporaryFolder } from './system.mjs';

const ROWS = [title(1, 'one', { platforms: ['a'] }), title(2, 'two'), title(3, 'three')];

/** A broker and a source of a dump in a folder of its own. */
async function begin(t, { name = 'titles.ndjson', flags, map } = {}) {
  const broker = await startBroker(t);
  const folder = temporaryFolder(t);
  const path = join(folder, name);
  return { broker, folder, path, source: new FilesSource(t, { place: path, broker: broker.url, folder, flags, map }) };
}

const changesOf = async (broker, since = 0) => (await versions(broker, since)).map(({ changes }) => changes);

test('rows that came, changed and went are one version; unchanged rows publish nothing', async (t) => {
  const { broker, path, source } = await begin(t);
  replace(path, ndjson(ROWS));
  const [first] = await source.once();
  same(first.version, 1);
  sameAll(await changesOf(broker), [[{ prefix: 'title:' }]], 'nothing is known of an earlier dump');
  replace(path, ndjson([title(4, 'four', { platforms: ['b'] }), title(1, 'uno', { platforms: ['a'] }), ROWS[2]]));
  const [second, ...more] = await source.once();
  sameAll([second.version, second.snapshot, second.changes, more], [2, 2, 4, []]);
  const [changes] = await changesOf(broker, 1);
  sameAll(changes.toSorted((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b))), [
    { key: 'title:1', tags: ['platform:a'] }, { key: 'title:2', op: 'remove' }, { key: 'title:4', tags: ['platform:b'] }, { tag: 'owner:x' },
  ]);
  sameAll(await source.once(), [], 'the same dump again');
  replace(path, ndjson([ROWS[2], title(1, 'uno', { platforms: ['a'] }), title(4, 'four', { platforms: ['b'] })]));
  sameAll(await source.once(), [], 'another order');
  const { last, rows, waiting_publishes } = await source.status();
  sameAll([last.dump, rows, waiting_publishes], [path, { titles: 3 }, 0]);
});

test('every form, compressed or not, is the same dump', async (t) => {
  const { broker, path, source } = await begin(t);
  const map = '[[map]]\nfrom = "titles"\nkey = "title:{id}"\ntags = ["platform:{platforms[]}"]\nonly_if_changed = ["name"]\n';
  writeFileSync(source.map, map);
  const csv = 'id,name,platforms\n1,one,"[""a""]"\n2,"t, ""w"" o",\n';
  const rows = [{ id: '1', name: 'one', platforms: ['a'] }, { id: '2', name: 't, "w" o', platforms: null }];
  const array = JSON.stringify(rows, undefined, 2);
  replace(path, csv);
  await source.once();
  for (const text of [csv, csv.replaceAll('\n', '\r\n'), `\ufeff${array}`, ndjson(rows)]) {
    for (const content of [text, gzipSync(text), zstdCompressSync(text)]) {
      replace(path, content);
      sameAll(await source.once(), [], `${text}`);
    }
  }
  replace(path, zstdCompressSync(csv.replace('one', 'uno')));
  same((await source.once()).length, 1);
  sameAll(await changesOf(broker, 1), [[{ key: 'title:1', tags: ['platform:a'] }]]);
});

test('a dump that is cut off, malformed or has a key twice changes nothing and says the line', async (t) => {
  const { broker, path, source } = await begin(t, { flags: ['--initial', 'nothing'] });
  replace(path, ndjson(ROWS));
  await source.once();
  const whole = ndjson([title(9, 'nine'), ...ROWS]);
  const packed = gzipSync(whole);
  for (const [content, why] of [
    [whole.slice(0, -20), /titles\.ndjson: line 4: column \d+: EOF while parsing .*cut off here/],
    [packed.subarray(0, packed.length - 9), /titles\.ndjson: after line \d: /],
    [JSON.stringify(ROWS).slice(0, -1), /titles\.ndjson: line 1: EOF while parsing a list: .*cut off here/],
    ['id,name\n1,one\n2\n', /titles\.ndjson: line 3: the row has 1 fields/],
    [whole + ndjson([title(1, 'again')]), /titles\.ndjson: line 5: title:1 is there twice, first in line 2: /],
    ['', /titles\.ndjson: the dump is empty/],
  ]) {
    replace(path, content);
    const { code, stderr } = await source.run('--once');
    same(code, 3, stderr);
    match(stderr, why);
  }
  same((await broker.status()).version, 0);
  replace(path, ndjson([title(1, 'uno'), ROWS[1], ROWS[2]]));
  same((await source.once()).length, 1, 'compared with the last whole dump');
});

test('a dump that would remove too much is refused, and taken with --allow-removals', async (t) => {
  const { broker, path, source } = await begin(t, { flags: ['--initial', 'nothing', '--max-removed', '20%'] });
  const rows = Array.from({ length: 100 }, (_, id) => title(id, `${id}`));
  replace(path, ndjson(rows));
  await source.once();
  replace(path, ndjson(rows.slice(0, 50)));
  const { code, stderr } = await source.run('--once');
  same(code, 3);
  match(stderr, /titles: the dump has 50 rows, and 50 of the 100 before it are gone, more than --max-removed 20%: nothing was published/);
  const dry = await source.run('--dry-run');
  same(dry.code, 3);
  match(dry.stdout, /titles: 50 rows, 100 before: 0 added, 0 changed, 50 gone\n {2}gone {5}title:50\n[^]*would be refused/);
  same((await broker.status()).version, 0);
  const [version] = await source.once('--allow-removals');
  same(version.changes, 51);
});

test('a dry run says what would be published, and leaves everything as it is', async (t) => {
  const { broker, folder, path, source } = await begin(t);
  replace(path, ndjson(ROWS));
  const before = readdirSync(folder);
  const first = await source.run('--dry-run');
  sameAll([first.code, readdirSync(folder)], [0, before]);
  match(first.stdout, /titles: 3 rows, 0 before: 3 added[^]*would publish 1 targets in 1 versions\n/);
  await source.once();
  replace(path, ndjson([title(1, 'uno'), ROWS[1]]));
  const { stdout } = await source.run('--dry-run', '--json');
  const said = JSON.parse(stdout);
  sameAll([said.rows.titles.changed, said.rows.titles.gone, said.versions], [1, 1, 1]);
  sameAll(said.differences, [{ kind: 'changed', from: 'titles', key: 'title:1', line: 1 }, { kind: 'gone', from: 'titles', key: 'title:3' }]);
  same((await broker.status()).version, 1);
  same((await source.once()).length, 1);
});

test('a file is watched: each dump that is put in its place is published, and a wrong one is waited out', async (t) => {
  const { broker, path, source } = await begin(t, { flags: ['--initial', 'nothing', '--metrics', '0'] });
  source.start();
  await source.said(/No such file/);
  replace(path, ndjson(ROWS));
  await source.said(/is there again[^]*3 rows, 0 before/);
  for (const [index, name] of ['uno', 'eins', 'un'].entries()) {
    replace(path, ndjson([title(1, name), ROWS[1], ROWS[2]]));
    await until(() => source.versions.length === index + 1, () => source.log);
    if (index === 1) {
      replace(path, '{"id":1');
      await source.said(/line 1: .*cut off here; nothing was changed, and the source waits for another dump/);
    }
  }
  const [, url] = /metrics at (\S+)\/metrics/.exec(source.log);
  const text = await (await fetch(`${url}/metrics`)).text();
  for (const line of [
    'newsreel_source_dumps_total{outcome="accepted"} 4', 'newsreel_source_dumps_total{outcome="malformed"} 1',
    'newsreel_source_rows_total{from="titles",change="changed"} 3', 'newsreel_source_publishes_total 3',
    'newsreel_source_dump_rows{from="titles"} 3', 'newsreel_source_connected{side="broker"} 1',
    'newsreel_source_durable_delay_seconds_count 3',
  ]) ok(text.includes(`${line}\n`), `${line} in\n${text}`);
  same(await source.kill('SIGTERM'), 0);
  same((await broker.status()).version, 3);
});

test('of a folder the newest dump of each name is taken', async (t) => {
  const map = `${MAP}[[map]]\nfrom = "people"\nkey = "person:{id}"\n`;
  const { broker, path: folder, source } = await begin(t, { name: 'dumps', map, flags: ['--initial', 'nothing'] });
  mkdirSync(folder);
  replace(join(folder, 'titles-2026-11-29.ndjson'), ndjson(ROWS));
  replace(join(folder, 'people.csv'), 'id,name\n1,Ada\n');
  writeFileSync(join(folder, 'people.csv.part'), 'no dump');
  source.start();
  await source.said(/people: 1 rows/);
  await source.said(/titles: 3 rows/);
  replace(join(folder, 'titles-2026-11-30.ndjson.gz'), gzipSync(ndjson([title(1, 'uno'), ROWS[1], ROWS[2]])));
  await until(() => source.versions.length === 1, () => source.log);
  replace(join(folder, 'people.csv'), 'id,name\n1,Grace\n');
  await until(() => source.versions.length === 2, () => source.log);
  sameAll((await changesOf(broker)).map(([change]) => change.key), ['title:1', 'person:1']);
});

test('one dump has the rows of several names, and stdin is a place', async (t) => {
  const map = `${MAP}[[map]]\nfrom = "people"\nkey = "person:{id}"\n`;
  const { broker, path, source } = await begin(t, { map, flags: ['--from-field', 'table', '--initial', 'nothing'] });
  const rows = (name) => [{ table: 'titles', id: 1, name: 'one' }, { table: 'people', id: 1, name }, { table: 'other', id: 1 }];
  replace(path, ndjson(rows('Ada')));
  await source.once();
  replace(path, ndjson(rows('Grace')));
  same((await source.once())[0].changes, 1);
  sameAll(await changesOf(broker), [[{ key: 'person:1' }]]);
  replace(path, ndjson([{ id: 1 }]));
  match((await source.run('--once')).stderr, /line 1: the row has no text "table"/);
});

test('an address is asked on a condition, and an answer that breaks off changes nothing', async (t) => {
  const broker = await startBroker(t);
  const folder = temporaryFolder(t);
  const seen = [];
  let answer;
  const server = createServer((request, response) => {
    seen.push(request.headers['if-none-match']);
    answer(request, response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const give = (etag, content) => {
    answer = (request, response) => {
      if (request.headers['if-none-match'] === etag) return response.writeHead(304).end();
      return response.writeHead(200, { etag }).end(content);
    };
  };
  give('"1"', gzipSync(ndjson(ROWS)));
  const place = `http://127.0.0.1:${server.address().port}/titles.ndjson.gz`;
  const source = new FilesSource(t, { place, broker: broker.url, folder, flags: ['--initial', 'nothing', '--every-s', '1'] }).start();
  await source.said(/3 rows, 0 before/);
  await until(() => seen.includes('"1"'), () => source.log);
  answer = (_, response) => {
    response.writeHead(200, { etag: '"2"', 'content-length': 1000 }).write('{"id":7}\n');
    setImmediate(() => response.destroy());
  };
  await source.said(/looking again/);
  let busy = 0;
  answer = (_, response) => {
    busy = performance.now();
    response.writeHead(429, { 'retry-after': '2' }).end();
  };
  await source.said(/429[^\n]*looking again/);
  give('"3"', ndjson([title(1, 'uno'), ROWS[1], ROWS[2]]));
  await until(() => source.versions.length === 1, () => source.log);
  same(source.versions[0].dump, place);
  ok(performance.now() - busy >= 2_000, 'the server is left alone for as long as it asks');
  await until(() => seen.includes('"3"'), () => source.log);
  sameAll(readdirSync(folder).filter((name) => name.includes('download')), []);
});

test('a lost state and another mapping are published wide', async (t) => {
  const { broker, path, source } = await begin(t);
  replace(path, ndjson(ROWS));
  await source.once();
  rmSync(source.state);
  sameAll((await source.once()).map(({ changes }) => changes), [1]);
  writeFileSync(source.map, MAP.replace('"owner:', '"boss:').replace('prefix = "title:"', 'all = true'));
  await source.once();
  sameAll(await changesOf(broker), [[{ prefix: 'title:' }], [{ prefix: 'title:' }], [{ all: true }]]);
});

test('a broker that is away holds nothing up for good: what differs is kept and sent by the next run', async (t) => {
  const { broker, folder, path, source } = await begin(t, { flags: ['--initial', 'nothing'] });
  replace(path, ndjson(ROWS));
  await source.once();
  replace(path, ndjson([title(1, 'uno'), ROWS[1], ROWS[2]]));
  const away = new FilesSource(t, { place: path, broker: 'http://127.0.0.1:1', folder, flags: ['--retry-for-ms', '300'] });
  same((await away.run('--once')).code, 5);
  same((await source.status()).waiting_publishes, 1);
  replace(path, ndjson(ROWS));
  const versions = await source.once();
  sameAll(versions.map(({ snapshot }) => snapshot), [2, 3], 'the row went there and back, and both are published');
  same((await broker.status()).version, 2);
});

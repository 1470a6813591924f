// `newsreel origin postgres`: an edge's values from a real PostgreSQL, by the statements of a mapping file.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';

import { until } from './edge.mjs';
import { originWords, startPostgresOrigin } from './postgres-origin.mjs';
import { servers, startPostgres } from './postgres.mjs';
import { startBroker } from './served.mjs';
import { freePort, newsreel, NEWSREEL } from './system.mjs';

const SCHEMA = `
  CREATE TABLE titles (id int PRIMARY KEY, name text NOT NULL, platforms text[], "Kind" text, price numeric, poster bytea);
  CREATE TABLE availability (platform text, title_id int, until timestamptz, PRIMARY KEY (platform, title_id));
  INSERT INTO titles VALUES (1, 'The "Lantern"', '{hulu,"a b"}', 'Feature Film', 12.3400, '\\x00ff10'), (2, 'Two', NULL, NULL, NULL, NULL);
  INSERT INTO availability VALUES ('hulu', 1, '2026-01-02T03:04:05Z');
`;

const MAPPING = `
hot = "SELECT 'title:' || id, 10 - id FROM titles ORDER BY id;"
[[map]]
from = "public.titles"
key = "title:{id}"
tags = ["platform:{platforms[] | slug}", "kind:{Kind | slug}"]
[[read]]
key = "title:{id}"
sql = 'SELECT id, name, platforms, "Kind", price FROM titles WHERE id = $1 -- by its primary key'
[[read]]
key = "availability:{platform}:{title_id}"
sql = "SELECT * FROM availability WHERE platform = $1 AND title_id = $2;"
[[read]]
key = "poster:{id}"
sql = "SELECT poster FROM titles WHERE id = $1"
content_type = "image/png"
`;

async function serves(t, bin) {
  const database = await startPostgres(t, bin);
  await database.sql(SCHEMA);
  const origin = await startPostgresOrigin(t, database, MAPPING);

  await t.test('serves a row as JSON, with the tags of the mapping', async () => {
    const answer = await origin.get('title:1');
    assert.equal(answer.status, 200);
    assert.equal(await answer.text(), '{"id":1,"name":"The \\"Lantern\\"","platforms":["hulu","a b"],"Kind":"Feature Film","price":12.3400}');
    assert.equal(answer.headers.get('content-type'), 'application/json');
    assert.equal(answer.headers.get('cache-tag'), 'platform:hulu,platform:a-b,kind:feature-film');
    const etag = answer.headers.get('etag');
    const same = await origin.get('title:1', { headers: { 'if-none-match': etag } });
    assert.deepEqual([same.status, same.headers.get('etag')], [304, etag]);
    assert.equal((await origin.get('title:2')).headers.get('cache-tag'), '');
    const two = await (await origin.get('availability:hulu:1')).json();
    assert.deepEqual([two.platform, two.title_id], ['hulu', 1]);
  });

  await t.test('finds the database by the variables of libpq', async () => {
    const env = { PGHOST: '127.0.0.1', PGPORT: `${database.port}`, PGUSER: 'postgres', PGDATABASE: 'postgres', PGTARGETSESSIONATTRS: 'any' };
    const other = await startPostgresOrigin(t, { url: '' }, MAPPING, { env });
    assert.equal((await other.get('title:1')).status, 200);
  });

  await t.test('serves one column as bytes', async () => {
    const answer = await origin.get('poster:1');
    assert.deepEqual([answer.status, answer.headers.get('content-type')], [200, 'image/png']);
    assert.deepEqual(new Uint8Array(await answer.arrayBuffer()), Uint8Array.of(0x00, 0xff, 0x10));
    assert.equal((await origin.get('poster:2')).status, 404, 'its column is null');
  });

  await t.test('has no value for a key without a row, of another form, or of a text that is no number', async () => {
    const keys = ['title:3', 'title:a', 'title:99999999999', 'title:1%3B%20DROP%20TABLE%20titles', 'other:1', 'availability:hulu'];
    for (const key of keys) {
      const answer = await origin.get(key);
      assert.deepEqual([answer.status, (await answer.json()).code], [404, 'not-found'], key);
    }
    assert.deepEqual(await database.sql('SELECT count(*)::int FROM titles'), [{ count: 2 }]);
    assert.equal((await origin.get('title:1', { method: 'PUT' })).status, 405);
  });

  await t.test('lists what is read most', async () => {
    const listed = await (await fetch(`${origin.url}/tv?hot=1`)).text();
    assert.equal(listed, '{"key":"title:1","reads":9}\n');
  });

  await t.test('feeds an edge, which hears of a change by its publish', async () => {
    const broker = await startBroker(t, { ORIGIN_URL: origin.url });
    assert.equal((await broker.read('title:2')).json.name, 'Two');
    await database.sql(`UPDATE titles SET name = 'Second' WHERE id = 2`);
    const at = await broker.publish({ key: 'title:2' });
    assert.equal((await broker.read('title:2', { after: at })).json.name, 'Second');
  });

  await t.test('says 503 while the database is away, and serves when it is back', async () => {
    await database.end('SIGQUIT');
    const away = await origin.get('title:1');
    assert.deepEqual([away.status, away.headers.get('retry-after'), (await away.json()).title], [503, '1', 'The database is away']);
    assert.equal((await fetch(`${origin.url}/healthz`)).status, 503);
    await database.start();
    const back = await until(async () => {
      const answer = await origin.get('title:1');
      return answer.status === 200 && answer;
    });
    assert.equal((await back.json()).id, 1);
  });

  await t.test('says 503 for a statement that takes too long, and 500 for one that gives several rows', async () => {
    const mapping = `[[read]]\nkey = "slow:{s}"\nsql = "SELECT pg_sleep($1)"\n[[read]]\nkey = "many:{n}"\nsql = "SELECT n FROM generate_series(1, $1) AS n"`;
    const port = await freePort();
    const child = spawn(NEWSREEL, [...originWords(t, database, mapping, port), '--statement-timeout-ms', '200'], { stdio: ['ignore', 'pipe', 'ignore'] });
    await once(createInterface({ input: child.stdout }), 'line');
    const get = (key) => fetch(`http://127.0.0.1:${port}/tv/${key}`);
    assert.equal((await get('slow:30')).status, 503);
    assert.equal((await get('many:1')).status, 200);
    const many = await get('many:2');
    assert.deepEqual([many.status, (await many.json()).detail], [500, 'many:{n}: the statement gives several rows for one key']);
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
  });
}

/** Says at its start everything that is wrong. */
async function refuses(t, bin) {
  const database = await startPostgres(t, bin);
  await database.sql(SCHEMA);
  const refused = async (mapping) => {
    const { code, stderr } = await newsreel(...originWords(t, database, mapping, await freePort()));
    return { code, lines: stderr.trim().split('\n') };
  };
  const wrong = MAPPING.replace('platforms, "Kind", price', 'name').replace('AND title_id = $2', '').replace('SELECT poster', 'SELECT poster, id')
    + '[[read]]\nkey = "name:{name}"\nsql = "SELECT * FROM titles WHERE name = $1"\n[[read]]\nkey = "x:{a}"\nsql = "SELECT nothing"\n';
  assert.deepEqual(await refused(wrong), {
    code: 3,
    lines: [
      'newsreel: title:{id}: the row has no column Kind, of which the tags of public.titles are made: select it',
      'title:{id}: the row has no column platforms, of which the tags of public.titles are made: select it',
      'availability:{platform}:{title_id}: the key has 2 places and the statement 1 parameters: each place is one, in their order',
      'poster:{id}: a value of image/png is one column of bytea or text: select one, or cast it',
      'name:{name}: the statement reads all of titles for each key: create an index for its WHERE, or give --allow-scans',
      'x:{a}: PostgreSQL says: column "nothing" does not exist (SQLSTATE 42703)',
    ],
  });
  assert.equal((await refused('[[map]]\nfrom = "t"\nkey = "a:{b}"\n')).code, 3);
  await database.sql('ALTER DATABASE postgres SET default_transaction_read_only = on');
  const standby = await refused(MAPPING);
  assert.equal(standby.code, 5, standby.lines.join('\n'));
  await database.end('SIGQUIT');
  assert.equal((await refused(MAPPING)).code, 5);
}

for (const { name, bin } of servers()) {
  const skip = bin ? false : 'this PostgreSQL is not there';
  test(`an origin on PostgreSQL ${name}`, { skip }, (t) => serves(t, bin));
  test(`an origin on PostgreSQL ${name} says at its start everything that is wrong`, { skip }, (t) => refuses(t, bin));
}

// `newsreel source postgres` on real servers: from a committed row to a version, whatever is killed.

import { strictEqual as same, deepStrictEqual as sameAll, ok } from 'node:assert';
import { join } from 'node:path';
import { test } from 'node:test';

import { Source, servers, startPostgres } from './postgres.mjs';
import { reached, until } from './source.mjs';
import { startBroker } from './served.mjs';
import { TABLE, TITLES, rowsComeMoveAndGo } from './source-story.mjs';
import { temporaryFolder } from './system.mjs';

/** A server, a broker and a source that follows. */
async function started(t, bin, { tables = [TABLE], map = TITLES, flags, settings } = {}) {
  const pg = await startPostgres(t, bin, settings);
  const broker = await startBroker(t);
  await pg.sql(...tables);
  const make = () => new Source(t, { url: pg.url, broker: broker.url, folder: join(temporaryFolder(t), 'source'), map, flags });
  const source = make().start();
  await source.said(/following/);
  return { pg, broker, source, make };
}

for (const { name, bin } of servers()) {
  const on = { skip: bin ? false : `no PostgreSQL ${name} here`, timeout: 240_000 };
  const suite = (title, run) => test(`PostgreSQL ${name}: ${title}`, on, run);

  suite('a transaction is a version, with rows that come, move and go', async (t) => {
    const { pg, broker, source } = await started(t, bin);
    await rowsComeMoveAndGo({ pg, broker, source });
  });

  suite('large transactions are split in order, larger ones are a prefix', async (t) => {
    const { pg, broker, source } = await started(t, bin, { settings: { logical_decoding_work_mem: '64kB' } });
    await pg.sql(`INSERT INTO titles SELECT n FROM generate_series(1, 2500) n`, `INSERT INTO titles SELECT n FROM generate_series(3000, 23000) n`);
    const changes = await reached(broker, source, 5);
    sameAll(changes.map((list) => list.length), [1000, 1000, 500, 1]);
    sameAll(changes.slice(0, 3).flat().map(({ key }) => key), Array.from({ length: 2500 }, (_, n) => `title:${n + 1}`));
    sameAll(changes[3], [{ prefix: 'title:' }]);
  });

  suite('columns of every kind, and names with capitals, quotes and partitions', async (t) => {
    const tables = [
      `CREATE TYPE mood AS ENUM ('happy', 'sad')`,
      `CREATE DOMAIN label AS text CHECK (value <> '')`,
      `CREATE TABLE "Odd Table" ("Id" uuid PRIMARY KEY, m mood, ms mood[], l label, n numeric, at timestamptz, j jsonb, i int[], b boolean)`,
      `CREATE TABLE parts (id int, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region)`,
      `CREATE TABLE parts_eu PARTITION OF parts FOR VALUES IN ('eu')`,
    ];
    const map = `[[map]]
from = "public.Odd Table"
key = "odd:{Id}"
tags = ["m:{m}", "ms:{ms[]}", "l:{l}", "n:{n}", "at:{at | slug}", "j:{j.a[].b}", "i:{i[]}", "b:{b}"]
[[map]]
from = "public.parts"
key = "part:{region}:{id}"
`;
    const { pg, broker, source } = await started(t, bin, { tables, map });
    await pg.sql(
      `INSERT INTO "Odd Table" VALUES ('6f1d0c3e-0000-4000-8000-000000000001', 'sad', '{happy,sad}', 'x', 1.50, '2026-01-02 03:04:05+02', '{"a": [{"b": 1}, {"b": "z"}]}', '{7,8}', true)`,
      `INSERT INTO parts VALUES (1, 'eu')`,
      `DELETE FROM parts`,
    );
    sameAll(await reached(broker, source, 4), [
      [{
        key: 'odd:6f1d0c3e-0000-4000-8000-000000000001',
        tags: ['m:sad', 'ms:happy', 'ms:sad', 'l:x', 'n:1.50', 'at:2026-01-02-01-04-05-00', 'j:1', 'j:z', 'i:7', 'i:8', 'b:true'],
      }],
      [{ key: 'part:eu:1' }],
      [{ key: 'part:eu:1', op: 'remove' }],
    ]);
  });

  suite('large values that did not change, columns that come and go', async (t) => {
    const tables = [`CREATE TABLE titles (id int PRIMARY KEY, note text, big text)`, `ALTER TABLE titles ALTER big SET STORAGE EXTERNAL`];
    const map = `[[map]]\nfrom = "public.titles"\nkey = "title:{id}"\ntags = ["length:{big | lower}"]\n`;
    const { pg, broker, source } = await started(t, bin, { tables, map });
    await pg.sql(`INSERT INTO titles VALUES (1, 'a', repeat('X', 250))`, `ALTER TABLE titles ADD more int`, `UPDATE titles SET big = repeat('Y', 5000)`);
    await reached(broker, source, 3);
    ok(/at most|1 to 256 bytes/.test(source.log), source.log);
    await pg.sql(`UPDATE titles SET big = repeat('Z', 3000) || 'x', note = 'b'`, `UPDATE titles SET note = 'c'`, `ALTER TABLE titles DROP note`, `INSERT INTO titles VALUES (2, 'q')`);
    const changes = await reached(broker, source, 6);
    sameAll(changes.at(-1), [{ key: 'title:2', tags: ['length:q'] }]);
    ok(changes.every((list) => list.length === 1 && list[0].key));
  });

  suite('a message in a transaction is published with it', async (t) => {
    if (Number(name) < 14) return;
    const { pg, broker, source } = await started(t, bin);
    await pg.sql(`BEGIN`, `INSERT INTO titles VALUES (1)`, `SELECT pg_logical_emit_message(true, 'newsreel', '{"tag":"home"}')`, `COMMIT`,
      `SELECT pg_logical_emit_message(true, 'newsreel', 'nonsense')`, `INSERT INTO titles VALUES (2)`);
    sameAll(await reached(broker, source, 3), [[{ key: 'title:1' }, { tag: 'home' }], [{ key: 'title:2' }]]);
    ok(/is no publish/.test(source.log));
  });

  suite('a mapping that the database cannot keep is refused, with what to run', async (t) => {
    const { pg, broker, source } = await started(t, bin);
    await source.kill();
    await pg.sql(`CREATE TABLE offers (id int PRIMARY KEY, title int)`, `CREATE TABLE bare (id int)`);
    const refused = async (map, pattern) => {
      const other = new Source(t, { url: pg.url, broker: broker.url, folder: join(temporaryFolder(t), 'other'), map }).start();
      same(await other.ended(), 3);
      ok(pattern.test(other.log), other.log);
    };
    await refused(`[[map]]\nfrom = "public.offers"\nkey = "offer:{id}"\nalso = [{ tag = "title:{title}" }]\n`, /ALTER TABLE "public"."offers" REPLICA IDENTITY FULL;/);
    await refused(`[[map]]\nfrom = "public.bare"\nkey = "bare:{id}"\n`, /has no replica identity[^]*REPLICA IDENTITY FULL/);
    await refused(`[[map]]\nfrom = "public.offers"\nkey = "offer:{id}"\ntags = ["x:{colour}"]\n`, /has no column "colour"/);
    await refused(`[[map]]\nfrom = "public.nowhere"\nkey = "offer:{id}"\n`, /there is no table "public.nowhere"/);
  });

  suite('a slot that is lost is made anew, and what it missed is published wide', async (t) => {
    const { pg, broker, source } = await started(t, bin);
    await pg.sql(`INSERT INTO titles VALUES (1)`);
    await reached(broker, source, 2);
    // What is confirmed is in the state file before PostgreSQL is told.
    await until(async () => (await pg.sql(`SELECT confirmed_flush_lsn > '0/0' AS yes FROM pg_replication_slots`))[0].yes, 'confirmed');
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await source.kill();
    await until(async () => !(await pg.sql('SELECT active FROM pg_replication_slots'))[0].active, 'the slot is free');
    await pg.sql(`SELECT pg_drop_replication_slot('newsreel')`, `INSERT INTO titles VALUES (2)`);
    source.start();
    const began = Date.now();
    await until(() => /the slot was lost/.test(source.log), () => source.log);
    sameAll((await reached(broker, source, 3)).at(-1), [{ prefix: 'title:' }]);
    ok(Date.now() - began < 5_000);
    await pg.sql(`INSERT INTO titles VALUES (3)`);
    sameAll((await reached(broker, source, 4)).at(-1), [{ key: 'title:3' }]);
  });
}

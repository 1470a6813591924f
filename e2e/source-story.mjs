// What both sources of PostgreSQL are shown: a table, its mapping, and rows that come, move and go.

import { deepStrictEqual as sameAll } from 'node:assert';

import { reached } from './source.mjs';

/** The mapping of the table. */
export const TITLES = `[[map]]
from = "public.titles"
key = "title:{id}"
tags = ["platform:{platforms[]}", "kind:{kind | slug}"]
truncate = { prefix = "title:" }
`;
/** The table. */
export const TABLE = 'CREATE TABLE titles (id bigint PRIMARY KEY, name text, kind text, platforms text[])';

/** Runs transactions, and compares the versions that follow with them: each is one, and what is rolled back is none. */
export async function rowsComeMoveAndGo({ pg, broker, source }) {
  await pg.sql(
    `INSERT INTO titles VALUES (1, 'a', 'TV Show', '{x,y}'), (2, 'b', NULL, NULL)`,
    `UPDATE titles SET id = 3 WHERE id = 1`,
    `BEGIN`, `DELETE FROM titles WHERE id = 2`, `SAVEPOINT s`, `INSERT INTO titles VALUES (9)`, `ROLLBACK TO s`, `INSERT INTO titles VALUES (4)`, `COMMIT`,
    `BEGIN`, `INSERT INTO titles VALUES (5)`, `ROLLBACK`,
    `TRUNCATE titles`,
  );
  sameAll(await reached(broker, source, 5), [
    [{ key: 'title:1', tags: ['platform:x', 'platform:y', 'kind:tv-show'] }, { key: 'title:2' }],
    [{ key: 'title:1', op: 'remove' }, { key: 'title:3', tags: ['platform:x', 'platform:y', 'kind:tv-show'] }],
    [{ key: 'title:2', op: 'remove' }, { key: 'title:4' }],
    [{ prefix: 'title:' }],
  ]);
}

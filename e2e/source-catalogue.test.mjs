// A whole catalogue in PostgreSQL and its history as transactions of concurrent clients: the edge ends where SELECT is.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { catalogue, hundreds, lines } from './catalogue.mjs';
import { startPostgresOrigin } from './postgres-origin.mjs';
import { servers, Source, startPostgres } from './postgres.mjs';
import { until } from './source.mjs';
import { startBroker } from './served.mjs';
import { temporaryFolder } from './system.mjs';

const CLIENTS = 4;
/** `scripts/test long` plays every event. */
const EVENTS = process.env.NEWSREEL_LONG ? Infinity : 400;
const SCHEMA = `
  CREATE TABLE titles (id text PRIMARY KEY, name text, platforms text[], genres text[], changed int NOT NULL DEFAULT 0);
  CREATE TABLE availability (platform text, title_id text REFERENCES titles, seq int, PRIMARY KEY (platform, title_id));
`;
const MAP = `
catalog = "tv"
[[map]]
from = "public.titles"
key = "title:{id}"
tags = ["platform:{platforms[] | slug}", "genre:{genres[] | slug}"]
[[map]]
from = "public.availability"
key = "availability:{platform | slug}:{title_id}"
[[read]]
key = "title:{id}"
sql = "SELECT id, name, platforms, genres, changed FROM titles WHERE id = $1"
`;

/** The titles that are rows, and the events on them, in order. */
async function rowsAndEvents(folder) {
  const { name, file, days } = await catalogue(folder);
  const titles = new Map();
  for await (const { id, title, platforms = [], genres = [] } of lines(file)) titles.set(`${id}`, { id: `${id}`, title, platforms, genres });
  const events = days.flatMap(([, some]) => some).map((event) => ({ ...event, id: `${event.id}` }));
  return { name, titles: [...titles.values()], events: events.filter(({ id }) => titles.has(id)).slice(-EVENTS) };
}

/** Inserts the titles, a thousand a transaction. */
async function load(connection, titles) {
  for (let at = 0; at < titles.length; at += 1000) {
    await connection.query(
      `INSERT INTO titles (id, name, platforms, genres)
        SELECT * FROM json_to_recordset($1) AS title(id text, title text, platforms text[], genres text[])`,
      [JSON.stringify(titles.slice(at, at + 1000))],
    );
  }
}

/** Plays every event of its share as a transaction, and waits for none of the others. */
async function play(connection, events) {
  for (const { seq, id, platforms } of events) {
    await connection.query('BEGIN');
    await connection.query('UPDATE titles SET platforms = $2, changed = $3 WHERE id = $1', [id, platforms, seq]);
    for (const platform of platforms) {
      await connection.query(
        'INSERT INTO availability VALUES ($1, $2, $3) ON CONFLICT (platform, title_id) DO UPDATE SET seq = $3',
        [platform, id, seq],
      );
    }
    await connection.query('COMMIT');
  }
}

for (const [way, flags] of [['logical replication', []], ['the outbox', ['--outbox']]]) test(`a catalogue and its history in PostgreSQL reach the edge by ${way}`, { skip: servers()[0].bin ? false : 'no PostgreSQL is there', timeout: 3_600_000 }, async (t) => {
  const pg = await startPostgres(t, servers()[0].bin);
  await pg.sql(SCHEMA);
  const { name, titles, events } = await rowsAndEvents(temporaryFolder(t));
  t.diagnostic(`${name}: ${titles.length} titles, ${events.length} events`);
  const origin = await startPostgresOrigin(t, pg, MAP);
  const broker = await startBroker(t, { ORIGIN_URL: origin.url });
  const source = new Source(t, { url: pg.url, broker: broker.url, folder: join(temporaryFolder(t), 'source'), map: MAP, flags }).start();
  await source.said(/following/);
  const connections = await Promise.all(Array.from({ length: CLIENTS }, () => pg.connect()));
  await load(connections[0], titles);

  // The edge holds old values of some of the titles while they change.
  const held = new Set([...titles.filter((_, n) => n % 200 === 0), ...events.slice(0, 200)].map(({ id }) => `title:${id}`));
  for (const some of hundreds([...held])) await broker.readMany(some);
  // Each title's events are one client's, in order; the clients are concurrent.
  const numbered = events.map((event, n) => ({ ...event, seq: n + 1 }));
  const share = new Map([...new Set(numbered.map(({ id }) => id))].map((id, n) => [id, n % CLIENTS]));
  await Promise.all(connections.map((connection, client) => play(connection, numbered.filter(({ id }) => share.get(id) === client))));
  await Promise.all(connections.map((connection) => connection.end()));
  // A transaction is a version: the first of the source's own, the loads, and the events.
  const wanted = 1 + Math.ceil(titles.length / 1000) + events.length;
  let status;
  await until(async () => (status = await broker.status()).version >= wanted, () => `version ${wanted} of ${status.version}; ${source.log}`, 300_000);
  assert.equal(status.version, wanted);
  const rows = await pg.sql('SELECT id, name, platforms, genres, changed FROM titles ORDER BY changed DESC, id');
  // Every row that changed, and of the others those that the edge may hold.
  const compared = rows.filter(({ changed, id }) => process.env.NEWSREEL_LONG || changed > 0 || held.has(`title:${id}`));
  for (const some of hundreds(compared)) {
    const { entries } = await broker.readMany(some.map(({ id }) => `title:${id}`), { after: status });
    assert.deepEqual(entries.map(({ value }) => value), some);
  }
  t.diagnostic(`${compared.length} rows compared at the edge`);
});

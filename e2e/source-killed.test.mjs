// `newsreel source postgres` killed amid concurrent transactions, by logical replication and by the outbox.

import { test } from 'node:test';

import { servers } from './postgres.mjs';
import { kills, until } from './source.mjs';
import { killed } from './source-killed.mjs';

for (const [older, { name, bin }] of servers().entries()) {
  const times = kills(older ? 10 : 50);
  const options = { skip: bin ? false : `no PostgreSQL ${name} here`, timeout: 400_000 };
  test(`PostgreSQL ${name}: killed ${times} times, every transaction is one version`, options, async (t) => {
    await killed(t, bin, { times, settings: { logical_decoding_work_mem: '64kB' } });
  });

  test(`PostgreSQL ${name}: killed ${times} times, every transaction of the outbox is one version`, options, async (t) => {
    const settings = { wal_level: 'minimal', max_wal_senders: 0, max_replication_slots: 0 };
    const { pg, source } = await killed(t, bin, { times, flags: ['--outbox'], settings });
    const waiting = async () => (await pg.sql('SELECT count(*)::int AS rows FROM newsreel.outbox'))[0].rows;
    await until(async () => (await waiting()) === 0, () => `an empty outbox; the source says\n${source.log.slice(-2000)}`);
  });
}

// `scripts/dev --postgres`: a row that is changed as its output says is changed at the edge.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

import { startDev } from './dev.mjs';
import { servers } from './postgres.mjs';
import { until } from './source.mjs';
import { ROOT } from './system.mjs';

test('scripts/dev --postgres: a changed row arrives at the edge', { skip: servers()[0].bin ? false : 'no PostgreSQL is there' }, async (t) => {
  const { port, lines } = await startDev(t, ['--postgres']);
  const title = async () => (await fetch(`http://127.0.0.1:${port}/v1/catalogs/tv/entries/title:1`)).json();
  assert.equal((await title()).name, 'The Lantern Keepers');

  const update = lines.find((line) => line.includes('UPDATE titles'));
  const { status, stderr } = spawnSync('bash', ['-c', update], { cwd: ROOT, encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  await until(async () => (await title()).name === 'The Lantern Keepers, restored', 'the edge has the changed row');

  const url = /postgres:\S+/.exec(update)[0];
  const sql = spawnSync(process.execPath, ['scripts/postgres.mjs', 'sql', url, 'SELECT name FROM titles WHERE id = 1'], { cwd: ROOT, encoding: 'utf8' });
  assert.deepEqual(JSON.parse(sql.stdout), { name: 'The Lantern Keepers, restored' });
});

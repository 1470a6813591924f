// Keeps what a deployment of this build stores: `node e2e/transcripts/keep.mjs v2` makes v2/state.tar.gz and v2/state.json.
//
// As a recording it is made once, by the build whose tables and bytes come first, and never again. `VARS` let its
// entries and its log live for ten years.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, globSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';

import { Follower } from '../follower.mjs';
import { freePort, ROOT, startDev, startOrigin, temporaryFolder, TOKENS } from '../system.mjs';

const DECADE = 3_650 * 86_400_000;
const VARS = {
  LOG_SEGMENT_BYTES: '200',
  LOG_KEEP_BYTES: '500',
  FORGET_AFTER_MS: String(3 * DECADE),
  POLICY: JSON.stringify({ title: { ttl_ms: DECADE, stale_for_ms: DECADE } }),
};

const [version] = process.argv.slice(2);
const folder = `${ROOT}e2e/transcripts/${version}`;
assert.match(version ?? '', /^v\d+$/, 'which: v1');

test('state', { skip: existsSync(`${folder}/state.json`) && 'it is kept: it is never made again' }, async (t) => {
  const state = temporaryFolder(t);
  const [port, originPort] = [await freePort(), await freePort()];
  const { broker, kill } = await startDev(t, { state, port, originPort, vars: VARS });
  const origin = await startOrigin(t, { port: originPort, db: join(temporaryFolder(t), 'o.db'), broker: broker.url });
  for (let n = 0; n < 8; n += 1) await origin.put(`title:${n}`, { name: `Title ${n}`, told: 1 }, [`genre:${n % 2}`]);
  const head = async (least) => {
    const follower = await new Follower(broker, { name: 'keeper' }).connect();
    await follower.reached(least);
    await follower.close();
    return follower.position;
  };
  const held = await head(8);
  // One is changed after it was stored, one is removed, one is of a tag that is softened; the others stay.
  for (let n = 0; n < 8; n += 1) assert.equal((await broker.read(`title:${n}`, { after: held })).status, 200);
  await origin.put('title:0', { name: 'Title 0', told: 2 }, ['genre:0']);
  await origin.remove('title:1');
  await head(10);
  const last = await broker.publish({ tag: 'genre:soft', soft: true }, { headers: { 'idempotency-key': 'kept' } });
  for (const key of ['title:2', 'title:3']) {
    const answer = await broker.read(key, { after: last });
    assert.match(answer.headers.get('cache-status'), /memory; hit/);
  }
  for (let oldest = 0; oldest < 4;) ({ oldest } = await broker.status());
  // KV and R2 have the eight, and KV not the two generations that ended: no event tells when that is done.
  const stored = () => execFileSync('find', [state, '-type', 'f', '-path', '*blobs*'], { encoding: 'utf8' }).trim().split('\n').length;
  for (const deadline = Date.now() + 20_000; stored() !== 14;) assert.ok(Date.now() < deadline, `${stored()} values are stored`);
  await kill();
  for (const file of globSync('v3/{do,kv,r2}/*/*.sqlite', { cwd: state })) {
    const database = new DatabaseSync(join(state, file));
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    database.close();
  }
  const kept = globSync(['v3/{do,kv,r2}/*/*.sqlite', 'v3/{kv,r2}/*/blobs/*'], { cwd: state }).sort();
  execFileSync('tar', ['--owner=0', '--group=0', '-I', 'gzip -9', '-cf', `${folder}/state.tar.gz`, ...kept], { cwd: state });
  writeFileSync(`${folder}/state.json`, `${JSON.stringify({ vars: VARS, held, last }, undefined, 2)}\n`);
});

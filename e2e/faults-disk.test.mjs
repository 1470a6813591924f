// A disk without room under the log: what cannot be kept is refused, nothing is half kept, and with room it goes on.
//
// A real file system that is full (a small tmpfs in a namespace of workerd's own), and where a machine allows none, or
// beside it, a limit on the size of files: there SQLite's writes fail in another way. Linux only.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { until } from './edge.mjs';
import { Follower } from './follower.mjs';
import { startValues } from './origin.mjs';
import { Served } from './served.mjs';
import { temporaryFolder } from './system.mjs';

const MIB = 1 << 20;
const mayMount = spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'newsreel', '/mnt']).status === 0;
const mayLimit = spawnSync('prlimit', ['--fsize=1000000', 'true']).status === 0;

test('D1, D2: a disk that is full', { skip: !mayMount && 'no file system can be mounted here' }, async (t) => {
  const state = join(temporaryFolder(t), 'state');
  mkdirSync(state);
  const mount = `mount -t tmpfs -o size=3m newsreel ${state} && exec "$@"`;
  await story(t, state, {
    around: ['unshare', '-rm', 'sh', '-c', mount, 'sh'],
    // Seen from outside, through the process.
    fill: ({ pid }) => fill(`/proc/${pid}/root${state}`),
    free: ({ pid }) => free(`/proc/${pid}/root${state}`),
    code: 'not-written',
  });
});

test('D1, D2: a disk that takes no more writes', { skip: !mayLimit && 'no limit can be set here' }, async (t) => {
  const limit = ({ pid }, bytes) => {
    const { status, stderr } = spawnSync('prlimit', ['--pid', String(pid), `--fsize=${bytes}:unlimited`]);
    assert.equal(status, 0, String(stderr));
  };
  await story(t, temporaryFolder(t), {
    // The signal would end it.
    around: ['sh', '-c', `trap '' XFSZ; exec "$@"`, 'sh'],
    fill: (served) => limit(served, 4_096),
    free: (served) => limit(served, 'unlimited'),
    code: 'internal',
  });
});

async function story(t, state, { around, fill, free, code }) {
  const origin = await startValues(t);
  const served = await Served.at(t, { state, vars: { ORIGIN_URL: origin.url } });
  await served.start({ around });
  const { broker } = served;
  const publish = (n) => {
    origin.set('title:1', { n });
    const body = JSON.stringify({ changes: [{ key: 'title:1' }, { key: `a:${n}` }] });
    return broker.publishRaw(body, { headers: { 'idempotency-key': `k${n}` } });
  };
  const follower = await new Follower(broker).connect();
  for (let n = 1; n <= 3; n += 1) assert.equal((await publish(n)).json.version, n);
  await follower.reached(3);
  const before = await broker.status();
  assert.deepEqual((await broker.read('title:1', { after: before })).json, { n: 3 });

  fill(served);
  const first = await publish(4);
  assert.deepEqual([first.status, first.json?.code], [code === 'internal' ? 500 : 503, code], first.text);
  if (code === 'not-written') assert.equal(first.headers.get('retry-after'), '1');
  for (let n = 4; n <= 6; n += 1) {
    const refused = await publish(n);
    assert.ok(refused.status === 500 || refused.status === 503, refused.text);
    assert.match(refused.json.code, /^(internal|not-written)$/);
  }
  const lines = await broker.publishRaw('{"key":"b:1"}\n{"key":"b:2"}', { headers: { 'content-type': 'application/x-ndjson' } });
  assert.ok(!/"version":/.test(lines.text), lines.text);
  assert.equal(follower.position.version, 3, 'nobody was shown what is not kept');
  assert.equal(follower.failure, undefined);
  // The reader: what it can prove, marked, or not at all; never what was not published as fresh.
  const read = await broker.read('title:1');
  assert.ok(read.status === 503 || (read.status === 200 && read.json.n === 3), `${read.status} ${read.text}`);

  free(served);
  const next = await until(async () => {
    const answer = await publish(4);
    return answer.status === 200 && answer;
  }, 'there is room again');
  assert.equal(next.json.version, 4, 'no version was given out and lost');
  assert.equal(next.json.epoch, before.epoch);
  assert.equal((await publish(4)).text, next.text, 'its key is known');
  for (let n = 5; n <= 6; n += 1) assert.equal((await publish(n)).json.version, n);
  if (follower.socket.readyState !== WebSocket.OPEN) {
    await follower.until(() => follower.closed);
    await follower.connect();
  }
  await follower.reached(6);
  assert.equal(follower.resets, 0);
  const page = await broker.changes('?since=0');
  assert.deepEqual(page.json.versions.map(({ changes }) => changes[1].key), [1, 2, 3, 4, 5, 6].map((n) => `a:${n}`));
  assert.deepEqual(page.json.versions, follower.versions);
  const after = await until(async () => {
    const answer = await broker.read('title:1', { after: await broker.status() });
    return answer.status === 200 && answer;
  }, 'the edge follows again', 20_000);
  assert.deepEqual(after.json, { n: 6 });

  // A new process finds exactly the versions that were written.
  if (code === 'not-written') return;
  await served.kill();
  await served.start();
  assert.equal((await broker.status()).version, 6);
}

/** Takes all the room there is. */
function fill(folder) {
  let nth = 0;
  for (const size of [MIB / 16, 4_096, 1]) {
    try {
      for (;;) writeFileSync(join(folder, `filler-${(nth += 1)}`), Buffer.alloc(size));
    } catch (error) {
      if (error.code !== 'ENOSPC') throw error;
    }
  }
}

function free(folder) {
  for (const name of readdirSync(folder).filter((one) => one.startsWith('filler-'))) rmSync(join(folder, name));
}

// A catalog's log leaves one deployment and comes into another: `newsreel export` and `newsreel import`.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { newsreel, startSystem, temporaryFolder, TOKENS } from './system.mjs';

const NDJSON = { 'content-type': 'application/x-ndjson' };
const OPTIONS = { timeout: 120_000 };

const versionsOf = (text) => text.trim().split('\n').map((line) => JSON.parse(line)).filter((line) => line.version);
/** Returns what a follower is told, without the times and positions, which are each deployment's own. */
const told = (rows) => rows.map(({ version, changes }) => ({ version, changes }));

function exportLog(broker, out, ...flags) {
  return newsreel('export', '--broker', broker.url, '--token', TOKENS.follow, '--out', out, ...flags);
}

function importLog(broker, file, catalog = 'tv') {
  return newsreel('import', file, '--broker', broker.url, '--token', TOKENS.admin, '--catalog', catalog);
}

async function rowsOf(broker, catalog) {
  const { json } = await broker.changes('', { catalog });
  return json.versions;
}

/** Starts two deployments, one after the other: wrangler's harness builds each in the same folder. */
async function startTwo(t, vars) {
  const from = await startSystem(t, { origin: false, vars });
  const to = await startSystem(t, { origin: false });
  return { from: from.broker, to: to.broker };
}

test('a log is exported, imported into another deployment, and followed there', OPTIONS, async (t) => {
  const { from, to } = await startTwo(t);
  const folder = temporaryFolder(t);
  const file = join(folder, 'tv.ndjson');
  for (const publish of [
    { changes: [{ key: 'title:1', tags: ['platform:quay'] }, { tag: 'genre:noir', soft: true }, { prefix: 'list:' }] },
    { key: 'title:映画' },
    { key: 'title:1', op: 'remove' },
    { all: true },
  ]) {
    await from.publish(publish);
  }

  await t.test('the file has the rows of the log with their positions', async () => {
    const { code, stderr } = await exportLog(from, file);
    assert.equal(code, 0, stderr);
    const lines = versionsOf(readFileSync(file, 'utf8'));
    assert.deepEqual(told(lines), told(await rowsOf(from)));
    assert.equal(lines.at(-1).position, (await from.status()).position);
  });

  await t.test('the export goes on in the same file, also where it was cut off', async () => {
    writeFileSync(file, readFileSync(file, 'utf8').slice(0, -20));
    await from.publish({ key: 'title:5' });
    const { code, stderr } = await exportLog(from, file);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /2 lines of versions/);
    assert.deepEqual(told(versionsOf(readFileSync(file, 'utf8'))), told(await rowsOf(from)));
  });

  await t.test('an import that was cut off goes on: each version once, whole and in order', async () => {
    const torn = join(folder, 'torn.ndjson');
    writeFileSync(torn, readFileSync(file, 'utf8').split('\n').slice(0, 3).join('\n').slice(0, -10));
    const first = await importLog(to, torn);
    assert.equal(first.code, 3, first.stderr);
    assert.match(first.stderr, /line 3:/);
    assert.equal((await to.status()).version, 2);
    for (let run = 0; run < 2; run++) {
      const { code, stderr } = await importLog(to, file);
      assert.equal(code, 0, stderr);
      assert.deepEqual(told(await rowsOf(to)), told(await rowsOf(from)));
    }
    const follower = ['tail', '--broker', to.url, '--token', TOKENS.follow, '--from', 'start', '--json', '--exit-when-live'];
    const { stdout } = await newsreel(...follower);
    assert.deepEqual(told(versionsOf(stdout)), told(await rowsOf(from)));
  });

  await t.test('only what is after a position is exported, and imported after what is there', async () => {
    const { position } = await from.status();
    await from.publish({ key: 'title:6' });
    const later = join(folder, 'later.ndjson');
    assert.equal((await exportLog(from, later, '--from', position)).code, 0);
    assert.equal((await importLog(to, later)).code, 0);
    assert.equal((await importLog(to, later)).code, 0);
    assert.deepEqual(told(await rowsOf(to)), told(await rowsOf(from)));
  });

  await t.test('a position of another log is refused, and so is a file that was changed', async () => {
    const { position } = await to.status();
    const refused = await exportLog(from, join(folder, 'none.ndjson'), '--from', position);
    assert.equal(refused.code, 4);
    assert.match(refused.stderr, /is not on the log of this catalog/);
    const changed = join(folder, 'changed.ndjson');
    writeFileSync(changed, readFileSync(file, 'utf8').replace('title:5', 'title:7'));
    const { code, stderr } = await importLog(to, changed, 'changed');
    assert.equal(code, 3);
    assert.match(stderr, /line 5: its position does not follow/);
    assert.equal((await to.status('changed')).version, 4);
  });

  await t.test('a version of somebody else in between ends the import', async () => {
    const part = join(folder, 'part.ndjson');
    writeFileSync(part, readFileSync(file, 'utf8').split('\n').slice(0, 2).join('\n'));
    assert.equal((await importLog(to, part, 'shared')).code, 0);
    await to.publish({ key: 'title:9' }, { catalog: 'shared' });
    for (let run = 0; run < 2; run++) {
      const { code, stderr } = await importLog(to, file, 'shared');
      assert.equal(code, 4);
      assert.match(stderr, /import-disturbed: line 3: .*newsreel admin new-epoch/s);
    }
    const anew = ['admin', 'new-epoch', '--broker', to.url, '--token', TOKENS.admin, '--catalog', 'shared'];
    assert.equal((await newsreel(...anew)).code, 0);
    const { code, stderr } = await importLog(to, file, 'shared');
    assert.equal(code, 0, stderr);
    assert.deepEqual(told(await rowsOf(to, 'shared')), told(await rowsOf(from)).slice(0, 5));
  });
});

test('what a log has folded is exported as the newest of each target', OPTIONS, async (t) => {
  const { from, to } = await startTwo(t, { LOG_SEGMENT_BYTES: '8192', LOG_KEEP_BYTES: '16384' });
  const file = join(temporaryFolder(t), 'tv.ndjson');
  const publish = (n) => ({ changes: [{ key: `title:${n % 40}`, tags: [`genre:${n}`] }, { key: `note:${n}` }] });
  const lines = Array.from({ length: 1_000 }, (_, n) => JSON.stringify(publish(n))).join('\n');
  assert.equal((await from.publishRaw(lines, { headers: NDJSON })).status, 200);
  await from.publish({ changes: [{ key: 'title:1', op: 'remove' }] });
  const deadline = Date.now() + 60_000;
  while ((await from.status()).oldest < 500) assert.ok(Date.now() < deadline, 'it folds');

  assert.equal((await exportLog(from, file)).code, 0);
  const exported = versionsOf(readFileSync(file, 'utf8'));
  assert.ok(exported.some(({ at }) => at === undefined) && exported.some(({ at }) => at !== undefined));
  const { code, stderr } = await importLog(to, file);
  assert.equal(code, 0, stderr);
  const imported = [];
  for (let since = 0, head = 1; since < head; ) {
    const { json } = await to.changes(since ? `?since=${since}&epoch=${(await to.status()).epoch}` : '');
    imported.push(...json.versions);
    [since, head] = [json.to, json.head];
  }
  assert.deepEqual(imported.map(({ changes }) => changes), exported.map(({ changes }) => changes));
  const newest = new Map(exported.flatMap(({ version, changes }) => changes.map((change) => [change.key, version])));
  assert.equal(newest.size, 1_040, 'no target is missing');
  assert.equal(newest.get('title:1'), 1_001);
});

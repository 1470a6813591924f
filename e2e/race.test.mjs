// The short form of the race (scripts/race): Newsreel and the platform's own stores, without the peers' packages.

import assert from 'node:assert/strict';
import test from 'node:test';

import { run, startRace } from './race/race.mjs';

test('S1, S2: in the race no read after a purge is older than the purge, and the platform alone loses it', { timeout: 120_000 }, async (t) => {
  const race = await startRace({ peers: false });
  t.after(() => race.dispose());
  const seeds = { from: 1, count: 60, atOnce: 60 };
  const ours = await run(race, 'newsreelAsks', seeds);
  assert.deepEqual({ older: ours.older, failed: ours.failed, marked: ours.marked }, { older: 0, failed: 0, marked: 0 });
  assert.ok(ours.reads > 600 && ours.renders > 100 && ours.renders < ours.reads, JSON.stringify(ours));
  const plain = await run(race, 'plainKv', seeds);
  assert.ok(plain.older > 0, 'or the race is none');
});

// scripts/soak-real on this machine: 20 s of it, and its verdicts.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';

import { ROOT, runToEnd } from './system.mjs';
import { assumed, judged } from './soak-real/assumptions.mjs';

test('a soak on wrangler dev holds every guarantee and judges every assumption', { timeout: 180_000 }, async () => {
  const main = join(ROOT, 'e2e/soak-real/main.mjs');
  const { code, stdout, stderr } = await runToEnd(process.execPath, [main, '--dev', '--for', '20', '--no-conformance', '--json']);
  assert.equal(code, 0, `${stdout}\n${stderr}`);
  const { violations, counts, assumptions } = JSON.parse(stdout);
  assert.deepEqual(violations, []);
  for (const what of ['publishes', 'reads that must be new', 'fills', 'cuts of followers']) assert.ok(counts[what] > 0, `${what}: ${counts[what]}`);
  assert.deepEqual(assumptions.map((one) => one.assumed), assumed());
  const notSeen = assumptions.filter(({ verdict }) => verdict !== 'seen').map((one) => one.assumed.slice(0, 23));
  assert.deepEqual(notSeen, ['SHA-256 cut to 128 bits', 'A restore takes the who'], stdout);
});

test('what contradicts an assumption is said', () => {
  const evidence = { violations: ['G4: version 3 is not whole'], counts: { publishes: 3, 'cuts of followers': 0 }, seen: { oneHead: false } };
  const contradicted = judged(evidence).filter(({ verdict }) => verdict === 'CONTRADICTED').map((one) => one.assumed.slice(0, 22));
  assert.deepEqual(contradicted, ['One object per catalog', 'A transaction is writt', 'A close that the broke']);
});

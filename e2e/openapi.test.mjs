// docs/openapi.json against the running Worker: a short run of scripts/openapi. Left out where Python is not to be had.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';

import { ROOT, startSystem, TOKENS } from './system.mjs';

/** The exit code of scripts/openapi that says that schemathesis cannot be had here. */
const NO_TOOL = 77;

test('the deployment does what docs/openapi.json says', { timeout: 300_000 }, async (t) => {
  const { broker } = await startSystem(t);
  const command = spawn(join(ROOT, 'scripts/openapi'), [broker.url, TOKENS.admin, '--examples', '3'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [command.stdout, command.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  const [code] = await once(command, 'close');
  if (code === NO_TOOL) return t.skip(output.trim());
  assert.equal(code, 0, output);
});

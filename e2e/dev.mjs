// `scripts/dev` for a test: started on ports of its own, and ended with the test.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { ROOT, temporaryFolder } from './system.mjs';
import { freePorts } from './workerd.mjs';

/** Starts `scripts/dev` and waits until it is ready. Returns its port and the lines that it printed. */
export async function startDev(t, flags = []) {
  const port = await freePorts(3);
  const state = temporaryFolder(t);
  // Root runs PostgreSQL as another user.
  chmodSync(state, 0o711);
  const dev = spawn(join(ROOT, 'scripts/dev'), ['--port', `${port}`, '--state', state, ...flags], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(dev, 'exit');
  t.after(async () => {
    dev.kill('SIGTERM');
    await exited;
  });
  const said = [];
  const lines = [];
  createInterface(dev.stderr).on('line', (line) => said.push(line));
  const ready = new Promise((resolve) => {
    createInterface(dev.stdout).on('line', (line) => lines.push(line) && line.startsWith('ready ') && resolve());
  });
  const ended = exited.then(([code]) => Promise.reject(new Error(`scripts/dev ended with ${code}:\n${said.join('\n')}`)));
  await Promise.race([ready, ended]);
  ended.catch(() => {});
  return { port, lines };
}

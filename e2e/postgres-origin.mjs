// `newsreel origin postgres` for a test.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { freePort, NEWSREEL, temporaryFolder } from './system.mjs';

/** Writes a mapping and returns the words that start an origin by it on the database of a server. */
export function originWords(t, database, mapping, port) {
  const file = join(temporaryFolder(t), 'newsreel-map.toml');
  writeFileSync(file, mapping);
  return ['origin', 'postgres', '--map', file, ...(database.url ? ['--database', database.url] : []), '--listen', `127.0.0.1:${port}`];
}

/** Starts an origin and waits until it serves: `{ url, get }`. Ends with the test. */
export async function startPostgresOrigin(t, database, mapping, { env = {} } = {}) {
  const port = await freePort();
  const child = spawn(NEWSREEL, originWords(t, database, mapping, port), {
    stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env },
  });
  t.after(async () => {
    child.kill('SIGTERM');
    await once(child, 'exit');
  });
  const ended = once(child, 'exit').then(([code]) => Promise.reject(new Error(`the origin ended with ${code}`)));
  ended.catch(() => {});
  await Promise.race([once(createInterface({ input: child.stdout }), 'line'), ended]);
  const url = `http://127.0.0.1:${port}`;
  return { url, get: (path, options) => fetch(`${url}/tv/${path}`, options) };
}

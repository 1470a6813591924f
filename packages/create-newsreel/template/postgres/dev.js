// `npm run dev`: makes the tables, then runs the Worker in `wrangler dev` on PORT, 8787 by default, and beside it the two processes
// that connect Newsreel to PostgreSQL. One answers reads that miss, on the port after it; the other publishes what commits.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

import { query, url } from './database.js';

const port = Number(process.env.PORT ?? 8787);
const worker = `http://127.0.0.1:${port}`;
const origin = `127.0.0.1:${port + 1}`;
const require = createRequire(import.meta.url);
const wrangler = join(dirname(require.resolve('wrangler/package.json')), 'bin/wrangler.js');
const newsreel = require.resolve('newsreel-cli/bin.js');

const parts = [];
/** Runs a part that has to stay: where one ends, all end. */
function part(script, words) {
  const child = spawn(process.execPath, [script, ...words], { stdio: ['ignore', 'inherit', 'inherit'] });
  parts.push(child.on('exit', (code) => stop(code ?? 1)));
}
function stop(code) {
  for (const child of parts) child.kill('SIGTERM');
  process.exit(code);
}
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => stop(0));

await query(readFileSync(new URL('tables.sql', import.meta.url), 'utf8'));
const mapped = ['--map', 'newsreel-map.toml', '--database', url];
const publishes = ['--broker', worker, '--token', 'dev-publish'];
part(newsreel, ['origin', 'postgres', ...mapped, '--listen', origin, ...publishes]);
part(wrangler, ['dev', '--port', port, '--var', `ORIGIN_URL:http://${origin}`, 'EDGE:local', ...process.argv.slice(2)]);
while (!(await fetch(`${worker}/readyz`).then(({ ok }) => ok, () => false))) await setTimeout(100);
// Triggers write what changes into an outbox, so that any PostgreSQL from 13 on will do. README.md has the other way.
part(newsreel, ['source', 'postgres', '--outbox', '--create', ...mapped, ...publishes]);

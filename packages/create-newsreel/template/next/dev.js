// `npm run dev`: Newsreel's Worker in `wrangler dev` on PORT, 8787 by default; then the app, built, in two processes on the two ports
// after it. A change that one of them makes is seen by the other.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

const port = Number(process.env.PORT ?? 8787);
const worker = `http://127.0.0.1:${port}`;
const require = createRequire(import.meta.url);
const programOf = (name, path) => join(dirname(require.resolve(`${name}/package.json`)), path);
const next = programOf('next', 'dist/bin/next');

Object.assign(process.env, {
  NEWSREEL_URL: worker,
  NEWSREEL_CATALOG: '{{name}}',
  NEWSREEL_FOLLOW_TOKEN: 'dev-follow',
  NEWSREEL_PUBLISH_TOKEN: 'dev-publish',
  EDIT_TOKEN: 'dev-edit',
});

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

part(programOf('wrangler', 'bin/wrangler.js'), ['dev', '--port', port, ...process.argv.slice(2)]);
const [built] = await once(spawn(process.execPath, [next, 'build'], { stdio: 'inherit' }), 'exit');
if (built !== 0) stop(1);
const answers = async (address) => {
  while (!(await fetch(address).then(({ ok }) => ok, () => false))) await setTimeout(100);
};
await answers(`${worker}/healthz`);
const processes = [port + 1, port + 2];
for (const each of processes) part(next, ['start', '--hostname', '127.0.0.1', '--port', each]);
for (const each of processes) await answers(`http://127.0.0.1:${each}`);
console.log(`ready: ${processes.map((each) => `http://127.0.0.1:${each}`).join(' and ')}`);

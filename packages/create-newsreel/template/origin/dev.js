// `npm run dev`: the Worker in `wrangler dev` on PORT, 8787 by default, and the origin on the port after it.

import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const port = Number(process.env.PORT ?? 8787);
const origin = `http://127.0.0.1:${port + 1}`;

Object.assign(process.env, { PORT: port + 1, NEWSREEL_URL: `http://127.0.0.1:${port}`, NEWSREEL_TOKEN: 'dev-publish' });
await import('./origin.js');

const wrangler = join(dirname(createRequire(import.meta.url).resolve('wrangler/package.json')), 'bin/wrangler.js');
const words = ['dev', '--port', port, '--var', `ORIGIN_URL:${origin}`, 'EDGE:local', ...process.argv.slice(2)];
const child = spawn(process.execPath, [wrangler, ...words], { stdio: 'inherit' });
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
child.on('exit', (code) => process.exit(code ?? 1));

// `npm run change title:1`: changes a title at the origin, and reads the title at the edge before and after. With the variable
// SITE it does so at a deployment: SITE=https://{{name}}.example.workers.dev npm run change title:1

import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';

const { SITE, PORT = 8787 } = process.env;
const site = SITE?.replace(/\/$/, '') ?? `http://127.0.0.1:${PORT}`;
const { EDIT_TOKEN } = SITE ? JSON.parse(readFileSync('.secrets.json', 'utf8')) : parseEnv(readFileSync('.dev.vars', 'utf8'));
const address = `${site}/${process.argv[2] ?? 'title:1'}`;

async function ask(request) {
  try {
    const response = await fetch(address, request);
    return { text: await response.text(), how: response.headers.get('Newsreel') ?? response.headers.get('Cache-Status') };
  } catch (error) {
    console.error(`${address} does not answer (${error.cause?.code ?? error.message}): is \`npm run dev\` running?`);
    process.exit(1);
  }
}

async function read() {
  const { text, how } = await ask();
  return `${text}  (${how})`;
}

const headers = { Authorization: `Bearer ${EDIT_TOKEN}` };
console.log(`edge before  ${await read()}`);
console.log(`published    ${(await ask({ method: 'PUT', headers, body: `Changed at ${new Date().toISOString()}` })).text}`);
console.log(`edge after   ${await read()}`);

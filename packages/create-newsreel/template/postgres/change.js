// `npm run change title:1`: changes a row in PostgreSQL, and reads it at the edge until the change is there.

import { setTimeout } from 'node:timers/promises';

import { query } from './database.js';

const port = Number(process.env.PORT ?? 8787);
const key = process.argv[2] ?? 'title:1';
const edge = `http://127.0.0.1:${port}/v1/catalogs/{{name}}/entries/${key}`;

async function read() {
  try {
    return await (await fetch(edge)).text();
  } catch (error) {
    console.error(`${edge} does not answer (${error.cause?.code ?? error.message}): is \`npm run dev\` running?`);
    process.exit(1);
  }
}

console.log(`edge before  ${await read()}`);
const name = `Changed at ${new Date().toISOString()}`;
const { rowCount } = await query('UPDATE titles SET name = $1 WHERE id = $2', [name, key.split(':')[1]]);
console.log(`committed    ${rowCount} row`);
const committed = performance.now();
let after = await read();
for (; rowCount > 0 && !after.includes(name); after = await read()) await setTimeout(10);
console.log(`edge after   ${after}  (${Math.round(performance.now() - committed)} ms after the commit)`);

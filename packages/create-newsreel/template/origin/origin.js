// The origin: a server of your own that has the values. Newsreel asks GET /{{name}}/title:1 of it when a value is not at the
// edge. When a value changes, the origin publishes the key: after that no edge answers with the old value.
//
// Run beside a deployment with NEWSREEL_URL, NEWSREEL_TOKEN (a token of PUBLISH_TOKENS) and PORT.

import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';

const { NEWSREEL_URL, NEWSREEL_TOKEN, PORT } = process.env;
const CATALOG = '{{name}}';
const FILE = new URL('titles.json', import.meta.url);

const titles = new Map(Object.entries(JSON.parse(readFileSync(FILE, 'utf8'))));

const server = createServer(async (request, response) => {
  const answer = (status, value) => {
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(value));
  };
  const [catalog, key] = request.url.slice(1).split('/').map(decodeURIComponent);
  if (catalog !== CATALOG || !key?.includes(':')) return answer(404, { error: `there are keys like /${CATALOG}/title:1` });
  if (request.method === 'GET') return titles.has(key) ? answer(200, titles.get(key)) : answer(404, { error: 'no such title' });
  if (request.method !== 'PUT') return answer(405, { error: 'GET reads a title, PUT changes it' });
  try {
    titles.set(key, JSON.parse(await text(request)));
  } catch {
    return answer(400, { error: 'a title is JSON' });
  }
  // First the change, then the publish: a read after the publish finds the new value here.
  writeFileSync(FILE, `${JSON.stringify(Object.fromEntries(titles), null, 2)}\n`);
  answer(200, await publish({ key }));
});

/** Publishes a change and waits until every edge has applied it. Tries again until Newsreel has answered. */
async function publish(change) {
  const address = `${NEWSREEL_URL}/v1/catalogs/${CATALOG}/changes?wait=applied&timeout_ms=5000`;
  const headers = { Authorization: `Bearer ${NEWSREEL_TOKEN}`, 'Idempotency-Key': randomUUID() };
  for (let pause = 100; ; pause = Math.min(2 * pause, 5_000)) {
    const response = await fetch(address, { method: 'POST', headers, body: JSON.stringify(change) }).catch((error) => error);
    if (response.ok) return response.json();
    console.error(`origin: not published, again in ${pause} ms: ${response.message ?? (await response.text())}`);
    await setTimeout(pause);
  }
}

server.on('error', (error) => {
  console.error(error.code === 'EADDRINUSE' ? `origin: port ${PORT} is taken: choose another PORT` : error);
  process.exit(1);
});
server.listen(Number(PORT), '127.0.0.1', () => console.log(`origin: http://127.0.0.1:${PORT}/${CATALOG}/title:1`));

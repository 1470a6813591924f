// The script of the action: one publish, sent until it is acknowledged. Reads its inputs from the environment, so that no
// text of theirs is ever a part of a command.

import { randomUUID } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** How often a publish without an answer is sent again, and how long before the first time, in milliseconds. */
const [ATTEMPTS, PAUSE] = [6, 500];
const MOST_WAIT = 30;

const input = (name) => (process.env[`NEWSREEL_${name}`] ?? '').trim();
const isOn = (name) => {
  if (!['', 'true', 'false'].includes(input(name))) throw new Error(`${name.toLowerCase()} is true or false, not ${input(name)}`);
  return input(name) === 'true';
};
const lines = (name) => input(name).split('\n').map((line) => line.trim()).filter(Boolean);

/** Returns what is published. */
function changes() {
  const soft = isOn('SOFT') ? { soft: true } : {};
  const named = Object.entries({ KEYS: 'key', TAGS: 'tag', PREFIXES: 'prefix' });
  const all = named.flatMap(([name, target]) => lines(name).map((value) => ({ [target]: value, ...soft })));
  if (isOn('ALL')) all.push({ all: true, ...soft });
  if (all.length === 0) throw new Error('nothing to publish: give keys, tags, prefixes or all');
  if (all.length > 1_000) throw new Error(`${all.length} changes: one publish has at most 1000; name a tag or a prefix`);
  return all;
}

function address() {
  for (const name of ['URL', 'CATALOG', 'TOKEN']) if (!input(name)) throw new Error(`${name.toLowerCase()} is missing`);
  const seconds = Number(input('WAIT') || 0);
  if (!(seconds >= 0 && seconds <= MOST_WAIT)) throw new Error(`wait is 0 to ${MOST_WAIT} seconds, not ${input('WAIT')}`);
  const at = `${input('URL').replace(/\/+$/, '')}/v1/catalogs/${encodeURIComponent(input('CATALOG'))}/changes`;
  return seconds > 0 ? `${at}?wait=applied&timeout_ms=${Math.round(seconds * 1_000)}` : at;
}

/** Sends the publish until it is answered. The key makes it one publish, however often it is sent. */
async function publish(url, body) {
  const headers = {
    'Authorization': `Bearer ${input('TOKEN')}`,
    'Content-Type': 'application/json',
    'Idempotency-Key': `ci-${randomUUID()}`,
  };
  for (let attempt = 1; ; attempt++) {
    const answer = await fetch(url, { method: 'POST', headers, body, redirect: 'error', signal: AbortSignal.timeout(60_000) }).catch((error) => error);
    const text = answer instanceof Error ? String(answer.cause ?? answer) : await answer.text().catch(String);
    if (answer.ok) return JSON.parse(text);
    const passing = answer instanceof Error || answer.status >= 500 || [408, 409, 425, 429].includes(answer.status);
    if (!passing || attempt === ATTEMPTS) throw new Error(`${answer.status ?? 'no answer'}: ${text}`);
    console.log(`attempt ${attempt}: ${answer.status ?? 'no answer'}; again`);
    await sleep(PAUSE * 2 ** attempt * Math.random());
  }
}

function tell(receipt) {
  const { epoch, version, applied = [], pending = [], offline = [] } = receipt;
  console.log(`published version ${version}: ${receipt.changes} changes`);
  if (applied.length > 0) console.log(`applied by ${applied.join(', ')}`);
  if (offline.length > 0) console.log(`offline, and will hear of it: ${offline.join(', ')}`);
  const outputs = { version, 'min-version': `${epoch}:${version}`, receipt: JSON.stringify(receipt) };
  const text = Object.entries(outputs).map(([name, value]) => `${name}=${value}\n`).join('');
  if (process.env.GITHUB_OUTPUT) appendFileSync(process.env.GITHUB_OUTPUT, text);
  if (pending.length > 0) throw new Error(`published, but not applied in time by ${pending.join(', ')}`);
}

try {
  const body = JSON.stringify({ changes: changes() });
  tell(await publish(address(), body));
} catch (error) {
  // As GitHub reads a message: a line break would end it.
  console.log(`::error title=Newsreel::${error.message.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')}`);
  process.exitCode = 1;
}

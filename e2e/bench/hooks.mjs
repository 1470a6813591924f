// Webhook requests per second: published before the answer and through the queue, under wrangler; and on bare workerd, which has
// no queue, beside plain publishes. Needs the built Worker.
//
//   hooks.mjs [SECONDS] [SENDERS]

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { createTestHarness } from 'wrangler';

import { HOOK_SECRETS, post, SIGNERS } from '../hooks.mjs';
import { startBroker } from '../served.mjs';
import { Broker, ROOT, SECRETS, temporaryFolder, TOKENS } from '../system.mjs';

const [seconds = 10, senders = 32] = process.argv.slice(2).map(Number);
const HOOKS = { gh: { scheme: 'github', secret: 'GH', map: [{ key: 'title:{id}', tags: ['platform:{platforms[]}'] }] } };

/** What ends with the run, as a test's context has it. */
const ends = [];
const run = { after: (end) => ends.push(end) };

/** A deployment under wrangler, with the queue of wrangler.toml's comments or without. */
async function underWrangler(withQueue) {
  const config = join(temporaryFolder(run), 'wrangler.toml');
  const toml = readFileSync(join(ROOT, 'wrangler.toml'), 'utf8')
    .replace(/^main = "/m, `$&${ROOT}/`)
    .replace(/^\[(build|assets)\]\n(.+\n)+/gm, '');
  const queued = toml.replace(/^# (\[\[queues\.|binding = "HOOK_QUEUE"|queue = "newsreel-hooks|max_|dead_letter_queue)/gm, '$1');
  writeFileSync(config, withQueue ? queued : toml);
  const secrets = { ...SECRETS, ...HOOK_SECRETS };
  const harness = createTestHarness({ root: ROOT, workers: [{ configPath: config, vars: { EDGE: 'bench', HOOKS }, secrets }] });
  ends.push(() => harness.close());
  return new Broker((await harness.listen()).url.origin);
}

/** Sends for some seconds from many senders at once; returns the requests per second and how long they took. */
async function load(send) {
  let sent = 0;
  const took = [];
  const end = performance.now() + seconds * 1_000;
  const sender = async () => {
    while (performance.now() < end) {
      const begun = performance.now();
      await send((sent += 1));
      took.push(performance.now() - begun);
    }
  };
  await Promise.all(Array.from({ length: senders }, sender));
  took.sort((a, b) => a - b);
  const at = (part) => `${took[Math.floor(took.length * part)].toFixed(1)} ms`;
  return `${Math.round(took.length / seconds)}/s, p50 ${at(0.5)}, p99 ${at(0.99)}`;
}

const hook = (broker, status) => async (id) => {
  const body = JSON.stringify({ id, platforms: ['netflix', 'hulu'] });
  const answer = await post(broker, 'tv/hooks/gh', body, SIGNERS.github(body, { id: `m-${id}` }));
  if (answer.status !== status) throw new Error(`${answer.status}: ${answer.text}`);
};
const publish = (broker) => async (id) => {
  const body = JSON.stringify({ key: `title:${id}`, tags: ['platform:netflix', 'platform:hulu'] });
  await broker.publishRaw(body, { token: TOKENS.publish, headers: { 'idempotency-key': `k-${id}`, 'content-type': 'application/json' } });
};

try {
  const bare = await startBroker(run, { HOOKS: JSON.stringify(HOOKS), ...HOOK_SECRETS });
  console.log(`${senders} senders, ${seconds} s each`);
  console.log(`bare workerd, plain publishes: ${await load(publish(bare))}`);
  console.log(`bare workerd, hook, published before the answer: ${await load(hook(bare, 200))}`);
  const direct = await underWrangler(false);
  console.log(`wrangler, hook, published before the answer: ${await load(hook(direct, 200))}`);
  const queued = await underWrangler(true);
  console.log(`wrangler, hook, through the queue: ${await load(hook(queued, 202))}`);
} finally {
  for (const end of ends.reverse()) await end();
}

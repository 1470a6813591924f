// Where the soak plays: an account of Cloudflare, or this machine under `wrangler dev`. Each removes what it made.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

import { ROOT } from '../system.mjs';
import { freePort } from '../workerd.mjs';

const WRANGLER = join(ROOT, 'node_modules/wrangler/bin/wrangler.js');
/** Nothing answers there: values are handed in under leases, from outside. */
const VARS = { ORIGIN_URL: 'https://newsreel.invalid', EDGE: 'soak' };
/** A log that seals and folds early, so that the alarm has work within the time. */
export const SHORT_LOG = { LOG_SEGMENT_BYTES: '1024', LOG_KEEP_BYTES: '2048' };

function tokens() {
  const token = () => randomBytes(24).toString('hex');
  return { publish: token(), follow: token(), fill: token(), admin: token() };
}

const secretsOf = ({ publish, follow, fill, admin }) => ({
  PUBLISH_TOKENS: `soak=${publish}`, FOLLOW_TOKENS: `soak=${follow}`, FILL_TOKENS: `soak=${fill}`, ADMIN_TOKENS: `soak=${admin}`,
});

const config = (name, kv, vars) => `
name = "${name}"
main = ${JSON.stringify(join(ROOT, 'crates/entry/build/index.js'))}
compatibility_date = "2026-07-30"
workers_dev = true
[[durable_objects.bindings]]
name = "BROKER"
class_name = "Broker"
[[durable_objects.bindings]]
name = "REPLICA"
class_name = "Replica"
[[migrations]]
tag = "v1"
new_sqlite_classes = ["Broker", "Replica"]
[[kv_namespaces]]
binding = "ENTRIES"
id = "${kv}"
[vars]
${Object.entries({ ...VARS, ...vars }).map(([variable, value]) => `${variable} = "${value}"`).join('\n')}
`;

/** A variable that nobody reads: with it the same code is another version of the Worker. */
const another = () => ({ DEPLOYED_AT: `${Date.now()}` });

/** Waits until a deployment answers. */
async function untilReady(url, seconds) {
  const deadline = Date.now() + 1_000 * seconds;
  for (;;) {
    const ready = await fetch(`${url}/readyz`).then(({ ok }) => ok, () => false);
    if (ready) return;
    if (Date.now() > deadline) throw new Error(`${url}/readyz is not ready after ${seconds} s`);
    await sleep(500);
  }
}

/** `wrangler dev`, on a folder that is gone afterwards. Its second deploy kills it and starts it on the same state. */
export async function onThisMachine(say) {
  const folder = mkdtempSync(join(tmpdir(), 'newsreel-soak-'));
  const port = await freePort();
  const place = { name: 'wrangler dev', url: `http://127.0.0.1:${port}`, tokens: tokens(), isCrash: true };
  let child;
  const start = async (variables) => {
    writeFileSync(join(folder, 'wrangler.toml'), config('newsreel-soak', 'soak-entries', variables));
    const vars = Object.entries({ ...secretsOf(place.tokens), ...another() }).flatMap(([name, value]) => ['--var', `${name}:${value}`]);
    const words = ['dev', '--config', join(folder, 'wrangler.toml'), '--ip', '127.0.0.1', '--port', `${port}`, '--inspector-port', '0',
      '--persist-to', join(folder, 'state'), '--show-interactive-dev-session=false', ...vars];
    child = spawn(process.execPath, [WRANGLER, ...words], { cwd: ROOT, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    const said = [];
    for (const stream of [child.stdout, child.stderr]) createInterface(stream).on('line', (line) => said.push(line) > 20 && said.shift());
    const ended = once(child, 'close').then(() => Promise.reject(new Error(`wrangler dev ended:\n${said.join('\n')}`)));
    await Promise.race([untilReady(place.url, 60), ended]);
    ended.catch(() => {});
  };
  const stop = async () => {
    if (!child) return;
    const closed = child.exitCode === null && child.signalCode === null ? once(child, 'close') : undefined;
    if (closed) process.kill(-child.pid, 'SIGKILL');
    await closed;
  };
  place.deploy = start;
  place.again = async (variables) => {
    say('killing it, and starting it on what it has stored');
    await stop();
    await start(variables);
  };
  place.remove = async () => {
    await stop();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  return place;
}

/** An account: a Worker and a KV namespace of a name that nothing else has. R2 is left out: a bucket with objects stays. */
export async function onCloudflare(say) {
  const folder = mkdtempSync(join(tmpdir(), 'newsreel-soak-'));
  const name = `newsreel-soak-${randomBytes(4).toString('hex')}`;
  const place = { name: `Cloudflare, ${name}`, tokens: tokens(), isCrash: false };
  const file = join(folder, 'wrangler.toml');
  const secrets = join(folder, 'secrets.json');
  let [kv, isBegun] = [undefined, false];
  const deploy = async (variables) => {
    writeFileSync(file, config(name, kv, variables));
    isBegun = true;
    const vars = Object.entries(another()).flatMap(([variable, value]) => ['--var', `${variable}:${value}`]);
    const said = await wrangler('deploy', '--config', file, '--secrets-file', secrets, ...vars);
    place.url = /https:\/\/\S+\.workers\.dev/.exec(said)?.[0];
    if (!place.url) throw new Error(`wrangler names no address of workers.dev:\n${said}`);
    await untilReady(place.url, 120);
  };
  place.deploy = async (variables) => {
    say(`deploying ${name}`);
    const made = await wrangler('kv', 'namespace', 'create', `${name}-entries`);
    kv = /\bid["']?\s*[:=]\s*["']([0-9a-f]{32})["']/.exec(made)?.[1];
    if (!kv) throw new Error(`wrangler names no id of the namespace ${name}-entries; remove it by hand:\n${made}`);
    writeFileSync(secrets, JSON.stringify(secretsOf(place.tokens)), { mode: 0o600 });
    await deploy(variables);
  };
  place.again = async (variables) => {
    say('deploying it again');
    await deploy(variables);
  };
  place.remove = async () => {
    rmSync(folder, { recursive: true, force: true });
    const steps = [
      ['the Worker', isBegun && ['delete', name, '--force']],
      ['the namespace', kv && ['kv', 'namespace', 'delete', '--namespace-id', kv, '--skip-confirmation']],
    ];
    for (const [what, words] of steps) {
      if (!words) continue;
      await wrangler(...words).then(() => say(`removed ${what}`), (error) => say(`${what} is left: npx wrangler ${words.join(' ')}\n${error.message}`));
    }
  };
  return place;
}

/** Runs wrangler to its end; returns what it printed. */
async function wrangler(...words) {
  const child = spawn(process.execPath, [WRANGLER, ...words], { cwd: tmpdir(), stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, CI: '1' } });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (said += text));
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`wrangler ${words.slice(0, 3).join(' ')} ended with ${code}:\n${said.slice(-2_000)}`);
  return said;
}

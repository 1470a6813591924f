// scripts/soak-real: an hour on a real deployment, from outside.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { parseArgs } from 'node:util';

import { Deployment, Stage } from '../conformance/deployment.mjs';
import { judged } from './assumptions.mjs';
import { SHORT_LOG, onCloudflare, onThisMachine } from './places.mjs';
import { play } from './play.mjs';

const USAGE = `scripts/soak-real [--for SECONDS] [--dev] [--no-conformance]

Deploys Newsreel under a name of its own to the account of CLOUDFLARE_API_TOKEN (or of wrangler login), checks it against
crates/core/PROTOCOL.md, plays publishes, follows and reads on it, deploys it again late in the play, and removes all of it.

  --for SECONDS      how long to play (3600)
  --dev              on this machine, under wrangler dev, and not on Cloudflare
  --no-conformance   only play
  --json             the report as JSON

Prints the report to stdout. Exit code: 0 every guarantee held, 1 one did not, 2 it could not be played.`;

const OPTIONS = {
  for: { type: 'string', default: '3600' },
  dev: { type: 'boolean', default: false },
  'no-conformance': { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
};

const say = (text) => process.stderr.write(`${text}\n`);

async function main() {
  const { values } = parseArgs({ options: OPTIONS });
  if (values.help) return void console.log(USAGE);
  const seconds = Number(values.for);
  if (!(seconds >= 1)) throw new Error(`--for is a number of seconds, not ${values.for}`);
  const place = await (values.dev ? onThisMachine(say) : onCloudflare(say));
  const remove = () => place.remove().catch((error) => say(`not removed: ${error.message}`));
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => remove().then(() => process.exit(2)));
  try {
    const kit = await deployed(place, values['no-conformance']);
    const evidence = await playOn(place, seconds);
    report({ place: place.name, seconds, conformance: kit, evidence, assumptions: judged(evidence) }, values.json);
    if (kit === 'failed' || evidence.violations.length > 0) process.exitCode = 1;
  } finally {
    await remove();
  }
}

/** Deploys, checks the deployment with the log that it has by default, and gives it a short one to play on. */
async function deployed(place, isUnchecked) {
  if (isUnchecked) {
    await place.deploy(SHORT_LOG);
    return 'not run';
  }
  await place.deploy({});
  const outcome = await conformance(place);
  await place.again(SHORT_LOG);
  return outcome;
}

/** Runs the kit; its table goes to stderr. */
async function conformance({ url, tokens }) {
  say('checking the deployment against PROTOCOL.md');
  const kit = new URL('../conformance/main.mjs', import.meta.url).pathname;
  const child = spawn(process.execPath, [kit, url, tokens.publish, tokens.follow, tokens.admin], { stdio: ['ignore', 2, 2] });
  const [code] = await once(child, 'close');
  return code === 0 ? 'passed' : 'failed';
}

async function playOn(place, seconds) {
  const stage = new Stage(new Deployment({ url: place.url, tokens: place.tokens, prefix: 'soak' }));
  try {
    say(`playing ${seconds} s on ${place.url}`);
    return await play(stage, place, seconds, say);
  } finally {
    stage.end();
  }
}

function report({ place, seconds, conformance: kit, evidence, assumptions }, asJson) {
  const { violations, counts } = evidence;
  if (asJson) return console.log(JSON.stringify({ place, seconds, conformance: kit, violations, counts, assumptions }));
  console.log(`# ${place}, ${seconds} s\n\nConformance: ${kit}.\n`);
  for (const [what, count] of Object.entries(counts)) console.log(`- ${what}: ${count}`);
  console.log(`\n${violations.length === 0 ? 'Every guarantee held.' : 'VIOLATED:'}`);
  for (const violation of violations.slice(0, 50)) console.log(`- ${violation}`);
  console.log('\n| assumed of the platform | | how |\n|---|---|---|');
  for (const { assumed, verdict, how } of assumptions) console.log(`| ${assumed} | ${verdict} | ${how} |`);
}

main().catch((error) => {
  say(`error: ${error.message}`);
  process.exitCode = 2;
});

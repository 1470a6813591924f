// scripts/conformance: black-box checks of PROTOCOL.md against any deployment.
//
// Only what Node has: fetch, WebSocket, node:http. Nothing of the project is imported, so the
// author of another broker may run it too.

import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

import addresses from './addresses.mjs';
import claims from './claims.mjs';
import epochs from './epochs.mjs';
import events from './events.mjs';
import followers from './followers.mjs';
import frames from './frames.mjs';
import guarantees from './guarantees.mjs';
import hashes from './hashes.mjs';
import headers from './headers.mjs';
import idempotency from './idempotency.mjs';
import many from './many.mjs';
import pages from './pages.mjs';
import publish from './publish.mjs';
import reads from './reads.mjs';
import refusals from './refusals.mjs';
import replicas from './replicas.mjs';
import topics from './topics.mjs';
import { Deployment } from './deployment.mjs';
import { runAll } from './run.mjs';
import { jsonLines, list, table } from './table.mjs';

export const CHECKS = [
  ...addresses, ...headers, ...publish, ...refusals, ...idempotency, ...many, ...hashes, ...claims, ...pages, ...events,
  ...frames, ...topics, ...followers, ...replicas, ...epochs, ...reads, ...guarantees,
].map((check) => ({ needs: [], ...check }));

const USAGE = `scripts/conformance URL PUBLISH_TOKEN [FOLLOW_TOKEN [ADMIN_TOKEN]]

Checks a deployment against crates/core/PROTOCOL.md, from outside, and prints a table. With one token it is used
for everything. With more, each should be of its scope alone, so that it can be seen what it may not do.

  --catalog NAME  the checks use catalogs whose names begin with NAME- (default conf-); each has a name of its own,
                  never used before, so nobody is disturbed. They stay behind, with a few versions each.
  --only PATTERN  only checks whose id, section or words match this regular expression
  --json          one JSON text a check, in place of the table
  --list          what is checked; asks nobody
  -h, --help      this

Exit code: 0 all passed (or was skipped), 1 some failed, 2 it could not begin.`;

/** An error that ends the run before the first check; its message says what to do. */
class Unusable extends Error {}

const OPTIONS = {
  catalog: { type: 'string', default: 'conf' },
  only: { type: 'string' },
  json: { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
};

async function main(words) {
  const { values, positionals } = read(words);
  if (values.help) return void console.log(USAGE);
  const checks = chosen(values.only);
  if (values.list) return void console.log(list(checks));
  const { deployment, lacks } = await begin(positionals, values.catalog);
  console.error(`${checks.length} checks of ${deployment.url}, in catalogs ${values.catalog}-…`);
  const results = await runAll(deployment, checks, lacks, ({ id, what, result, reason }) => {
    if (result === 'FAILED') console.error(`FAILED ${id}: ${what}: ${reason}`);
  });
  console.log(values.json ? jsonLines(results) : table(results));
  if (results.some(({ result }) => result === 'FAILED')) process.exitCode = 1;
}

function read(words) {
  try {
    return parseArgs({ args: words, options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new Unusable(`${error.message.split('. ')[0]} (scripts/conformance --help)`);
  }
}

function chosen(only) {
  if (only === undefined) return CHECKS;
  let pattern;
  try {
    pattern = new RegExp(only, 'i');
  } catch (error) {
    throw new Unusable(`--only: ${error.message}`);
  }
  const checks = CHECKS.filter(({ id, section, what }) => pattern.test(id) || pattern.test(section) || pattern.test(what));
  if (checks.length === 0) throw new Unusable(`--only ${only}: no check matches (--list shows them)`);
  return checks;
}

/** Reads the words, and asks the deployment whether it is there and knows the tokens. */
async function begin(positionals, prefix) {
  const [text, publish, follow = publish, given, ...more] = positionals;
  const url = addressOf(text);
  if (publish === undefined) throw new Unusable('no token: give one that may publish after the address (--help)');
  if (more.length > 0) throw new Unusable(`an address and at most three tokens, not also ${more.join(' ')}`);
  if (!/^[a-z0-9-]{1,40}$/.test(prefix)) throw new Unusable(`--catalog is 1 to 40 of a-z, 0-9 and -, not ${prefix}`);
  const admin = given ?? (positionals.length === 2 ? publish : undefined);
  const deployment = new Deployment({ url, tokens: { publish, follow, admin }, prefix });
  const ask = asker(deployment);
  await ask('publish', 'POST', '/changes', '{"changes":[]}');
  await ask('follow', 'GET', '');
  const isAdmin = admin !== undefined && (await ask('admin', 'GET', '/followers', undefined, given === undefined));
  if (!isAdmin) delete deployment.tokens.admin;
  return { deployment, lacks: lacking(deployment.tokens) };
}

function lacking({ publish, follow, admin }) {
  const lacks = new Map();
  if (admin === undefined) lacks.set('admin', 'no admin token');
  if (publish === follow || publish === admin) lacks.set('publish only', 'no token that only publishes');
  if (publish === follow || follow === admin) lacks.set('follow only', 'no token that only follows');
  return lacks;
}

function addressOf(text) {
  if (text === undefined) throw new Unusable(`no address of a deployment\n\n${USAGE}`);
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!['http:', 'https:'].includes(url?.protocol)) {
    throw new Unusable(`${text} is no address: write it like https://newsreel.example.workers.dev or http://127.0.0.1:8787`);
  }
  return url.href.replace(/[?#].*$/, '').replace(/\/+$/, '');
}

/** Returns what asks with a token for something it should be able to do; says whether it may. */
function asker(deployment) {
  const catalog = deployment.name();
  return async (scope, method, path, body, mayLack = false) => {
    const token = deployment.tokens[scope];
    const answer = await reach(deployment.url, `/v1/catalogs/${catalog}${path}`, {
      method, body, headers: { authorization: `Bearer ${token}` },
    });
    const code = answer.json?.code;
    if (answer.status === 403 && code === 'forbidden' && mayLack) return false;
    const wrong = wrongWith(answer, { scope, catalog, url: deployment.url, asked: `${method} ${path}` });
    if (wrong) throw new Unusable(wrong);
    return true;
  };
}

function wrongWith({ status, text, json }, { scope, catalog, url, asked }) {
  const said = `${status} ${text.slice(0, 300)}`;
  if (status >= 500) return `${url} cannot serve: ${said}`;
  if (json === undefined) return `${url} is no Newsreel: ${asked} was answered without JSON: ${said}`;
  if (status === 401) return `the ${scope} token is not known to ${url}: its secret ${scope.toUpperCase()}_TOKENS has them`;
  if (status === 403) return `the ${scope} token may not ${DOES[scope]} catalog ${catalog}: ${said}`;
  return undefined;
}

const DOES = { publish: 'publish to', follow: 'follow', admin: 'administer' };

async function reach(url, path, init) {
  try {
    const response = await fetch(url + path, { ...init, signal: AbortSignal.timeout(10_000) });
    const text = await response.text();
    let json;
    try {
      json = JSON.parse(text);
    } catch {
      json = undefined;
    }
    return { status: response.status, text, json };
  } catch (error) {
    const why = error.cause?.message || error.cause?.code || error.message;
    throw new Unusable(`${url} does not answer (${why}): is it running, and is the address right?`);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  // Calls that a failed check had begun reject after the check, and nothing awaits them any more.
  process.on('unhandledRejection', () => {});
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof Unusable)) throw error;
    console.error(`error: ${error.message}`);
    process.exitCode = 2;
  }
  process.exit();
}

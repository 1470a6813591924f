// The race as a command: plays every contender, prints a table, and writes it into docs/comparison.md.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { contenders, run, startRace } from './race.mjs';

/** How many interleavings are played at once, where fewer than 250: Newsreel's edge has at most four renders under way at once. */
const AT_ONCE = { newsreelAsks: 50 };

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PAGE = join(ROOT, 'docs/comparison.md');
const [BEGIN, END] = ['<!-- BEGIN race -->', '<!-- END race -->'];

const USAGE = `scripts/race [--count N] [--seed S] [--only NAME]… [--write]

  --count N   interleavings of each contender (10000)
  --seed S    the first seed (1); the interleavings of a seed are the same for each contender
  --only NAME one of the contenders; may be repeated
  --write     writes the table into docs/comparison.md
  --list      the contenders

Exit code 1: Newsreel gave an answer that was older than a purge that had returned.
`;

const options = {
  count: { type: 'string', default: '10000' }, seed: { type: 'string', default: '1' },
  only: { type: 'string', multiple: true }, write: { type: 'boolean' }, list: { type: 'boolean' }, help: { type: 'boolean', short: 'h' },
};
let given;
try {
  given = parseArgs({ options }).values;
} catch (error) {
  fail(error.message);
}
if (given.help) {
  process.stdout.write(USAGE);
  process.exit();
}
const [count, from] = [given.count, given.seed].map((text) => {
  if (!/^[1-9][0-9]*$/.test(text)) fail(`${text} is not a number`);
  return Number(text);
});

const race = await startRace();
let outcomes;
try {
  outcomes = await playAll();
} finally {
  await race.dispose();
}
const table = rows(outcomes);
process.stdout.write(`${table}\n`);
if (given.write) write(table);
if (outcomes.some(({ name, older }) => name.startsWith('Newsreel') && older > 0)) process.exitCode = 1;

async function playAll() {
  const all = await contenders(race);
  if (given.list) {
    process.stdout.write(`${all.join('\n')}\n`);
    return [];
  }
  const unknown = (given.only ?? []).find((name) => !all.includes(name));
  if (unknown) fail(`no contender is called ${unknown}: they are ${all.join(', ')}`);
  const outcomes = [];
  for (const name of given.only ?? all) {
    const began = performance.now();
    const watch = (done) => process.stderr.write(`\r${name}: ${done}/${count}`);
    outcomes.push(await run(race, name, { from, count, watch, atOnce: AT_ONCE[name] ?? 250 }));
    process.stderr.write(`\r${name}: ${count} interleavings in ${Math.round((performance.now() - began) / 1_000)} s\n`);
  }
  return outcomes;
}

/** Returns the table, in Markdown. */
function rows(outcomes) {
  const head = ['', 'reads', 'refused', 'older than a change that had returned', 'in interleavings', 'by up to', 'for up to', 'renders a read', 'object, KV, R2 calls a read'];
  const per = (number, { reads }) => (number / reads).toFixed(2);
  const lines = outcomes.map((one) => [
    one.version === 'platform' ? one.name : `${one.name} (${one.version})`,
    one.reads.toLocaleString('en'),
    one.failed.toLocaleString('en'),
    one.older.toLocaleString('en'),
    `${((100 * one.wrong) / one.interleavings).toFixed(1)} %`,
    one.older > 0 ? `${one.behind} change${one.behind > 1 ? 's' : ''}` : '',
    one.older > 0 ? `${Math.round(one.longestMs / 1_000)} s` : '',
    per(one.renders, one),
    [one.calls.object, one.calls.kv, one.calls.r2].map((calls) => per(calls, one)).join(', '),
  ]);
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function write(table) {
  const text = readFileSync(PAGE, 'utf8');
  const [before, after] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (before < 0 || after < before) fail(`${PAGE} has no ${BEGIN} … ${END}`);
  const told = `${count.toLocaleString('en')} interleavings each, seeds from ${from} on, ${new Date().toISOString().slice(0, 10)}.`;
  writeFileSync(PAGE, `${text.slice(0, before)}${BEGIN}\n${told}\n\n${table}\n${text.slice(after)}`);
}

function fail(message) {
  process.stderr.write(`error: ${message}\n\n${USAGE}`);
  process.exit(2);
}

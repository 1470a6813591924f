// Runs a test binary's `#[wasm_bindgen_test]`s inside workerd, with the runtime's real APIs and real bindings.
//
// Cargo calls it (through scripts/workerd-runner, see .cargo/config.toml) with the .wasm file of a test binary and
// the words after `--`: filters, --exact, --skip, --list, --ignored, --include-ignored, --nocapture. Each test is a
// request of its own to worker.mjs, so a test that hangs fails alone, and finds empty storage.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';

import { bind, findTests } from './binary.mjs';

/** The exit code of libtest when a test failed, or its arguments cannot be read. */
const FAILED = 101;

const flag = { type: 'boolean', default: false };
const word = { type: 'string' };

/** Reads libtest's arguments; those that make no difference here are accepted and ignored. */
function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      list: flag, exact: flag, ignored: flag, 'include-ignored': flag, nocapture: flag, 'no-capture': flag,
      skip: { type: 'string', multiple: true, default: [] },
      quiet: { ...flag, short: 'q' }, 'show-output': flag, test: flag, 'fail-fast': flag,
      'test-threads': word, color: word, format: word, Z: { ...word, short: 'Z' },
    },
  });
  const [file, ...filters] = positionals;
  const { format = 'pretty' } = values;
  if (!['pretty', 'terse'].includes(format)) throw new Error(`--format ${format} is not there: pretty or terse`);
  if (!file) throw new Error('which test binary? This is for cargo to call: cargo test --target wasm32-unknown-unknown');
  return { ...values, nocapture: values.nocapture || values['no-capture'], file, filters };
}

function isWanted(test, { filters, skip, exact, ignored }) {
  const matches = (pattern) => (exact ? test.name === pattern : test.name.includes(pattern));
  if (ignored && !test.ignored) return false;
  return (filters.length === 0 || filters.some(matches)) && !skip.some(matches);
}

/** Leaves of a stack the frames that are not the standard library's or the harness's; RUST_BACKTRACE=full shows all. */
function readable(said) {
  if (process.env.RUST_BACKTRACE === 'full') return said;
  const theirs = /^\s+at (?:<?(?:alloc|core|js_sys|std|wasm_bindgen\w*|__rustc)\b|.*(?:\/tests\.js|\/worker\.mjs):)/;
  const lines = said.replace(/^(\s+at )(?:[\w-]+\.wasm\.)?(.*?)(?:::h[0-9a-f]{16})?(?: externref shim.*)? \(wasm:.*\)$/gm, '$1$2');
  return lines.split('\n').filter((line) => !theirs.test(line)).join('\n').replace(/\n(\s*\n)+/g, '\n\n').trimEnd();
}

/** Runs the tests, one after the other, and prints as it goes; returns those that failed. */
async function runAll(tests, skips, wasm, nocapture) {
  if (tests.length === 0) return [];
  // Loaded here, because listing the tests should not wait for Miniflare.
  const { Runtime } = await import('./runtime.mjs');
  const folder = mkdtempSync(join(tmpdir(), 'newsreel-tests-'));
  process.env.TMPDIR = folder; // Miniflare leaves a folder behind.
  let runtime;
  const failures = [];
  try {
    runtime = new Runtime(folder, bind(folder, wasm));
    for (const test of tests) {
      const { ok, said } = await runtime.run(test, { nocapture, skip: skips(test) });
      // Why a test is ignored it says itself.
      console.log(`test ${test.name} ... ${skips(test) ? said : ok ? 'ok' : 'FAILED'}`);
      if (!ok) failures.push({ ...test, said });
    }
  } finally {
    await runtime?.end();
    rmSync(folder, { recursive: true, force: true });
  }
  return failures;
}

/** Prints what libtest would print at the end. */
function report({ tests, ignored, failures, filtered, seconds }) {
  if (failures.length > 0) {
    console.log('\nfailures:\n');
    for (const { name, said } of failures) console.log(`---- ${name} ----\n${readable(said)}\n`);
    console.log(`failures:\n${failures.map(({ name }) => `    ${name}`).join('\n')}`);
  }
  const counts = [
    `${tests - ignored - failures.length} passed`, `${failures.length} failed`, `${ignored} ignored`,
    '0 measured', `${filtered} filtered out`,
  ];
  console.log(`\ntest result: ${failures.length > 0 ? 'FAILED' : 'ok'}. ${counts.join('; ')}; finished in ${seconds}s\n`);
}

async function main() {
  const args = readArguments();
  const wasm = readFileSync(args.file);
  const all = findTests(wasm);
  const tests = all.filter((test) => isWanted(test, args));
  if (args.list) {
    for (const { name } of tests) console.log(`${name}: test`);
    if (args.format !== 'terse') console.log(`\n${tests.length} tests, 0 benchmarks`);
    return 0;
  }
  if (all.length === 0) {
    console.log(`no #[wasm_bindgen_test] in ${basename(args.file)} (an ordinary #[test] runs on the host only)\n`);
    return 0;
  }
  const started = performance.now();
  const skips = (test) => test.ignored && !args.ignored && !args['include-ignored'];
  console.log(`running ${tests.length} ${tests.length === 1 ? 'test' : 'tests'} in workerd`);
  const failures = await runAll(tests, skips, wasm, args.nocapture);
  const seconds = ((performance.now() - started) / 1000).toFixed(2);
  report({ tests: tests.length, ignored: tests.filter(skips).length, failures, filtered: all.length - tests.length, seconds });
  return failures.length > 0 ? FAILED : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  // Only the first sentence of an option's error: the rest tells how to write it for node, not for cargo.
  const message = error.code?.startsWith('ERR_PARSE_ARGS') ? error.message.replace(/\. .*/s, '') : error.message;
  console.error(`workerd-runner: ${message}`);
  process.exitCode = FAILED;
}

// Cargo's runner for wasm (scripts/workerd-runner), as cargo users meet it: e2e/runner-fixture has tests of every kind.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { ROOT, runToEnd } from './system.mjs';

const CARGO_TEST = ['test', '--target', 'wasm32-unknown-unknown', '-p', 'newsreel-runner-fixture', '--test', 'fixture'];

/** Runs a command; returns its exit code and all that it said. */
async function run(command, words, env) {
  const { code, stdout, stderr } = await runToEnd(command, words, { cwd: ROOT, env: { ...process.env, ...env } });
  return { code, said: stdout + stderr };
}

/** Runs `cargo test` on the fixture with these words after `--`. */
const cargoTest = (words, env) => run('cargo', [...CARGO_TEST, '--', ...words], env);

let binary;

/** The same without cargo in between, which looks at everything each time. */
async function runner(words, env) {
  binary ??= run('cargo', [...CARGO_TEST, '--no-run', '--message-format=json']).then(({ said }) => /"executable":"([^"]*fixture[^"]*\.wasm)"/.exec(said)[1]);
  const WASM_BINDGEN_BIN = process.env.WASM_BINDGEN_BIN ?? join(ROOT, 'target/tools/bin/newsreel-bindgen');
  return run(process.execPath, [join(ROOT, 'scripts/in-workerd/run.mjs'), await binary, ...words], { WASM_BINDGEN_BIN, ...env });
}

/** The names of the tests that `--list` with these words tells. */
async function listed(...words) {
  const { code, said } = await runner(['--list', '--format', 'terse', ...words]);
  assert.equal(code, 0, said);
  return [...said.matchAll(/^(\S+): test$/gm)].map(([, name]) => name);
}

test('tests that pass: each is told, ignored ones with their reason, and none sees what another left', async () => {
  const { code, said } = await cargoTest(['good']);
  assert.equal(code, 0, said);
  for (const name of ['passes', 'panics_as_expected', 'panics_as_it_should', 'leaves_something_a', 'leaves_something_b', 'says_something']) {
    assert.match(said, new RegExp(`^test good::${name} \\.\\.\\. ok$`, 'm'));
  }
  assert.match(said, /^test good::is_ignored \.\.\. ignored$/m);
  assert.match(said, /^test good::is_ignored_for_a_reason \.\.\. ignored, it takes a day$/m);
  assert.match(said, /test result: ok\. 6 passed; 0 failed; 2 ignored; 0 measured; 7 filtered out; finished in/);
  assert.doesNotMatch(said, /something was said/);
});

test('tests that fail: each in its way, with its Rust stack, and the others still run', async () => {
  const { code, said } = await cargoTest(['bad'], { WASM_BINDGEN_TEST_TIMEOUT: '2' });
  assert.notEqual(code, 0);
  const of = (name) => new RegExp(`^---- bad::${name} ----\n(.*?)\n\n(?=----|failures:)`, 'ms').exec(said)?.[1] ?? '';
  assert.match(of('a_fails'), /fixture\.rs:\d+:\d+:\s+assertion `left == right` failed: in the depth\s+left: 1\s+right: 2/);
  assert.match(of('a_fails'), /at fixture::bad::deep_down\n\s+at fixture::bad::a_fails/);
  assert.match(of('b_fails_in_an_object'), /left: 3[^]*at fixture::bad::deep_down\n\s+at fixture::bad::b_fails_in_an_object/);
  assert.match(of('c_hangs'), /did not end within 2 s \(WASM_BINDGEN_TEST_TIMEOUT\)/);
  assert.match(of('d_waits_for_nothing'), /it waits for what nothing will do|did not end within/);
  assert.match(of('e_does_not_panic'), /did not panic as expected/);
  assert.match(of('f_panics_otherwise'), /did not contain expected string[^]*"something else"/);
  assert.match(said, /^test bad::g_still_runs \.\.\. ok$/m);
  assert.match(said, /test result: FAILED\. 1 passed; 6 failed; 0 ignored/);
  assert.match(said, /^failures:\n {4}bad::a_fails\n/m);
  assert.equal((await runner(['bad::e_'])).code, 101, 'as libtest says it');
});

test('which tests: filters, --exact, --skip, --ignored, --include-ignored', async () => {
  const all = await listed();
  assert.equal(all.length, 15);
  assert.deepEqual(await listed('leaves_', 'passes'), ['good::leaves_something_a', 'good::leaves_something_b', 'good::passes']);
  assert.deepEqual(await listed('--exact', 'good::passes'), ['good::passes']);
  assert.deepEqual(await listed('--exact', 'passes'), []);
  assert.deepEqual(await listed('good', '--skip', 'ignored', '--skip', 'panics').then((names) => names.length), 4);
  assert.deepEqual(await listed('--ignored'), ['good::is_ignored', 'good::is_ignored_for_a_reason']);
  const ignored = await runner(['--ignored']);
  assert.match(ignored.said, /2 passed; 0 failed; 0 ignored; 0 measured; 13 filtered out/);
  const included = await runner(['--include-ignored', 'is_ignored']);
  assert.match(included.said, /2 passed; 0 failed; 0 ignored/);
  const none = await runner(['no_such_test']);
  assert.equal(none.code, 0);
  assert.match(none.said, /running 0 tests[^]*0 passed; 0 failed; 0 ignored; 0 measured; 15 filtered out/);
});

test('--list counts, --nocapture shows, and what cannot be is said', async () => {
  const { said: list } = await runner(['--list', 'good::passes']);
  assert.match(list, /good::passes: test\n\n1 tests, 0 benchmarks/);
  const { said: shown } = await runner(['--nocapture', 'says_something']);
  assert.match(shown, /something was said/);
  for (const [words, env, says] of [
    [['--bogus'], {}, /workerd-runner: Unknown option '--bogus'$/m],
    [['--format', 'json'], {}, /workerd-runner: --format json is not there: pretty or terse/],
    [['passes'], { WASM_BINDGEN_TEST_TIMEOUT: 'soon' }, /WASM_BINDGEN_TEST_TIMEOUT is soon: write how many seconds/],
  ]) {
    const { code, said } = await runner(words, env);
    assert.notEqual(code, 0);
    assert.match(said, says);
  }
});

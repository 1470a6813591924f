// Runs a test binary's `#[wasm_bindgen_test]`s inside workerd, with the runtime's real APIs and real bindings.
//
// Cargo calls it (through scripts/workerd-runner, see .cargo/config.toml) with the .wasm file of a test binary and
// the words after `--`: filters, --exact, --skip, --list, --ignored, --include-ignored, --nocapture. Each test is a
// request of its own to scripts/workerd-runner.worker.mjs, so a test that hangs fails alone, and finds empty storage.

import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from 'miniflare';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const WORKER = 'workerd-runner.worker.mjs';
const WASM_BINDGEN = process.env.WASM_BINDGEN_BIN ?? 'wasm-bindgen';
const TIMEOUT_MS = 1000 * Number(process.env.WASM_BINDGEN_TEST_TIMEOUT ?? 20);

const flag = { type: 'boolean', default: false };
const word = { type: 'string' };

/** What libtest understands; what makes no difference here is accepted and ignored. */
function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      list: flag, exact: flag, ignored: flag, 'include-ignored': flag, nocapture: flag, 'no-capture': flag,
      skip: { type: 'string', multiple: true, default: [] },
      quiet: { ...flag, short: 'q' }, 'show-output': flag, test: flag,
      'test-threads': word, color: word, format: word, Z: { ...word, short: 'Z' },
    },
  });
  const [file, ...filters] = positionals;
  if (!file) throw new Error('which test binary? This is for cargo to call: cargo test --target wasm32-unknown-unknown');
  return { ...values, nocapture: values.nocapture || values['no-capture'], file, filters };
}

/** The tests of a binary, in order of their names: `__wbgt_$_crate::module::name` is one; `$` marks an ignored one. */
function findTests(wasm) {
  return WebAssembly.Module.exports(new WebAssembly.Module(wasm))
    .map(({ name }) => /^__wbgt_(?<marks>[^_]*)_[^:]*::(?<name>.*)$/.exec(name))
    .filter(Boolean)
    .map(({ input, groups }) => ({ symbol: input, name: groups.name, ignored: groups.marks.includes('$') }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function isWanted(test, { filters, skip, exact, ignored }) {
  const matches = (pattern) => (exact ? test.name === pattern : test.name.includes(pattern));
  if (ignored && !test.ignored) return false;
  return (filters.length === 0 || filters.some(matches)) && !skip.some(matches);
}

/**
 * Renames the export `main`, which wasm-bindgen would run at start: it is libtest's, and runs the ordinary `#[test]`s
 * where there are no threads, no output and no unwinding.
 */
function withoutMain(wasm) {
  const bytes = Buffer.from(wasm);
  let at = 8; // After the magic number and the version.
  const number = () => {
    for (let value = 0, shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  const EXPORTS = 7;
  while (at < bytes.length) {
    const section = bytes[at++];
    const end = number() + at;
    for (let left = section === EXPORTS ? number() : 0; left > 0; left--) {
      const length = number();
      if (bytes.toString('latin1', at, at + length) === 'main') bytes.write('MAIN', at, 'latin1');
      at += length + 1; // The name, and the kind.
      number(); // The index.
    }
    at = end;
  }
  return bytes;
}

/** Writes what workerd loads into `folder`: wasm-bindgen's output, and the worker that calls the tests. */
function bind(folder, wasm) {
  writeFileSync(join(folder, 'input.wasm'), withoutMain(wasm));
  execFileSync(
    WASM_BINDGEN,
    ['--target', 'web', '--keep-debug', '--no-typescript', '--out-dir', folder, '--out-name', 'tests', join(folder, 'input.wasm')],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  rmSync(join(folder, 'input.wasm'));
  cpSync(join(ROOT, 'scripts', WORKER), join(folder, WORKER));
  const snippets = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith('.js'));
  return [
    { type: 'ESModule', path: join(folder, WORKER) },
    { type: 'CompiledWasm', path: join(folder, 'tests_bg.wasm') },
    ...snippets.map((name) => ({ type: 'ESModule', path: join(folder, name) })),
  ];
}

function startWorkerd(folder, modules) {
  const wrangler = readFileSync(join(ROOT, 'wrangler.toml'), 'utf8');
  const [, compatibilityDate] = /^compatibility_date = "(.*)"$/m.exec(wrangler);
  return new Miniflare(
    convertV4MiniflareOptions({
      name: 'tests',
      modules,
      modulesRoot: folder,
      compatibilityDate,
      cf: false,
      log: new Log(LogLevel.ERROR),
      kvNamespaces: ['ENTRIES'],
      r2Buckets: ['BUCKET'],
      durableObjects: { OBJECTS: { className: 'TestObject', useSQLite: true } },
    }),
  );
}

/** One workerd for the tests of a binary; started anew after a test that kept it busy. */
class Runtime {
  constructor(folder, modules) {
    this.start = () => (this.workerd = startWorkerd(folder, modules));
    this.start();
  }

  /** Runs one test; says whether it passed, and what it said if not. */
  async run({ symbol, name }, nocapture) {
    const deadline = AbortSignal.timeout(TIMEOUT_MS);
    try {
      const body = JSON.stringify({ symbol, name, nocapture });
      const response = await this.workerd.dispatchFetch('http://tests/', { method: 'POST', body, signal: deadline });
      if (response.ok) return await response.json();
      const text = await response.text();
      return { ok: false, said: text.includes('code had hung') ? 'it waits for what nothing will do' : text };
    } catch (error) {
      if (!deadline.aborted) return { ok: false, said: String(error.stack) };
      await this.end();
      this.start();
      return { ok: false, said: `did not end within ${TIMEOUT_MS / 1000} s (WASM_BINDGEN_TEST_TIMEOUT); --nocapture shows what it said` };
    }
  }

  end() {
    return this.workerd.dispose();
  }
}

/** Leaves of a stack the frames that are not the standard library's or the harness's; RUST_BACKTRACE=full shows all. */
function readable(said) {
  if (process.env.RUST_BACKTRACE === 'full') return said;
  const theirs = /^\s+at (?:<?(?:alloc|core|js_sys|std|wasm_bindgen\w*|__rustc)\b|.*(?:\/tests\.js|\/workerd-runner\.worker\.mjs):)/;
  const lines = said.replace(/^(\s+at )(?:[\w-]+\.wasm\.)?(.*?)(?:::h[0-9a-f]{16})?(?: externref shim.*)? \(wasm:.*\)$/gm, '$1$2');
  return lines.split('\n').filter((line) => !theirs.test(line)).join('\n').replace(/\n(\s*\n)+/g, '\n\n').trimEnd();
}

async function main() {
  const args = readArguments();
  const wasm = readFileSync(args.file);
  const all = findTests(wasm);
  const tests = all.filter((test) => isWanted(test, args));
  if (args.list) {
    for (const { name } of tests) console.log(`${name}: test`);
    return 0;
  }
  if (all.length === 0) {
    console.log(`no #[wasm_bindgen_test] in ${basename(args.file)} (an ordinary #[test] runs on the host only)\n`);
    return 0;
  }

  const started = performance.now();
  const skips = (test) => test.ignored && !args.ignored && !args['include-ignored'];
  console.log(`running ${tests.length} ${tests.length === 1 ? 'test' : 'tests'} in workerd`);
  const folder = mkdtempSync(join(tmpdir(), 'newsreel-tests-'));
  process.env.TMPDIR = folder; // Miniflare leaves a folder behind.
  let runtime;
  const failures = [];
  try {
    if (!tests.every(skips)) runtime = new Runtime(folder, bind(folder, wasm));
    for (const test of tests) {
      const { ok, said } = skips(test) ? {} : await runtime.run(test, args.nocapture);
      console.log(`test ${test.name} ... ${skips(test) ? 'ignored' : ok ? 'ok' : 'FAILED'}`);
      if (ok === false) failures.push({ ...test, said });
    }
  } finally {
    await runtime?.end();
    rmSync(folder, { recursive: true, force: true });
  }

  if (failures.length > 0) {
    console.log('\nfailures:\n');
    for (const { name, said } of failures) console.log(`---- ${name} ----\n${readable(said)}\n`);
    console.log(`failures:\n${failures.map(({ name }) => `    ${name}`).join('\n')}`);
  }
  const ignored = tests.filter(skips).length;
  const counts = [
    `${tests.length - ignored - failures.length} passed`, `${failures.length} failed`, `${ignored} ignored`,
    '0 measured', `${all.length - tests.length} filtered out`,
  ];
  const seconds = ((performance.now() - started) / 1000).toFixed(2);
  console.log(`\ntest result: ${failures.length > 0 ? 'FAILED' : 'ok'}. ${counts.join('; ')}; finished in ${seconds}s\n`);
  return failures.length > 0 ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`workerd-runner: ${error.message}`);
  process.exitCode = 1;
}

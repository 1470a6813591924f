// A test binary: its `#[wasm_bindgen_test]`s, and the modules that workerd loads in its place.

import { execFileSync } from 'node:child_process';
import { copyFileSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const WASM_BINDGEN = process.env.WASM_BINDGEN_BIN ?? 'wasm-bindgen';
const WORKER = fileURLToPath(new URL('worker.mjs', import.meta.url));

/** The tests of a binary, in order of their names: `__wbgt_$_crate::module::name` is one; `$` marks an ignored one. */
export function findTests(wasm) {
  return WebAssembly.Module.exports(new WebAssembly.Module(wasm))
    .map(({ name }) => /^__wbgt_(?<marks>[^_]*)_[^:]*::(?<name>.*)$/.exec(name))
    .filter(Boolean)
    .map(({ input, groups }) => ({ symbol: input, name: groups.name, ignored: groups.marks.includes('$') }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Writes what workerd loads into `folder`: wasm-bindgen's output, and the worker that calls the tests. */
export function bind(folder, wasm) {
  writeFileSync(join(folder, 'input.wasm'), withoutMain(wasm));
  execFileSync(
    WASM_BINDGEN,
    ['--target', 'web', '--keep-debug', '--no-typescript', '--out-dir', folder, '--out-name', 'tests', join(folder, 'input.wasm')],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  rmSync(join(folder, 'input.wasm'));
  copyFileSync(WORKER, join(folder, 'worker.mjs'));
  const classes = objectClasses(readFileSync(join(folder, 'tests.js'), 'utf8'));
  writeFileSync(join(folder, 'main.mjs'), mainModule(classes));
  const scripts = readdirSync(folder, { recursive: true }).filter((name) => /\.m?js$/.test(name) && name !== 'main.mjs');
  const modules = [
    { type: 'ESModule', path: join(folder, 'main.mjs') },
    { type: 'CompiledWasm', path: join(folder, 'tests_bg.wasm') },
    ...scripts.map((name) => ({ type: 'ESModule', path: join(folder, name) })),
  ];
  return { modules, classes };
}

/** The Durable Objects (`#[durable_object]`) among the classes of wasm-bindgen's output. */
function objectClasses(script) {
  const classes = script.matchAll(/^export class (\w+) \{\n([\s\S]*?)^\}/gm);
  return [...classes].filter(([, , body]) => /^ {4}fetch\(/m.test(body)).map(([, name]) => name);
}

function mainModule(classes) {
  const objects = classes.map((name) => `export const ${name} = hosted('${name}');\n`);
  return `import { hosted } from './worker.mjs';\nexport { default, TestObject } from './worker.mjs';\n${objects.join('')}`;
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

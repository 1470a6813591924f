// `short-exports.mjs WASM JAVASCRIPT`: gives the exports that wasm-bindgen makes for closures short names, in both files:
// theirs say every type by its path, 200 characters each.

import { readFileSync, writeFileSync } from 'node:fs';

const EXPORTS = 7;
const LONG = /^wasm_bindgen_\w+___convert__closures/;

const [wasmFile, scriptFile] = process.argv.slice(2);
const wasm = readFileSync(wasmFile);
let script = readFileSync(scriptFile, 'utf8');

/** Reads an unsigned LEB128 number; returns it and where it ends. */
function number(bytes, at) {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++];
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return [value, at];
  }
}

function leb(value) {
  const bytes = [];
  for (; value >= 0x80; value = Math.floor(value / 0x80)) bytes.push((value % 0x80) | 0x80);
  return Buffer.from([...bytes, value]);
}

const renamed = [];

/** Returns the content of an export section with its long names made short. */
function shortened(section) {
  let [count, at] = number(section, 0);
  const parts = [leb(count)];
  for (; count > 0; count -= 1) {
    const [length, begins] = number(section, at);
    let name = section.toString('utf8', begins, begins + length);
    const [, ends] = number(section, begins + length + 1);
    if (LONG.test(name)) {
      renamed.push(name);
      name = `__closure_${renamed.length}`;
    }
    parts.push(leb(Buffer.byteLength(name)), Buffer.from(name), section.subarray(begins + length, ends));
    at = ends;
  }
  return Buffer.concat(parts);
}

// The magic number and the version stand before the sections.
const out = [wasm.subarray(0, 8)];
for (let at = 8; at < wasm.length; ) {
  const id = wasm[at];
  const [length, begins] = number(wasm, at + 1);
  const section = wasm.subarray(begins, begins + length);
  const content = id === EXPORTS ? shortened(section) : section;
  out.push(Buffer.from([id]), leb(content.length), content);
  at = begins + length;
}
// A name may begin with another: the longest first.
const numbered = renamed.map((name, index) => [name, `__closure_${index + 1}`]);
for (const [name, short] of numbered.sort(([one], [other]) => other.length - one.length)) {
  if (!script.includes(name)) throw new Error(`${scriptFile} does not call ${name}`);
  script = script.replaceAll(name, short);
}
writeFileSync(wasmFile, Buffer.concat(out));
writeFileSync(scriptFile, script);

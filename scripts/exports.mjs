// `exports.mjs WASM PATTERN`: prints the graph by which wasm-metadce keeps every export that does not match.

import { readFileSync } from 'node:fs';

const [file, pattern] = process.argv.slice(2);
const unwanted = new RegExp(pattern);
const exports = WebAssembly.Module.exports(new WebAssembly.Module(readFileSync(file)));
const kept = exports.map(({ name }) => name).filter((name) => !unwanted.test(name));
console.log(JSON.stringify(kept.map((name) => ({ name, export: name, root: true }))));

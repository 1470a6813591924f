// Measures start-up: from the start of a process to the first answer of a Durable Object in it.
//
// Newsreel's broker and a plain JavaScript object take turns on bare workerd, each time in a new process on an empty
// folder. Of each the fastest start counts: other work of the machine can only make a start slower.
//
//   startup.mjs [ROUNDS] [WORKER]   WORKER is a folder with index.js and index_bg.wasm

import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { configuration, cpuOf, freePort, kill, listening, start } from '../workerd.mjs';

/** How many times as long as the plain object the broker may take. */
const MOST_TIMES = 3;

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const [rounds = '15', worker = join(ROOT, 'crates/entry/build')] = process.argv.slice(2);

const subjects = [
  {
    name: 'a plain JavaScript object',
    files: { 'main.mjs': join(ROOT, 'e2e/bench/plain.mjs') },
    classes: ['Plain'],
    path: '/',
  },
  {
    name: 'Newsreel',
    files: { 'index.js': join(worker, 'index.js'), 'index_bg.wasm': join(worker, 'index_bg.wasm') },
    classes: ['Broker', 'Replica'],
    path: '/v1/catalogs/tv',
  },
];

/** Starts a process and asks an object in it once. Returns the milliseconds and the milliseconds of CPU. */
async function measure({ files, classes, path }) {
  const folder = mkdtempSync(join(tmpdir(), 'newsreel-startup-'));
  const state = join(folder, 'state');
  mkdirSync(state);
  for (const [name, from] of Object.entries(files)) copyFileSync(from, join(folder, name));
  const port = await freePort();
  const config = join(folder, 'config.capnp');
  const vars = { FOLLOW_TOKENS: 'bench=bench-follow' };
  writeFileSync(config, configuration({ port, modules: Object.keys(files), classes, state, vars }));
  const began = performance.now();
  const child = start(config, { hear: (line) => console.error(line) });
  try {
    await listening(child);
    const headers = { authorization: 'Bearer bench-follow' };
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { headers });
    await answer.text();
    const wall = performance.now() - began;
    if (answer.status !== 200) throw new Error(`the answer is a ${answer.status}`);
    return { wall, cpu: cpuOf(child.pid) };
  } finally {
    await kill(child);
    rmSync(folder, { recursive: true });
  }
}

const fastest = subjects.map(() => ({ wall: Infinity, cpu: Infinity }));
await fetch('data:,'); // Node loads its client outside of what is measured.
for (let round = 0; round < Number(rounds); round += 1) {
  for (const [index, subject] of subjects.entries()) {
    const { wall, cpu } = await measure(subject);
    fastest[index].wall = Math.min(fastest[index].wall, wall);
    fastest[index].cpu = Math.min(fastest[index].cpu, cpu);
  }
}
const [plain, newsreel] = fastest;
const times = newsreel.wall / plain.wall;
for (const [index, { name }] of subjects.entries()) {
  const { wall, cpu } = fastest[index];
  console.log(`  ${name}: ${wall.toFixed(0)} ms${cpu === Infinity ? '' : `, ${cpu.toFixed(0)} ms of CPU`}`);
}
console.log(`  start-up: ${times.toFixed(2)} times a plain JavaScript object (at most ${MOST_TIMES}), the fastest of ${rounds} each`);
if (times > MOST_TIMES) process.exitCode = 1;

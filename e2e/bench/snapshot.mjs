// What a dump of 1,000,000 rows costs `newsreel source files`: time and memory of the first dump, of one in which 1 % of the
// rows differ, and of the same one again. Run `cargo build --release -p newsreel-cli` before; prints a table.
//
// node e2e/bench/snapshot.mjs [ROWS]

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createGzip } from 'node:zlib';

import { Served } from '../served.mjs';
import { ROOT, TOKENS } from '../system.mjs';

const ROWS = Number(process.argv[2] ?? 1_000_000);
const NEWSREEL = join(ROOT, 'target/release/newsreel');
const GENRES = ['Drama', 'Comedy', 'Science Fiction', 'Documentary', 'Crime'];

/** Writes a dump in which every so many rows differ, the rows in another order each time. */
async function write(path, { every = 0, gzip = false } = {}) {
  const file = createWriteStream(`${path}.part`);
  const to = gzip ? createGzip({ level: 1 }) : file;
  if (gzip) to.pipe(file);
  let text = '';
  for (let n = 0; n < ROWS; n += 1) {
    // A permutation, so that no order of keys helps.
    const id = (n * 7_919) % ROWS;
    const differs = every > 0 && id % every === 0;
    text += `{"id":${id},"name":"The title number ${id}${differs ? ', revised' : ''}","platforms":["netflix","hulu","max"],`
      + `"genres":["${GENRES[id % 5]}","${GENRES[(id + 1) % 5]}"],"kind":"movie","year":${1950 + (id % 75)},"rating":${(id % 100) / 10},`
      + `"overview":"A story about number ${id}, which goes on for as long as a sentence of a catalogue does."}\n`;
    if (text.length < 1 << 20) continue;
    if (!to.write(text)) await once(to, 'drain');
    text = '';
  }
  to.end(text);
  await once(file, 'close');
  renameSync(`${path}.part`, path);
}

/** Runs the source once; returns seconds, those of CPU, and the most memory that it had, in MiB. */
async function run(words) {
  const begin = performance.now();
  const child = spawn(NEWSREEL, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let [versions, peak, cpu] = [0, 0, 0];
  child.stdout.on('data', (text) => (versions += `${text}`.split('\n').length - 1));
  const look = setInterval(() => {
    if (child.exitCode !== null) return;
    const found = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'));
    if (!found) return;
    peak = Math.max(peak, Number(found[1]));
    // User and system time in hundredths of a second, also of threads that have ended.
    const times = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1].split(' ');
    cpu = (Number(times[11]) + Number(times[12])) / 100;
  }, 50);
  const [code] = await once(child, 'close');
  clearInterval(look);
  if (code !== 0) throw new Error(`ended with ${code}`);
  return { seconds: ((performance.now() - begin) / 1000).toFixed(1), cpu: cpu.toFixed(1), mib: Math.round(peak / 1024), versions };
}

const folder = mkdtempSync(join(tmpdir(), 'newsreel-snapshot-'));
const ends = [];
try {
  const served = await Served.at({ after: (end) => ends.push(end) }, {});
  await served.start();
  const [path, map] = [join(folder, 'titles.ndjson'), join(folder, 'map.toml')];
  writeFileSync(map, `wide_above = 100000\n[[map]]\nfrom = "titles"\nkey = "title:{id}"
tags = ["platform:{platforms[]}", "genre:{genres[] | slug}", "type:{kind | slug}"]\n`);
  const words = ['source', 'files', path, '--map', map, '--state', join(folder, 'state'), '--broker', served.broker.url, '--token', TOKENS.publish, '--once'];
  const print = (what, { seconds, cpu, mib, versions }) => console.log(`| ${what} | ${seconds} s | ${cpu} s | ${mib} MiB | ${versions} |`);
  await write(path);
  console.log(`${ROWS} rows, ${(statSync(path).size / 2 ** 20).toFixed(0)} MiB; load ${loadavg()[0].toFixed(1)}\n\n| dump | time | of CPU | memory | versions |\n|---|---|---|---|---|`);
  print('the first', await run(words));
  print('the same again', await run(words));
  await write(path, { every: 100 });
  print('1 % of the rows differ', await run(words));
  await write(path, { gzip: true });
  print('they differ back, gzip', await run(words));
  console.log(`\nThe state has ${(statSync(join(folder, 'state')).size / 2 ** 20).toFixed(0)} MiB; load ${loadavg()[0].toFixed(1)}.`);
} finally {
  for (const end of ends.reverse()) await end();
  rmSync(folder, { recursive: true, force: true });
}

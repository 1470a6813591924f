// Which files of a corpus to keep: reads the control file of a libFuzzer merge, and prints the fewest that reach most.
// usage: node scripts/fuzz-keep.mjs CONTROL-FILE MOST

import { readFileSync } from 'node:fs';

const [control, most] = process.argv.slice(2);
const lines = readFileSync(control, 'utf8').split('\n');
const files = lines.slice(2, 2 + Number(lines[0]));
// The first are the seeds, which are always kept.
const seeds = Number(lines[1]);

const reached = new Map();
const sizes = new Map();
for (const line of lines.slice(2 + files.length)) {
  const [kind, file, ...rest] = line.split(' ');
  if (kind === 'STARTED') sizes.set(Number(file), Number(rest[0]));
  if (kind === 'FT') reached.set(Number(file), new Set(rest));
}

const covered = new Set();
for (const [file, features] of reached) if (file < seeds) features.forEach((feature) => covered.add(feature));
const left = new Map([...reached].filter(([file]) => file >= seeds));
for (let kept = 0; kept < Number(most); kept += 1) {
  let best;
  for (const [file, features] of left) {
    let gain = 0;
    for (const feature of features) {
      if (covered.has(feature)) features.delete(feature);
      else gain += 1;
    }
    if (gain === 0) left.delete(file);
    else if (!best || gain > best.gain || (gain === best.gain && sizes.get(file) < sizes.get(best.file))) best = { file, gain };
  }
  if (!best) break;
  left.get(best.file).forEach((feature) => covered.add(feature));
  left.delete(best.file);
  console.log(files[best.file]);
}

// The catalogue the tests play: the real one where it lies, otherwise a made-up one from a fixed seed.

import { createReadStream, existsSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { createGunzip } from 'node:zlib';

import { randomFrom } from './random.mjs';
import { ROOT } from './system.mjs';

const DATA = resolve(ROOT, process.env.NEWSREEL_DATA ?? '../shared/data');

/** Returns `{ name, file, titles, days }`: a file of titles, how many, and their events by day, in order. */
export async function catalogue(folder) {
  const titles = join(DATA, 'titles.ndjson.gz');
  const changes = join(DATA, 'changes.ndjson.gz');
  return existsSync(titles) && existsSync(changes) ? real(titles, changes) : made(folder);
}

async function real(file, changes) {
  const days = new Map();
  for await (const event of lines(changes)) {
    const day = event.ts.slice(0, 10);
    if (!days.has(day)) days.set(day, []);
    days.get(day).push({ id: event.titleId, tags: event.tags, platforms: event.platforms });
  }
  let titles = 0;
  for await (const _ of lines(file)) titles += 1;
  return { name: 'the real catalogue', file, titles, days: [...days.entries()] };
}

/** The objects of a file of NDJSON, which may be compressed. */
export async function* lines(path) {
  const file = createReadStream(path);
  for await (const line of createInterface({ input: path.endsWith('.gz') ? file.pipe(createGunzip()) : file })) {
    if (line) yield JSON.parse(line);
  }
}

/** 2,000 titles and 200 days of up to 30 events, the same at every run. */
function made(folder) {
  const random = randomFrom(603);
  const pick = (list) => list[Math.floor(random() * list.length)];
  const platforms = ['northlight', 'quay', 'saffron'];
  const odd = ['', ' "quoted"', ' 映画', ' שלום', ' \u2028', ' line\nbreak', ' 😀'];
  const titles = Array.from({ length: 2000 }, (_, n) => ({
    id: `made:${n}`, title: `Title ${n}${pick(odd)}`, platforms: [pick(platforms)], genres: [pick(['Drama', 'Comedy, Dark'])],
  }));
  const file = join(folder, 'titles.ndjson');
  writeFileSync(file, titles.map((title) => JSON.stringify(title)).join('\n'));
  const days = Array.from({ length: 200 }, (_, day) => [
    `day ${day}`,
    Array.from({ length: 1 + Math.floor(random() * 30) }, () => {
      const platform = pick(platforms);
      return { id: pick(titles).id, tags: [`platform:${platform}`], platforms: [platform] };
    }),
  ]);
  return { name: 'a made-up catalogue', file, titles: titles.length, days };
}

/** Groups of a hundred, as many as one read takes. */
export function hundreds(items) {
  const groups = Math.ceil(items.length / 100);
  return Array.from({ length: groups }, (_, nth) => items.slice(100 * nth, 100 * nth + 100));
}

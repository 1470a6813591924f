// The titles, in a file that all processes share: put your database in its place.

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { cacheLife, cacheTag } from 'next/cache';

const FILE = join(process.cwd(), 'titles.json');
const all = async () => JSON.parse(await readFile(FILE, 'utf8'));

/** Returns a title, which every process keeps until its tag is published. */
export async function titleOf(key) {
  'use cache';
  cacheLife('max');
  cacheTag(key);
  return { title: (await all())[key] ?? null, readAt: new Date().toISOString() };
}

export async function putTitle(key, title) {
  await writeFile(FILE, `${JSON.stringify({ ...(await all()), [key]: title }, null, 2)}\n`);
}

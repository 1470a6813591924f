// Puts the documents into a folder as VitePress builds them: `node site/stage.mjs FOLDER`.

import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { ROOT, llms, pageOf, sections, staged } from './pages.mjs';

const [folder] = process.argv.slice(2);
const paths = sections().flatMap(({ documents }) => documents.map(({ path }) => path));
const pages = new Set(paths);
for (const path of paths) {
  const to = join(folder, pageOf(path));
  const text = staged(path, pages);
  mkdirSync(dirname(to), { recursive: true });
  writeFileSync(to, text);
  for (const [, image] of text.matchAll(/\]\(([^):]+\.(?:svg|png))\)/g)) {
    mkdirSync(dirname(join(dirname(to), image)), { recursive: true });
    cpSync(join(ROOT, dirname(path), image), join(dirname(to), image));
  }
}
mkdirSync(join(folder, 'public'), { recursive: true });
writeFileSync(join(folder, 'public/llms.txt'), llms());
// The whole of what there is to read, for a program that wants no links.
writeFileSync(join(folder, 'public/llms-full.txt'), paths.map((path) => readFileSync(join(ROOT, path), 'utf8')).join('\n\n'));

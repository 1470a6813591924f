// The documents as the site has them: every one is in the side bar, its links lead to pages, and llms.txt is up to date.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

import { ROOT, llms, sections, staged } from '../site/pages.mjs';

const documents = sections().flatMap((section) => section.documents);
const paths = documents.map(({ path }) => path);

test('every document of docs is a page, once, with a title and a sentence', () => {
  const all = readdirSync(join(ROOT, 'docs'), { recursive: true }).filter((name) => name.endsWith('.md'));
  for (const name of all) assert.ok(paths.includes(`docs/${name}`), `docs/${name} has a page`);
  assert.equal(new Set(paths).size, paths.length);
  for (const { path, title, sentence } of documents) {
    assert.ok(title.length > 0 && /[.:]$/.test(sentence) && !sentence.includes('\n'), `${path}: ${title}: ${sentence}`);
  }
});

test('the links of the pages lead to pages, or to the repository', () => {
  const pages = new Set(paths);
  for (const path of paths) {
    for (const [, target] of staged(path, pages).matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)) {
      assert.ok(/^https?:|^mailto:|^\.|\.(svg|png)$/.test(target), `${path}: ${target}`);
    }
  }
});

test('docs/llms.txt is up to date', () => {
  const file = join(ROOT, 'docs/llms.txt');
  if (process.env.UPDATE_DOCS) writeFileSync(file, llms());
  assert.equal(readFileSync(file, 'utf8'), llms(), 'run: UPDATE_DOCS=1 node --test e2e/site.test.mjs');
});

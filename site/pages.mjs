// The pages of the site: every document of the repository, in the order in which a newcomer reads them, and `llms.txt`.

import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));
export const REPOSITORY = 'https://github.com/newsreel/newsreel';

/** The sections of the side bar. A document of `docs` that none names is of the last. */
const SECTIONS = [
  ['Start', ['README.md', 'docs/quick-start.md', 'docs/worker.md', 'docs/comparison.md']],
  ['Come and go', ['docs/migrate/']],
  ['Use', ['docs/http.md', 'docs/cli.md', 'docs/ci.md', 'docs/postgres.md', 'docs/glossary.md']],
  ['Packages', ['docs/packages.md', 'packages/']],
  ['Operate', ['docs/configuration.md', 'docs/operations.md', 'docs/console.md', 'docs/security.md', 'docs/limits.md', 'docs/upgrades.md', 'docs/crashes.md']],
  ['Understand', ['crates/core/PROTOCOL.md', 'docs/architecture.md', 'docs/decisions.md', 'docs/benchmarks.md', 'docs/simulator.md']],
  ['Work on it', ['CONTRIBUTING.md', 'CHANGELOG.md', 'docs/']],
];

/** Returns the sections with their documents, each `{path, title, sentence}`, `path` being that in the repository. */
export function sections() {
  const seen = new Set();
  return SECTIONS.map(([title, names]) => {
    const paths = names.flatMap(documentsOf).filter((path) => !seen.has(path));
    for (const path of paths) seen.add(path);
    return { title, documents: paths.map(summary) };
  });
}

/** Returns the documents that a name stands for: itself, or with a slash at the end all below it. */
function documentsOf(name) {
  if (!existsSync(join(ROOT, name))) return [];
  if (!name.endsWith('/')) return [name];
  const inside = readdirSync(join(ROOT, name)).filter((entry) => entry !== 'node_modules' && entry !== 'examples').sort();
  return inside.flatMap((entry) => {
    const path = name + entry;
    if (statSync(join(ROOT, path)).isDirectory()) return documentsOf(`${path}/`);
    return entry.endsWith('.md') && (!path.startsWith('packages/') || /^packages\/[^/]+\/README\.md$/.test(path)) ? [path] : [];
  });
}

/** Returns the title of a document and the first sentence below it. */
function summary(path) {
  const text = readFileSync(join(ROOT, path), 'utf8');
  const title = /^# (.+)$/m.exec(text)?.[1];
  if (!title) throw new Error(`${path} has no title`);
  const below = text.slice(text.indexOf(`# ${title}`) + title.length + 2).replace(/^```[\s\S]*?^```$/gm, '');
  const paragraph = below.split(/\n\n+/).find((part) => /^[\p{L}`\[*]/u.test(part.trim()) && !/^\* /.test(part.trim())) ?? '';
  const plain = paragraph.replace(/\s+/g, ' ').replace(/\[([^\]]+)\]\([^)]+\)/g, '$1').replace(/\*\*/g, '').trim();
  const sentence = /^.*?\.(?= [\p{Lu}`]|$)/u.exec(plain)?.[0] ?? plain;
  return { path, title: title.replace(/`/g, ''), sentence };
}

/** Returns the page of a document: where it is staged, and so its address. */
export const pageOf = (path) => path.replace(/(^|\/)README\.md$/, '$1index.md');

/** Returns `llms.txt`: what the project is, and a line for each document. */
export function llms() {
  const all = sections();
  const { sentence } = all[0].documents[0];
  const line = ({ path, title, sentence: says }) => `- [${title}](${REPOSITORY}/blob/main/${path}): ${says}\n`;
  const parts = all.map((section) => `\n## ${section.title}\n\n${section.documents.map(line).join('')}`);
  return `# Newsreel\n\n> ${sentence}\n${parts.join('')}`;
}

/**
 * Returns a document as the site has it: links to other documents lead to their pages, links to anything else to the repository.
 * Throws where a link leads nowhere.
 */
export function staged(path, pages) {
  const text = readFileSync(join(ROOT, path), 'utf8');
  return text.replace(/\]\(([^)\s]+)\)/g, (whole, target) => {
    if (/^[a-z]+:|^#/.test(target)) return whole;
    const [file, anchor] = target.split('#');
    const to = join(dirname(path), file).replace(/\/$/, '');
    if (!existsSync(join(ROOT, to))) throw new Error(`${path}: ${target} leads nowhere`);
    const hash = anchor === undefined ? '' : `#${anchor}`;
    if (/\.(svg|png)$/.test(to)) return whole;
    if (!pages.has(to)) return `](${REPOSITORY}/blob/main/${to}${hash})`;
    const link = relative(dirname(pageOf(path)), pageOf(to));
    return `](${link.startsWith('.') ? link : `./${link}`}${hash})`;
  });
}

// Makes the folder: copies a template, and fills in what differs from one project to another.

import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

import { CreateError } from './error.js';
import { foldersOf } from './templates.js';

/** What a folder may have and count as empty. */
const IGNORED = new Set(['.git', '.DS_Store', 'Thumbs.db', '.idea', '.vscode']);

/** npm leaves a `.gitignore` out of a package: a file whose name begins with a dot has `_` in its place. */
const withDot = (name) => name.replace(/^_/, '.');

/** Makes a project. Nothing is written if anything is wrong with what was asked for. */
export function create({ folder, name, template, packages }) {
  const sources = foldersOf(template);
  checkEmpty(folder);
  const tarballs = packages === undefined ? new Map() : tarballsIn(packages);
  for (const source of sources) copy(source, folder, (path, text) => {
    const own = text.replaceAll('{{name}}', name);
    return path === 'package.json' ? manifest(own, tarballs) : own;
  });
  // Deployed with the Worker and kept out of git: only their owner may read them.
  writeFileSync(join(folder, '.secrets.json'), `${JSON.stringify(secrets(), null, 2)}\n`, { mode: 0o600 });
}

function checkEmpty(folder) {
  if (!existsSync(folder)) return;
  if (!statSync(folder).isDirectory()) throw new CreateError(`${folder} is a file: choose another name`);
  const found = readdirSync(folder).filter((name) => !IGNORED.has(name));
  if (found.length === 0) return;
  const some = found.slice(0, 3).join(', ') + (found.length > 3 ? ', …' : '');
  throw new CreateError(`${folder} is not empty (${some}): choose another name, or empty the folder first`);
}

/** Copies the files of a folder; `change` says what each has. */
function copy(source, folder, change) {
  for (const path of readdirSync(source, { recursive: true })) {
    const from = join(source, path);
    if (statSync(from).isDirectory()) continue;
    const to = join(folder, dirname(path), withDot(basename(path)));
    mkdirSync(dirname(to), { recursive: true });
    writeFileSync(to, change(path, readFileSync(from, 'utf8')));
  }
}

/** The tokens of a deployment, each from 32 random bytes. */
function secrets() {
  const token = (name) => `${name}=${randomBytes(32).toString('hex')}`;
  const edit = randomBytes(32).toString('hex');
  return { EDIT_TOKEN: edit, PUBLISH_TOKENS: token('origin'), FOLLOW_TOKENS: token('follower'), ADMIN_TOKENS: token('admin') };
}

/** The tarballs of a folder, by the name of the package. */
function tarballsIn(packages) {
  const folder = resolve(packages);
  if (!existsSync(folder)) throw new CreateError(`--packages ${packages}: there is no such folder`);
  const found = new Map();
  for (const file of readdirSync(folder)) {
    const [, name] = /^(.+)-\d+\.\d+\.\d+.*\.tgz$/.exec(file) ?? [];
    if (name) found.set(name.replace(/^newsreel-(cli-)(?=linux|darwin|win32)/, '@newsreel/$1'), join(folder, file));
  }
  if (!found.has('newsreel-worker')) {
    throw new CreateError(`--packages ${packages}: newsreel-worker's tarball is not there; scripts/packages makes it`);
  }
  return found;
}

/** A manifest whose dependencies come from tarballs where there are any. No registry has the binary that the command then needs. */
function manifest(text, tarballs) {
  const wanted = JSON.parse(text);
  const binary = `@newsreel/cli-${process.platform}-${process.arch}`;
  if (wanted.dependencies['newsreel-cli'] && tarballs.has(binary)) wanted.dependencies[binary] = '*';
  for (const kind of ['dependencies', 'devDependencies']) {
    for (const name of Object.keys(wanted[kind])) {
      if (tarballs.has(name)) wanted[kind][name] = `file:${tarballs.get(name)}`;
    }
  }
  return `${JSON.stringify(wanted, null, 2)}\n`;
}

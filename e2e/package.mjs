// The package as strangers get it: its tarball, installed by npm into a project of their own, without a network.

import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { ROOT, temporaryFolder } from './system.mjs';

const CLIENT = join(ROOT, 'target/client');

/** Where the package's examples are. */
export const EXAMPLES = join(ROOT, 'packages/newsreel/examples');


/** The tarball that scripts/build-client made. */
export function tarball() {
  const [name] = readdirSync(CLIENT).filter((file) => /^newsreel-.*\.tgz$/.test(file));
  return join(CLIENT, name);
}

/**
 * A project with the package installed, and the files of `from` in it. The test's end removes it.
 * `tools` are packages of ours that it may use too.
 */
export async function project(t, { from, tools = [] } = {}) {
  const folder = temporaryFolder(t);
  if (from) cpSync(from, folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'project', private: true, type: 'module' }));
  // A cache of its own: nothing may come from anywhere but the tarball.
  const alone = ['--offline', '--no-audit', '--no-fund', '--no-update-notifier', '--cache', join(folder, '.npm')];
  await run('npm', ['install', ...alone, tarball()], { cwd: folder });
  for (const tool of tools) {
    mkdirSync(join(folder, 'node_modules', tool, '..'), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules', tool), join(folder, 'node_modules', tool));
  }
  return folder;
}

/** Returns the path of a file in the project's installed package. */
export const installed = (folder, ...path) => join(folder, 'node_modules/newsreel', ...path);

export const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'));

/** Runs a program to its end; rejects, with all it said, when that is not a good one. */
export async function run(program, words, options) {
  try {
    return await promisify(execFile)(program, words, { maxBuffer: 1 << 26, ...options });
  } catch (error) {
    throw new Error(`${program} ${words.join(' ')}: ${error.message}\n${error.stdout}${error.stderr}`);
  }
}

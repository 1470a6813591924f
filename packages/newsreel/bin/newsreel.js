#!/usr/bin/env node
// The command `newsreel`, for `npx newsreel`. The binaries are in the package `newsreel-cli`, because a program that follows a
// catalog needs none of them: an installed one is run, or else npm gets the one of this version.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Finds the command of newsreel-cli beside this package, or in the folder where the command is run. */
function installed() {
  for (const from of [import.meta.url, join(process.cwd(), 'package.json')]) {
    try {
      return createRequire(from).resolve('newsreel-cli/bin.js');
    } catch {
      // Not there.
    }
  }
  return undefined;
}

function fetched() {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  console.error(`newsreel: getting newsreel-cli ${version}; \`npm install --save-dev newsreel-cli\` keeps it`);
  const words = ['exec', '--yes', `newsreel-cli@${version}`, '--', ...process.argv.slice(2)];
  const npm = process.env.npm_execpath;
  // Under npm and npx this is npm's own script; another package manager has another.
  const isNpm = npm !== undefined && /npm-cli\.[cm]?js$|npx-cli\.[cm]?js$/.test(npm);
  const script = npm?.replace(/npx-cli(\.[cm]?js)$/, 'npm-cli$1');
  const child = isNpm
    ? spawn(process.execPath, [script, ...words], { stdio: 'inherit' })
    : spawn('npm', words, { stdio: 'inherit', shell: process.platform === 'win32' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    console.error(`newsreel: npm cannot be run: ${error.message}`);
    process.exit(1);
  });
  child.on('exit', (code) => process.exit(code ?? 1));
}

const command = installed();
if (command) await import(pathToFileURL(command));
else fetched();

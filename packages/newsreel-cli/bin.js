#!/usr/bin/env node
// The command `newsreel`: runs the binary of this platform. NEWSREEL_BIN names another one.

import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { constants } from 'node:os';

import { TARGETS, packageOf } from './platforms.js';

const platform = `${process.platform}-${process.arch}`;

/** Returns the path of the binary; says what is missing if there is none. */
function binary() {
  if (process.env.NEWSREEL_BIN) return process.env.NEWSREEL_BIN;
  if (!TARGETS[platform]) {
    return missing(
      `there is no binary for ${platform}, only for ${Object.keys(TARGETS).join(', ')}.\n` +
        'Build it with Rust: cargo install --git https://github.com/newsreel/newsreel newsreel-cli, and name it in NEWSREEL_BIN.',
    );
  }
  try {
    return createRequire(import.meta.url).resolve(`${packageOf(platform)}/newsreel`);
  } catch {
    return missing(
      `the package ${packageOf(platform)} is not installed.\n` +
        'Install without --omit=optional (--no-optional), and on this platform: node_modules from another one has another binary.',
    );
  }
}

function missing(what) {
  console.error(`newsreel: ${what}`);
  process.exit(1);
}

const child = spawn(binary(), process.argv.slice(2), { stdio: 'inherit' });
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('error', (error) => missing(`${child.spawnfile} cannot be run: ${error.message}`));
child.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));

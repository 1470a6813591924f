// The packages as a newcomer has them: their tarballs, Node and npm, and nothing else on the path.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, readdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

import { run } from './package.mjs';
import { ROOT, said, temporaryFolder } from './system.mjs';

/** Where scripts/packages puts the tarballs. */
export const PACKAGES = join(ROOT, 'target/packages');

export const platform = `${process.platform}-${process.arch}`;

/** What the templates need of others. To save a download it is that of this repository, or of FRAMEWORKS (scripts/adapters). */
const BORROWED = ['wrangler', 'pg', 'hono', 'next', 'react', 'react-dom', 'astro', '@astrojs/cloudflare'];

/** The `node_modules` with a package that the registry would give; undefined if it is not on this machine. */
export function lender(name) {
  const { FRAMEWORKS } = process.env;
  const folders = [ROOT, ...(FRAMEWORKS ? readdirSync(FRAMEWORKS).map((folder) => join(FRAMEWORKS, folder)) : [])];
  return folders.map((folder) => join(folder, 'node_modules')).find((folder) => existsSync(join(folder, name, 'package.json')));
}

/** The path of a package's tarball. */
export function tarballOf(name) {
  const file = existsSync(PACKAGES) && readdirSync(PACKAGES).find((one) => one.startsWith(`${name}-`) && /^\d/.test(one.slice(name.length + 1)));
  if (!file) throw new Error(`${name} has no tarball in target/packages: run scripts/packages --debug`);
  return join(PACKAGES, file);
}

/** A machine with Node and npm: an empty folder, and an environment whose path has no cargo and no rustc. */
export class Newcomer {
  #running = [];

  constructor(t) {
    // Before the folder goes: what runs writes into it.
    t.after(() => Promise.all(this.#running.map((end) => end())));
    this.folder = temporaryFolder(t);
    const [bin, home] = ['bin', 'home'].map((name) => join(this.folder, name));
    for (const folder of [bin, home]) mkdirSync(folder);
    symlinkSync(process.execPath, join(bin, 'node'));
    for (const name of ['npm', 'npx', 'sh']) symlinkSync(onPath(name), join(bin, name));
    this.env = {
      PATH: bin,
      HOME: home,
      npm_config_offline: 'true',
      npm_config_audit: 'false',
      npm_config_fund: 'false',
      npm_config_update_notifier: 'false',
      WRANGLER_SEND_METRICS: 'false',
      WRANGLER_WRITE_LOGS: 'false',
      WRANGLER_REGISTRY_PATH: join(home, 'wrangler'),
      CLOUDFLARE_CF_FETCH_ENABLED: 'false',
    };
  }

  /** Runs a command to its end. */
  run(program, words, { cwd = this.folder, env } = {}) {
    return run(join(this.env.PATH, program), words, { cwd, env: { ...this.env, ...env } });
  }

  /** `npm create newsreel …`, from the tarball. */
  create(...words) {
    return this.run('npm', ['exec', '--yes', '--package', tarballOf('create-newsreel'), '--', 'create-newsreel', ...words]);
  }

  /** `npm install` in a project that was made. `more` are packages of ours that the project also gets. */
  async install(project, more = []) {
    const file = join(project, 'package.json');
    const manifest = JSON.parse(readFileSync(file, 'utf8'));
    const others = BORROWED.filter((name) => manifest.dependencies[name] ?? manifest.devDependencies[name]);
    for (const name of others) for (const kind of ['dependencies', 'devDependencies']) delete manifest[kind][name];
    for (const name of more) manifest.dependencies[nameOf(name)] = `file:${tarballOf(name)}`;
    writeFileSync(file, JSON.stringify(manifest));
    // A peer that is borrowed is not asked of the registry.
    await this.run('npm', ['install', '--legacy-peer-deps'], { cwd: project });
    const modules = join(project, 'node_modules');
    mkdirSync(join(modules, '.bin'), { recursive: true });
    // Next and Astro build what lies within the project: all that they need is linked file by file.
    for (const framework of ['next', 'astro'].filter((name) => others.includes(name))) await run('cp', ['-aln', `${lender(framework)}/.`, modules]);
    for (const name of others) if (!existsSync(join(modules, name))) symlinkSync(join(lender(name), name), join(modules, name));
    if (!existsSync(join(modules, '.bin/wrangler'))) symlinkSync('../wrangler/bin/wrangler.js', join(modules, '.bin/wrangler'));
  }

  /** `npm run dev`, until it is ready. It ends with the test. */
  async dev(project, words, env, ready = /Ready on/) {
    const child = spawn(join(this.env.PATH, 'npm'), ['run', 'dev', '--', ...words], {
      cwd: project,
      env: { ...this.env, ...env },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const closed = once(child, 'close');
    this.#running.push(async () => {
      process.kill(-child.pid, 'SIGKILL');
      await closed;
    });
    await said(child, ready);
  }
}

/** Where a program is, links followed. */
function onPath(name) {
  const folder = process.env.PATH.split(delimiter).find((one) => existsSync(join(one, name)));
  if (!folder) throw new Error(`${name} is not on the path`);
  return realpathSync(join(folder, name));
}

/** The name of the package of a tarball. */
const nameOf = (name) => name.replace(/^newsreel-cli-(?=.)/, '@newsreel/cli-');

// Finds `promtool`: the machine's own, or that of Debian's package, unpacked into `target/tools` without being installed.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';

import { ROOT } from './system.mjs';

const KEPT = join(ROOT, 'target/tools/promtool');

/** Returns the path of `promtool`, or nothing where it cannot be had. */
export function findPromtool() {
  if (spawnSync('promtool', ['--version']).status === 0) return 'promtool';
  if (existsSync(KEPT)) return KEPT;
  const folder = mkdtempSync(join(tmpdir(), 'promtool-'));
  try {
    const quiet = { cwd: folder, stdio: 'ignore', timeout: 120_000 };
    if (spawnSync('apt-get', ['download', 'prometheus'], quiet).status !== 0) return undefined;
    const [archive] = readdirSync(folder).filter((name) => name.endsWith('.deb'));
    execFileSync('dpkg', ['-x', archive, 'out'], quiet);
    mkdirSync(join(ROOT, 'target/tools'), { recursive: true });
    execFileSync('cp', [join(folder, 'out/usr/bin/promtool'), `${KEPT}.new`]);
    renameSync(`${KEPT}.new`, KEPT);
    return KEPT;
  } catch {
    return undefined;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

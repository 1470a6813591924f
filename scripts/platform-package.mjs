#!/usr/bin/env node
// Writes the manifest and the README of one platform's package of the command: scripts/platform-package.mjs PLATFORM FOLDER.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { TARGETS, packageOf } from '../packages/newsreel-cli/platforms.js';

const [platform, folder] = process.argv.slice(2);
if (!TARGETS[platform]) {
  console.error(`error: no platform is called ${platform}: there are ${Object.keys(TARGETS).join(', ')}`);
  process.exit(1);
}
const { version, license, repository, publishConfig } = JSON.parse(
  readFileSync(new URL('../packages/newsreel-cli/package.json', import.meta.url), 'utf8'),
);
const [os, cpu] = platform.split('-');
const manifest = {
  name: packageOf(platform),
  version,
  description: `The newsreel command for ${platform}. Install newsreel-cli, which takes the one that fits.`,
  license,
  repository,
  os: [os],
  cpu: [cpu],
  files: ['newsreel', 'LICENSE-APACHE', 'LICENSE-MIT'],
  publishConfig,
};
writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
writeFileSync(
  join(folder, 'README.md'),
  `# ${manifest.name}\n\nThe \`newsreel\` command for ${platform}. Install the package \`newsreel-cli\`, which takes the binary that fits.\n`,
);

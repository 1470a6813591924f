// The folders of examples/: the button's template is a configuration that deploys, and Terraform's has the same parts.

import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

import { NEWSREEL, ROOT, runToEnd, temporaryFolder } from './system.mjs';

const file = (name) => readFileSync(join(ROOT, 'examples', name), 'utf8');
const all = (text, pattern) => [...text.matchAll(pattern)].map(([, name]) => name).sort();

test('the template of the button', { timeout: 60_000 }, async (t) => {
  const folder = join(temporaryFolder(t), 'deploy');
  cpSync(join(ROOT, 'examples/deploy'), folder, { recursive: true });
  const installed = join(folder, 'node_modules/newsreel-worker');
  mkdirSync(installed, { recursive: true });
  // The package has these two files of the build and the console, and no others that run.
  for (const name of ['index.js', 'index_bg.wasm']) symlinkSync(join(ROOT, 'crates/entry/build', name), join(installed, name));
  symlinkSync(join(ROOT, 'target/console'), join(installed, 'console'));

  await t.test('is right by the rules of the Worker', async () => {
    const { code, stderr } = await runToEnd(NEWSREEL, ['check-config', join(folder, 'wrangler.toml')]);
    assert.equal(code, 0, stderr);
  });

  await t.test('is bundled by wrangler', async () => {
    const wrangler = join(ROOT, 'node_modules/wrangler/bin/wrangler.js');
    const { code, stdout, stderr } = await runToEnd(process.execPath, [wrangler, 'deploy', '--dry-run', '--outdir', join(folder, 'out')], { cwd: folder });
    assert.equal(code, 0, stderr);
    for (const binding of ['BROKER', 'REPLICA', 'ENTRIES', 'COPIES']) assert.match(stdout, new RegExp(`env\\.${binding}\\b`));
  });

  await t.test('describes what the button asks for', () => {
    const { cloudflare, scripts } = JSON.parse(file('deploy/package.json'));
    const config = file('deploy/wrangler.toml');
    const variables = all(config.slice(config.indexOf('[vars]'), config.indexOf('[[')), /^([A-Z_]+) = /gm);
    const secrets = all(file('deploy/.dev.vars.example'), /^([A-Z_]+)=/gm);
    const resources = all(config.slice(config.indexOf('[[kv_')), /^binding = "([A-Z]+)"/gm);
    assert.deepEqual(Object.keys(cloudflare.bindings).sort(), [...variables, ...secrets, ...resources].sort());
    assert.equal(scripts.deploy, 'wrangler deploy');
    assert.doesNotMatch(config, /^id = /m, 'what has an id is not made');
  });
});

test('Terraform has the parts of wrangler.toml', () => {
  const [toml, main] = [readFileSync(join(ROOT, 'wrangler.toml'), 'utf8'), file('terraform/main.tf')];
  assert.deepEqual(all(main, /class_name = "(\w+)"/g), all(toml, /^class_name = "(\w+)"/gm));
  // What wrangler.toml makes in several steps is one here, with the last tag.
  const made = [...toml.matchAll(/^new_sqlite_classes = \[(.*)\]/gm)].map(([, classes]) => classes).join(', ');
  assert.deepEqual(/new_sqlite_classes = \[(.*)\]/.exec(main)[1], made);
  assert.equal(/new_tag\s+= "(.*)"/.exec(main)[1], [...toml.matchAll(/^tag = "(.*)"/gm)].at(-1)[1]);
  assert.equal(/compatibility_date\s+= "(.*)"/.exec(main)[1], /compatibility_date = "(.*)"/.exec(toml)[1]);
  const names = (text, pattern) => all(text, pattern).filter((name) => name !== 'METRICS');
  assert.deepEqual(names(main, /type = "(?:durable_object_namespace|kv_namespace|r2_bucket)", name = "(\w+)"/g), names(toml, /^(?:binding|name) = "([A-Z_]+)"/gm));
  const { files } = JSON.parse(readFileSync(join(ROOT, 'packages/newsreel-worker/package.json'), 'utf8'));
  for (const module of all(main, /content_file = "\$\{local\.worker_folder\}\/(.*)"/g)) assert.ok(files.includes(module), module);
  const declared = all(file('terraform/variables.tf'), /^variable "(\w+)"/gm);
  assert.deepEqual([...new Set(all(main, /\bvar\.(\w+)/g))], declared);
  const configuration = readFileSync(join(ROOT, 'docs/configuration.md'), 'utf8');
  for (const name of all(main, /^ {4}([A-Z_]+)\s+= /gm)) assert.match(configuration, new RegExp(`\`${name}\``));
});

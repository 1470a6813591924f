// From the tarballs of scripts/packages, with Node alone: a folder, a first hit at the edge, a change that is seen there, the
// command, and the types. wrangler is the repository's, to save a download.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { run } from './package.mjs';
import { Newcomer, lender, platform, tarballOf } from './packages.mjs';
import { servers, startPostgres } from './postgres.mjs';
import { ROOT, freePort } from './system.mjs';
import { freePorts } from './workerd.mjs';

const CREATE = join(ROOT, 'packages/create-newsreel');
const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'));

test('a Worker of one’s own: from an empty folder to a change at the edge', async (t) => {
  const started = performance.now();
  const seconds = () => `${((performance.now() - started) / 1000).toFixed(1)} s`;
  const newcomer = new Newcomer(t);
  await assert.rejects(newcomer.run('sh', ['-c', 'cargo --version || rustc --version || rustup --version']), /not found/);

  const { stdout } = await newcomer.create('tv', '--packages', join(ROOT, 'target/packages'));
  assert.match(stdout, /cd tv\n {2}npm install\n {2}npm run dev\n/);
  const project = join(newcomer.folder, 'tv');
  await newcomer.install(project, ['newsreel-cli', `newsreel-cli-${platform}`]);
  const port = await freePort();
  await newcomer.dev(project, ['--port', String(port), '--inspector-port', '0']);

  const read = async () => {
    const response = await fetch(`http://127.0.0.1:${port}/title:1`);
    return { title: (await response.json()).title, from: /from=(\w+)/.exec(response.headers.get('Newsreel'))[1] };
  };
  assert.deepEqual(await read(), { title: 'The Lantern Keepers', from: 'origin' });
  assert.deepEqual(await read(), { title: 'The Lantern Keepers', from: 'memory' });
  t.diagnostic(`the first hit after ${seconds()}`);

  const change = await newcomer.run('npm', ['run', 'change', 'title:1'], { cwd: project, env: { PORT: String(port) } });
  assert.match(change.stdout, /edge before {2}.*The Lantern Keepers.*\n.*"version":1.*\nedge after {3}.*Changed at /);
  assert.match((await read()).title, /^Changed at /);
  t.diagnostic(`a changed value at the edge after ${seconds()}`);
  const refused = await fetch(`http://127.0.0.1:${port}/title:1`, { method: 'PUT', body: 'by a stranger' });
  assert.equal(refused.status, 401);

  await t.test('npx newsreel tail, without Rust', async () => {
    const words = ['newsreel', 'tail', '--broker', `http://127.0.0.1:${port}`, '--token', 'dev-follow', '--catalog', 'tv'];
    const tail = await newcomer.run('npx', [...words, '--from', 'start', '--exit-when-live', '--json'], { cwd: project });
    assert.match(tail.stdout, /"version":1.*"key":"title:1"/);
  });

  await t.test('npm run deploy would deploy it', async () => {
    const { stdout: plan } = await newcomer.run('npm', ['run', 'deploy', '--', '--dry-run'], { cwd: project });
    for (const name of ['BROKER', 'REPLICA', 'ENTRIES', 'PUBLISH_TOKENS', 'EDIT_TOKEN']) assert.ok(plan.includes(`env.${name} `), plan);
  });

  await t.test('in TypeScript the Worker, its settings and its binding are typed', () => checkTypes(newcomer, project));
});

/** Compiles a Worker in TypeScript against the package and what `wrangler types` writes. */
async function checkTypes(newcomer, project) {
  writeFileSync(
    join(project, 'src/index.ts'),
    `import newsreel, { type Entry, type Variables } from 'newsreel-worker';
export { Broker, Newsreel, Replica } from 'newsreel-worker';
export { Titles } from './titles.js';
const settings: Variables = { CATALOGS: 'tv', FILL_TOP: 7, POLICY: { title: { ttl_ms: 5, beyond_bound: 'fail' } } };
// @ts-expect-error: no such variable
const wrong: Variables = { CATALOG: 'tv' };
export default {
  async fetch(request: Request, env: Env, context: ExecutionContext): Promise<Response> {
    const entry: Entry = await context.exports.Newsreel.read('title:1', () => env.TITLES.getByName('all').get('title:1'));
    return entry.found ? Response.json(entry.value) : newsreel.fetch(request, env, context);
  },
  scheduled: newsreel.scheduled,
} satisfies ExportedHandler<Env>;
`,
  );
  const config = join(project, 'wrangler.toml');
  writeFileSync(config, readFileSync(config, 'utf8').replace('src/index.js', 'src/index.ts'));
  await newcomer.run('npx', ['wrangler', 'types'], { cwd: project });
  const options = { strict: true, module: 'esnext', moduleResolution: 'bundler', target: 'es2023', lib: ['es2023'], types: [], noEmit: true, allowJs: true };
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files: ['src/index.ts', 'worker-configuration.d.ts'] }));
  await run(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', '.'], { cwd: project });
}

test('the same in Hono: the template hono', { skip: lender('hono') ? false : 'Hono is not on this machine (FRAMEWORKS)' }, async (t) => {
  const newcomer = new Newcomer(t);
  await newcomer.create('films', '--template', 'hono', '--packages', join(ROOT, 'target/packages'));
  const project = join(newcomer.folder, 'films');
  await newcomer.install(project);
  const port = await freePort();
  await newcomer.dev(project, ['--port', String(port), '--inspector-port', '0']);

  const read = () => fetch(`http://127.0.0.1:${port}/title:1`);
  for (const status of [/fwd=miss; stored/, /hit/]) {
    const response = await read();
    assert.equal((await response.json()).title, 'The Lantern Keepers');
    assert.match(response.headers.get('Cache-Status'), status);
  }
  const { stdout } = await newcomer.run('npm', ['run', 'change', 'title:1'], { cwd: project, env: { PORT: String(port) } });
  assert.match(stdout, /edge after {3}.*Changed at /);
  assert.equal((await fetch(`http://127.0.0.1:${port}/title:1`, { method: 'PUT', body: 'by a stranger' })).status, 401);
});

test('a site: the template astro', { skip: lender('astro') ? false : 'Astro is not on this machine (FRAMEWORKS)' }, async (t) => {
  const newcomer = new Newcomer(t);
  await newcomer.create('shows', '--template', 'astro', '--packages', join(ROOT, 'target/packages'));
  const project = join(newcomer.folder, 'shows');
  await newcomer.install(project);
  const port = await freePort();
  await newcomer.dev(project, ['--port', String(port), '--inspector-port', '0'], { ASTRO_TELEMETRY_DISABLED: '1' });

  for (const status of [/fwd=miss; stored/, /hit/]) {
    const response = await fetch(`http://127.0.0.1:${port}/title:1`);
    assert.match(await response.text(), /The Lantern Keepers/);
    assert.match(response.headers.get('Cache-Status'), status);
  }
  const { stdout } = await newcomer.run('npm', ['run', 'change', 'title:1'], { cwd: project, env: { PORT: String(port) } });
  assert.match(stdout, /edge after {3}.*Changed at /);
  assert.equal((await fetch(`http://127.0.0.1:${port}/title:1`, { method: 'PUT', body: 'by a stranger' })).status, 401);
});

test('a self-hosted app: the template next', { skip: lender('next') ? false : 'Next.js is not on this machine (FRAMEWORKS)' }, async (t) => {
  const newcomer = new Newcomer(t);
  await newcomer.create('site', '--template', 'next', '--packages', join(ROOT, 'target/packages'));
  const project = join(newcomer.folder, 'site');
  await newcomer.install(project);
  const env = { PORT: String(await freePorts(3)), NEXT_TELEMETRY_DISABLED: '1' };
  await newcomer.dev(project, ['--inspector-port', '0'], env, /^ready: /);
  const { stdout } = await newcomer.run('npm', ['run', 'change', 'title:1'], { cwd: project, env });
  assert.match(stdout, /process 2 before {2}The Lantern Keepers .*\nprocess 1 .*published.*\nprocess 2 after {3}Changed at /);
});

test('a server of one’s own behind it: the template origin', async (t) => {
  const newcomer = new Newcomer(t);
  // As `npm create newsreel shop --template=origin` hands it on, without the `--` that npm wants.
  newcomer.env.npm_config_template = 'origin';
  await newcomer.create('shop', '--packages', join(ROOT, 'target/packages'));
  const project = join(newcomer.folder, 'shop');
  await newcomer.install(project);
  const port = await freePorts(2);
  const env = { PORT: String(port) };
  await newcomer.dev(project, ['--inspector-port', '0'], env);

  const read = async () => {
    const response = await fetch(`http://127.0.0.1:${port}/v1/catalogs/shop/entries/title:1`);
    return [(await response.json()).title, response.headers.get('Cache-Status')];
  };
  const [[title, miss], [, hit]] = [await read(), await read()];
  assert.equal(title, 'The Lantern Keepers');
  assert.match(miss, /fwd=uri-miss/);
  assert.match(hit, /newsreel-memory; hit/);
  const { stdout } = await newcomer.run('npm', ['run', 'change', 'title:1'], { cwd: project, env });
  assert.match(stdout, /edge after {3}.*Changed at /);
});

test('PostgreSQL behind it: the template postgres', async (t) => {
  const [server] = servers();
  if (!server.bin) return t.skip('there is no PostgreSQL for this platform');
  const database = await startPostgres(t, server.bin);
  const newcomer = new Newcomer(t);
  await newcomer.create('guide', '--template', 'postgres', '--packages', join(ROOT, 'target/packages'));
  const project = join(newcomer.folder, 'guide');
  await newcomer.install(project);
  const env = { PORT: String(await freePorts(2)), DATABASE_URL: database.url };
  await newcomer.dev(project, ['--inspector-port', '0'], env, /source: following/);
  const { stdout } = await newcomer.run('npm', ['run', 'change', 'title:1'], { cwd: project, env });
  assert.match(stdout, /edge before {2}.*The Lantern Keepers.*\ncommitted {4}1 row\nedge after {3}.*Changed at /);
});

test('npx newsreel, without newsreel-cli: npm fetches the one of the same version', async (t) => {
  const newcomer = new Newcomer(t);
  await newcomer.run('npm', ['install', '--prefix', newcomer.folder, tarballOf('newsreel')]);
  // In npm's place a script that says what it was asked for.
  const npm = join(newcomer.folder, 'npm-cli.js');
  writeFileSync(npm, 'console.log(process.argv.slice(2).join(" ")); process.exit(7);');
  const command = join(newcomer.folder, 'node_modules/newsreel/bin/newsreel.js');
  const { version } = readJson(join(ROOT, 'packages/newsreel/package.json'));
  const asked = newcomer.run('node', [command, 'tail', '--json'], { env: { npm_execpath: npm } });
  await assert.rejects(asked, new RegExp(`exec --yes newsreel-cli@${version} -- tail --json\n[^]*getting newsreel-cli ${version}`));
});

test('create-newsreel says what is wrong, and then writes nothing', async (t) => {
  const newcomer = new Newcomer(t);
  mkdirSync(join(newcomer.folder, 'full/src'), { recursive: true });
  const command = (...words) => newcomer.run('node', [join(CREATE, 'bin.js'), ...words]);
  const before = readdirSync(newcomer.folder);
  for (const [words, message] of [
    [['full'], /full is not empty \(src\): choose another name, or empty the folder first/],
    [['My Shop'], /'My Shop' cannot be the name of a Worker: .*\. Try 'my-shop'/],
    [['tv', '--template', 'rails'], /no template is called 'rails': there are worker, /],
    [['tv', '--packages', 'nowhere'], /--packages nowhere: there is no such folder/],
    [['tv', 'radio'], /one name is wanted, and not 2: tv radio/],
    [['--tempalte', 'worker'], /Unknown option '--tempalte'/],
    [[], /the name of the folder is missing/],
  ]) {
    await assert.rejects(command(...words), message);
  }
  const unmarked = { env: { npm_config_template: 'true' } };
  await assert.rejects(
    newcomer.run('node', [join(CREATE, 'bin.js'), 'shop', 'origin'], unmarked),
    /An option stands after --: npm create newsreel shop -- --template origin/,
  );
  const older = `data:text/javascript,${encodeURIComponent('Object.defineProperty(process.versions, "node", { value: "20.1.0" })')}`;
  await assert.rejects(newcomer.run('node', ['--import', older, join(CREATE, 'bin.js'), 'tv']), /Node 22\.12 or newer is needed.*this is Node 20\.1\.0/);
  assert.deepEqual(readdirSync(newcomer.folder), before);
});

test('the versions in the templates and between the packages are those of this repository', () => {
  const { devDependencies } = readJson(join(ROOT, 'package.json'));
  const { version } = readJson(join(ROOT, 'packages/newsreel/package.json'));
  for (const folder of readdirSync(join(ROOT, 'packages'))) {
    assert.equal(readJson(join(ROOT, 'packages', folder, 'package.json')).version, version, folder);
  }
  for (const name of Object.values(readJson(join(ROOT, 'packages/newsreel-cli/package.json')).optionalDependencies)) assert.equal(name, version);
  const dateOf = (path) => /^compatibility_date = .*$/m.exec(readFileSync(path, 'utf8'))[0];
  for (const template of readdirSync(join(CREATE, 'template'))) {
    const manifest = readJson(join(CREATE, 'template', template, 'package.json'));
    assert.equal(manifest.dependencies['newsreel-worker'], `^${version}`, template);
    for (const name of ['wrangler', 'pg']) {
      const wanted = { ...manifest.dependencies, ...manifest.devDependencies }[name];
      assert.ok(wanted === undefined || wanted === `^${devDependencies[name]}`, `${template}: ${name}`);
    }
    // A template that is built on another may have that one's configuration.
    const config = join(CREATE, 'template', template, 'wrangler.toml');
    if (existsSync(config)) assert.equal(dateOf(config), dateOf(join(ROOT, 'wrangler.toml')), template);
  }
  assert.ok(tarballOf('newsreel-worker').endsWith(`${version}.tgz`));
});

// The script of the GitHub Action, run as the action's steps run it, against a deployment.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { join } from 'node:path';
import test from 'node:test';

import { ROOT, runToEnd, startSystem, temporaryFolder, TOKENS } from './system.mjs';

/** The inputs of action.yml that are handed to the script, each with its default. */
function inputs() {
  const yaml = readFileSync(join(ROOT, 'action/action.yml'), 'utf8');
  const passed = [...yaml.matchAll(/^ {8}(NEWSREEL_[A-Z]+): \$\{\{ inputs\.([a-z]+) \}\}$/gm)];
  assert.equal(passed.length, 9);
  return passed.map(([, variable, name]) => {
    const declared = new RegExp(`^  ${name}:\\n(?:    .*\\n)*?    (?:default: '(.*)'|required: true)\\n|^  ${name}:\\n    description: .*\\n(?=  )`, 'm');
    const found = declared.exec(yaml);
    assert.ok(found, `action.yml declares ${name}`);
    return [name, variable, found[1] ?? ''];
  });
}

async function run(t, url, given) {
  const output = join(temporaryFolder(t), 'output');
  writeFileSync(output, '');
  const all = { url, catalog: 'tv', token: TOKENS.publish, ...given };
  const env = Object.fromEntries(inputs().map(([name, variable, fallback]) => [variable, all[name] ?? fallback]));
  const ended = await runToEnd('node', [join(ROOT, 'action/publish.mjs')], {
    env: { PATH: process.env.PATH, GITHUB_OUTPUT: output, ...env },
  });
  const told = Object.fromEntries(readFileSync(output, 'utf8').split('\n').filter(Boolean).map((line) => {
    const at = line.indexOf('=');
    return [line.slice(0, at), line.slice(at + 1)];
  }));
  return { ...ended, told };
}

test('the action publishes what its inputs name', { timeout: 60_000 }, async (t) => {
  const { broker } = await startSystem(t, { origin: false });

  await t.test('as one version, once every edge has applied it', async () => {
    await broker.read('title:1');
    const { code, stdout, told } = await run(t, `${broker.url}/`, {
      keys: 'title:1\n\n  title:2, with a comma \n', tags: 'layout', prefixes: 'page:', soft: 'true', wait: '20',
    });
    assert.equal(code, 0, stdout);
    const { json } = await broker.changes();
    assert.deepEqual(json.versions.at(-1).changes, [
      { key: 'title:1', soft: true }, { key: 'title:2, with a comma', soft: true }, { tag: 'layout', soft: true },
      { prefix: 'page:', soft: true },
    ]);
    assert.deepEqual([told.version, told['min-version']], [String(json.head), `${json.epoch}:${json.head}`]);
    const { applied, pending } = JSON.parse(told.receipt);
    assert.deepEqual([applied.length, pending], [1, []]);
  });

  await t.test('everything', async () => {
    assert.equal((await run(t, broker.url, { all: 'true' })).code, 0);
    const { json } = await broker.changes();
    assert.deepEqual(json.versions.at(-1).changes, [{ all: true }]);
  });

  await t.test('and fails with what is wrong, without a publish', async () => {
    const { version } = await broker.status();
    for (const [given, why] of [
      [{}, /nothing to publish/],
      [{ keys: 'no-colon' }, /400: .*bad-key/],
      [{ tags: 'a', token: 'wrong' }, /401: .*unauthorized/],
      [{ tags: 'a', wait: '31' }, /wait is 0 to 30 seconds/],
      [{ tags: 'a', soft: 'yes' }, /soft is true or false/],
      [{ tags: 'a', token: '' }, /token is missing/],
      [{ keys: Array.from({ length: 1_001 }, (_, n) => `a:${n}`).join('\n') }, /1001 changes/],
    ]) {
      const { code, stdout } = await run(t, broker.url, given);
      assert.equal(code, 1, stdout);
      assert.match(stdout, /^::error title=Newsreel::/m);
      assert.match(stdout, why);
      assert.doesNotMatch(stdout, /e2e-publish/, 'the token is never shown');
    }
    assert.equal((await broker.status()).version, version);
  });

  await t.test('once, when an answer is lost', async () => {
    const { version } = await broker.status();
    let lost = 0;
    const proxy = createServer(async (request, answer) => {
      const body = [];
      for await (const part of request) body.push(part);
      const { host, ...headers } = request.headers;
      const real = await fetch(broker.url + request.url, { method: 'POST', headers, body: Buffer.concat(body) });
      const text = await real.text();
      if (lost++ < 2) return request.socket.destroy();
      answer.writeHead(real.status).end(text);
    }).listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    t.after(() => (proxy.closeAllConnections(), proxy.close()));
    const { code, stdout, told } = await run(t, `http://127.0.0.1:${proxy.address().port}`, { keys: 'title:9' });
    assert.equal(code, 0, stdout);
    assert.equal(lost, 3);
    assert.equal(Number(told.version), version + 1);
    assert.equal((await broker.status()).version, version + 1);
  });
});

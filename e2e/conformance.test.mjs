// The conformance kit against this build: it passes, it sees a liar, and it says what is wrong with how it was called.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';

import { CHECKS } from './conformance/main.mjs';
import { ROOT, freePort, startSystem, TOKENS } from './system.mjs';

const ALL = [TOKENS.publish, TOKENS.follow, TOKENS.admin];

/** Runs the kit to its end. */
async function conformance(...words) {
  const child = spawn(join(ROOT, 'scripts/conformance'), words, { stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
  const [code] = await once(child, 'close');
  return { code, stdout, stderr };
}

/** The results of a run with `--json`, by id. */
function resultsOf({ stdout }) {
  return Object.fromEntries(stdout.trim().split('\n').map((line) => JSON.parse(line)).map((one) => [one.id, one]));
}

/**
 * The lies of a deployment: a pattern of a text or bytes that it sends, the replacement, and the check that must see
 * the lie. A text and its replacement are of one length, so the proxy need not understand HTTP or WebSocket.
 */
const LIES = [
  ['a hash of a page or frame', /"hash":"[0-9a-f]/g, (text) => `"hash":"${text.endsWith('f') ? '0' : 'f'}`, 'L1'],
  ['the same, to a follower', /"hash":"[0-9a-f]/g, (text) => `"hash":"${text.endsWith('f') ? '0' : 'f'}`, 'G4'],
  ['the version of a receipt', /"version":1,"position"/g, () => '"version":2,"position"', 'P1'],
  ['a key that was never published', /\[\{"key":"title:7"/g, () => '[{"key":"title:8"', 'N1'],
  ['a row that is not in its shortest form', /\{"key":"a:1"\}/g, () => '{"keys":"a:1}', 'P2'],
  ['the first version of a broadcast', /"from":0/g, () => '"from":1', 'G4'],
  ['no header for a repeat', /idempotent-replayed/gi, () => 'idempotent-repeated', 'I1'],
  ['another reason', /another history/g, () => 'another mistake', 'C6'],
  ['a resume that is none', /"resume":"replay"/g, () => '"resume":"rewind"', 'C7'],
  ['a page that may not be kept', /immutable/g, () => 'unchanged', 'L6'],
  ['no entity tag', /^etag:/gim, () => 'etaq:', 'L7'],
  ['events without retry', /retry: \d/g, () => 'retry: 9', 'V1'],
  ['nobody is asked for an ack', /"ack":true/g, () => '"ack":null', 'P11'],
  ['a change of another topic', /"key":"a:12"/g, () => '"key":"b:12"', 'T1.1'],
  ['a pong of another version', /pong (\w+):\d/g, (text) => `${text.slice(0, -1)}0`, 'F7'],
  ['another close code', /\x11\x94/g, () => '\x11\x95', 'S1'],
  ['a problem of another type', /urn:newsreel:problem:bad-tag/g, () => 'urn:newsreel:problem:bad-key', 'R10'],
  ['a new epoch that names no previous one', /"previous"/g, () => '"Previous"', 'E1.1'],
  ['a tag that is filtered out', /"tag":"y"/g, () => '"key":"y"', 'T3'],
  ['a token that is taken though it is not known', /HTTP\/1.1 401 Unauthorized/g, () => 'HTTP/1.1 403 Unauthorized', 'A6.4'],
];

/** A proxy that changes what the deployment says. */
async function startLiar(t, truth, [, pattern, lie]) {
  const { port: truePort } = new URL(truth);
  const sockets = new Set();
  const server = createServer((client) => {
    const broker = connect(Number(truePort), '127.0.0.1');
    for (const socket of [client, broker]) {
      sockets.add(socket);
      socket.on('error', () => [client, broker].forEach((one) => one.destroy()));
    }
    // A compressed text could not be changed.
    const plain = (text) => text.replace(/sec-websocket-extensions|accept-encoding/gi, (name) => 'x'.repeat(name.length));
    client.on('data', (bytes) => broker.write(Buffer.from(plain(bytes.toString('latin1')), 'latin1')));
    broker.on('data', (bytes) => client.write(Buffer.from(bytes.toString('latin1').replace(pattern, (text) => lie(text)), 'latin1')));
    client.on('close', () => broker.destroy());
    broker.on('close', () => client.end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

test('every check of the kit is of a section of PROTOCOL.md, and has an id of its own', () => {
  const document = readFileSync(join(ROOT, 'crates/core/PROTOCOL.md'), 'utf8');
  // A paragraph may have a heading too, in bold.
  const headings = [...document.matchAll(/^#+ (.*)$|^(?:- )?\*\*(.*?)\.?\*\*/gm)].map(([, heading, bold]) => heading ?? bold);
  for (const { id, section } of CHECKS) assert.ok(headings.includes(section), `${id} is of ${section}`);
  assert.equal(new Set(CHECKS.map(({ id }) => id)).size, CHECKS.length);
});

test('the kit stands alone: it imports Node and itself', () => {
  const folder = join(ROOT, 'e2e/conformance');
  for (const file of readdirSync(folder)) {
    const text = readFileSync(join(folder, file), 'utf8');
    const imports = /^(?:import|export|\}).*? from '(.*)'|^import '(.*)'|\bimport\('(.*?)'\)/gm;
    for (const [, ...sources] of text.matchAll(imports)) assert.match(sources.join(''), /^(node:|\.\/)/, file);
  }
});

test('conformance', async (t) => {
  const { broker } = await startSystem(t, { origin: false });

  await t.test('this build does what PROTOCOL.md says', async () => {
    const { code, stdout, stderr } = await conformance(broker.url, ...ALL);
    assert.doesNotMatch(stdout, /FAILED|skipped:/, stdout);
    assert.match(stdout, /^\d{2,} checks: (\d+) ok, 0 failed, 0 skipped$/m);
    assert.equal(code, 0, stderr);
    t.diagnostic(stdout.trimEnd().split('\n').at(-1));
  });

  await t.test('through a proxy that changes nothing it is the same', async () => {
    const honest = await startLiar(t, broker.url, ['', /(?!)/g]);
    const ids = [...new Set(LIES.map(([, , , id]) => id))];
    const run = await conformance(honest, ...ALL, '--only', exactly(...ids));
    assert.equal(run.code, 0, run.stdout);
  });

  for (const lie of LIES) {
    const [what, , , id] = lie;
    await t.test(`a liar is seen: ${what}`, async () => {
      const run = await conformance(await startLiar(t, broker.url, lie), ...ALL, '--only', exactly(id), '--json');
      const { result, reason, expected, seen } = resultsOf(run)[id];
      assert.deepEqual([run.code, result], [1, 'FAILED'], run.stderr);
      assert.ok(reason && expected && seen, 'what was expected and seen');
      assert.doesNotMatch(reason, /it took more than/, 'seen at once, not by its time running out');
    });
  }

  await t.test('tokens: fewer of them skip what needs the others', async () => {
    const two = await conformance(broker.url, TOKENS.publish, TOKENS.follow, '--only', exactly('A7', 'H1', 'E1.1'));
    assert.equal(two.code, 0, two.stderr);
    assert.match(two.stdout, /^E1\.1 .* skipped: no admin token/m);
    assert.match(two.stdout, /^3 checks: 2 ok, 0 failed, 1 skipped$/m);
    const one = await conformance(broker.url, TOKENS.admin, '--only', exactly('A7', 'A9'), '--json', '--catalog', 'mine');
    assert.deepEqual(Object.values(resultsOf(one)).map(({ result }) => result), ['skipped', 'ok']);
  });

  await t.test('how it is called wrongly is said, with what to do', async () => {
    const wrong = [
      [[], /no address of a deployment[^]*scripts\/conformance URL/],
      [['127.0.0.1:8787', 'x'], /127\.0\.0\.1:8787 is no address: write it like/],
      [[broker.url], /no token: give one that may publish/],
      [[broker.url, 'wrong'], /the publish token is not known to .*PUBLISH_TOKENS/],
      [[broker.url, TOKENS.publish], /the follow token may not follow catalog/],
      [[broker.url, TOKENS.publish, TOKENS.follow, TOKENS.follow], /the admin token may not administer/],
      [[broker.url, ...ALL, 'more'], /at most three tokens/],
      [[broker.url, ...ALL, '--colour'], /Unknown option '--colour' \(scripts\/conformance --help\)/],
      [[broker.url, ...ALL, '--catalog', 'TV'], /--catalog is 1 to 40/],
      [[broker.url, ...ALL, '--only', 'nothing like this'], /no check matches/],
      [[`http://127.0.0.1:${await freePort()}`, 'x'], /does not answer \(.*\): is it running/],
    ];
    for (const [words, message] of wrong) {
      const { code, stdout, stderr } = await conformance(...words);
      assert.deepEqual([code, stdout], [2, ''], words.join(' '));
      assert.match(stderr, message);
    }
    const help = await conformance('--help');
    assert.equal(help.code, 0);
    assert.match(help.stdout, /PUBLISH_TOKEN/);
    const list = await conformance('--list', '--only', '^G');
    assert.match(list.stdout, /^G5 .*from every position ever held/m);
  });
});

/** The pattern of exactly these checks. */
function exactly(...ids) {
  return `^(${ids.map((id) => id.replace('.', '\\.')).join('|')})$`;
}

// Lines that lose a frame, go half open, are slow, or are cut under a thousand followers at once.
//
// Between real followers (the command, the npm client, the replica of another deployment) and a real broker. That a
// cut or silent line is told to readers as it should be is in bound.test.mjs; the client alone in client-faults.test.mjs.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';

import { QUICK, Recorder } from './client.mjs';
import { freshness, until } from './edge.mjs';
import { startValues } from './origin.mjs';
import { startLine } from './proxy.mjs';
import { Served } from './served.mjs';
import { NEWSREEL, TOKENS } from './system.mjs';

/** How long a follower may take to find that its line is dead (a ping every 15 s, 5 s for its pong) and to come back. */
const FOUND = 40_000;

test('three followers of a broker, each behind a line', { timeout: 180_000 }, async (t) => {
  const home = await Served.at(t);
  await home.start();
  const { broker } = home;
  const port = Number(new URL(broker.url).port);
  const lines = { command: await startLine(t, port), client: await startLine(t, port), edge: await startLine(t, port) };
  const origin = await startValues(t);
  const far = await Served.at(t, {
    vars: { ORIGIN_URL: origin.url, BROKER_URL: lines.edge.url, BROKER_TOKEN: TOKENS.admin, EDGE: 'far' },
  });
  await far.start();
  const edge = far.broker;
  let head = 0;
  const publish = async () => {
    origin.set('live:1', { n: head + 1 });
    const receipt = await broker.publish({ key: 'live:1' });
    head = receipt.version;
    return receipt;
  };
  await publish();
  const command = tail(t, lines.command.url);
  const client = await Recorder.follow(t, lines.client, { token: TOKENS.follow, from: 'start', timing: { ...QUICK, pongTimeoutMs: 1_000 } });
  const all = () => Array.from({ length: head }, (_, n) => n + 1);
  const everybodyHas = async () => {
    await command.until(() => command.versions.length >= head);
    await client.until(() => client.versions.length >= head);
    assert.deepEqual(command.versions, all(), 'the command has each once, in order');
    assert.deepEqual(client.versions, all(), 'so has the client');
    const read = await until(async () => {
      const one = await edge.read('live:1');
      if (one.status === 200) return one;
      assert.deepEqual([one.status, one.json.code], [503, 'bound-not-kept'], one.text);
    }, 'the edge has it', FOUND);
    assert.deepEqual(read.json, { n: head }, 'and the edge');
    assert.notEqual(freshness(read).word, 'stale');
  };
  /** Does `act` to every line; `again` says whether each follower must connect anew for it. */
  const counted = async (act, again) => {
    const before = Object.values(lines).map((line) => line.came.length);
    await act();
    await everybodyHas();
    const came = Object.values(lines).map((line, nth) => line.came.length - before[nth]);
    assert.deepEqual(came.map((times) => times > 0), [again, again, again], `came back ${came} times`);
  };
  await everybodyHas();

  await t.test('G3, S1: a frame that is lost is missed by nobody', () => counted(async () => {
    for (const line of Object.values(lines)) line.lose((text) => text.startsWith('{"type":"changes"'));
    await publish();
    // The edge is asked for what it lacks, the client by its next ping, the command finds a gap in the next frame.
    await client.until(() => client.versions.length === head);
    await until(async () => (await edge.read('live:1')).json?.n === head, 'the edge has it', FOUND);
    await publish();
    for (const line of Object.values(lines)) assert.equal(line.lost.length, 1);
  }, true));

  await t.test('S1: behind a slow line nobody reads what was changed before', () => counted(async () => {
    for (const line of Object.values(lines)) line.delay(400);
    for (let n = 0; n < 3; n += 1) {
      await publish();
      const read = await edge.read('live:1');
      assert.deepEqual([read.status, read.json], [200, { n: head }], read.text);
    }
    for (const line of Object.values(lines)) line.delay(0);
  }, false));

  await t.test('G3, S1: a line that goes half open is found, and nothing is lost', () => counted(async () => {
    for (const line of Object.values(lines)) line.freeze();
    await publish();
    const began = Date.now();
    const found = async (what, has) => {
      await has;
      t.diagnostic(`${what} had it after ${Date.now() - began} ms`);
    };
    const edgeHas = until(async () => {
      const read = await edge.read('live:1');
      if (read.status !== 200) return false;
      assert.equal(read.json.n, head, 'never what was before');
      return true;
    }, 'the edge has it', FOUND);
    await Promise.all([
      found('the command', command.until(() => command.versions.length === head)),
      found('the client', client.until(() => client.versions.length === head)),
      found('the edge', edgeHas),
    ]);
  }, true));
});

/** `newsreel tail`, with what it printed. Ends with the test. */
function tail(t, url) {
  const words = ['tail', '--broker', url, '--catalog', 'tv', '--token', TOKENS.follow, '--from', 'start', '--json', '--name', 'tail'];
  const child = spawn(NEWSREEL, words, { stdio: ['ignore', 'pipe', 'ignore'] });
  t.after(() => child.kill('SIGKILL'));
  const command = new EventEmitter();
  command.versions = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    command.versions.push(JSON.parse(line).version);
    command.emit('came');
  });
  command.until = async (isMet) => {
    while (!isMet()) await once(command, 'came');
  };
  return command;
}

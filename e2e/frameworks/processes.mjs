//! What the tests of the adapters share: a folder with the framework and the packed packages, processes in it, values.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';

/** Runs a program until it says that it is ready, and ends it with the test. */
export async function start(t, command, words, { ready, env = {}, ...options }) {
  const child = spawn(command, words, { ...options, env: { ...process.env, ...env }, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  const exited = once(child, 'exit').then(([code]) => {
    throw new Error(`${command} ${words.join(' ')} ended with ${code}:\n${said}`);
  });
  exited.catch(() => {});
  const isReady = new Promise((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        said += text;
        if (ready.test(said)) resolve();
      });
    }
  });
  t.after(() => {
    if (child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
  });
  await Promise.race([isReady, exited]);
  return { child, said: () => said };
}

/** Runs a program to its end; throws what it said if it failed. */
export async function run(command, words, { env = {}, ...options } = {}) {
  const child = spawn(command, words, { ...options, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (said += text));
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${command} ${words.join(' ')} ended with ${code}:\n${said}`);
  return said;
}

/** A source of numbers by name, as slow as a test wants; counts how often each was asked for. */
export class Values {
  #values = new Map();
  #underWay = new Set();
  asked = new Map();
  delayMs = () => 0;

  static async start(t) {
    const values = new Values();
    const server = createServer(async (request, response) => {
      const name = request.url.slice(1);
      values.asked.set(name, (values.asked.get(name) ?? 0) + 1);
      // As a database: the value is that of the moment of the question.
      const asked = { name, value: values.get(name) };
      values.#underWay.add(asked);
      await new Promise((resolve) => setTimeout(resolve, values.delayMs()));
      response.end(String(asked.value));
      // What the answer is for is not done with it at once.
      setTimeout(() => values.#underWay.delete(asked), 100);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => (server.closeAllConnections(), server.close()));
    values.url = `http://127.0.0.1:${server.address().port}`;
    return values;
  }

  /** Whether something is being computed from an older value than this. */
  isAsked(name, least) {
    return [...this.#underWay].some((asked) => asked.name === name && asked.value < least);
  }

  get(name) {
    return this.#values.get(name) ?? 0;
  }

  set(name, value) {
    this.#values.set(name, value);
  }
}

// Redis servers of a test's own: the machine's, and those of the packages that scripts/lib.sh gets.
//
// Everything listens on 127.0.0.1 and is ended by its process id.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';

import { RunningSource, until } from './source.mjs';
import { ROOT, temporaryFolder, TOKENS } from './system.mjs';
import { freePort } from './workerd.mjs';

/** Where scripts/lib.sh puts servers. */
const TOOLS = join(ROOT, 'target/tools/redis');

/**
 * The servers that tests run on: `{ name, bin }`. The variable NEWSREEL_REDIS_SERVER names another one's binary, which then
 * stands alone.
 */
export function servers() {
  const other = process.env.NEWSREEL_REDIS_SERVER;
  const found = other ? [other] : [...packaged(), ...['/usr/bin/redis-server', '/usr/local/bin/redis-server', '/opt/homebrew/bin/redis-server']];
  const named = found.filter((bin) => existsSync(bin)).map((bin) => ({ name: versionOf(bin), bin }));
  return named.filter(({ name }, at) => name && named.findIndex((one) => one.name === name) === at);
}

const packaged = () => (existsSync(TOOLS) ? readdirSync(TOOLS).map((name) => join(TOOLS, name, 'server')) : []);

/** `Redis 7.0.15` or `Valkey 9.1.2`. */
function versionOf(bin) {
  const said = spawnSync(bin, ['--version'], { encoding: 'utf8' }).stdout ?? '';
  const [, kind, version] = /^(\w+) server v=([\d.]+)/.exec(said) ?? [];
  return kind && `${kind} ${version}`;
}

/** The reason to skip a test that needs a server, or false. */
export const skipped = (found = servers()) => (found.length > 0 ? false : 'no redis-server here: scripts/test gets one by pip, or install it');

/** A connection that speaks RESP2. An error is thrown. */
export class Resp {
  #socket;
  #waiting = [];
  #bytes = Buffer.alloc(0);

  /** `tls` are the options of a TLS connection. */
  static async to(port, { tls, user, password } = {}) {
    const resp = new Resp();
    resp.#socket = tls ? connectTls({ host: '127.0.0.1', port, ...tls }) : createConnection({ host: '127.0.0.1', port });
    const end = (error) => resp.#waiting.splice(0).forEach(({ reject }) => reject(error));
    resp.#socket.on('error', end).on('close', () => end(new Error('the connection is closed')));
    resp.#socket.on('data', (bytes) => resp.#take(bytes));
    await once(resp.#socket, tls ? 'secureConnect' : 'connect');
    if (password) await resp.run('AUTH', ...(user ? [user] : []), password);
    return resp;
  }

  /** Sends a command, and returns its answer. */
  run(...words) {
    const parts = words.map((word) => Buffer.from(typeof word === 'number' ? String(word) : word));
    const text = [Buffer.from(`*${parts.length}\r\n`), ...parts.flatMap((part) => [Buffer.from(`$${part.length}\r\n`), part, Buffer.from('\r\n')])];
    const answer = new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
    if (this.#socket.destroyed) this.#waiting.pop().reject(new Error('the connection is closed'));
    else this.#socket.write(Buffer.concat(text));
    return answer;
  }

  close() {
    this.#socket.destroy();
  }

  #take(bytes) {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    for (let read; (read = parse(this.#bytes, 0)); ) {
      this.#bytes = this.#bytes.subarray(read.end);
      const { resolve, reject } = this.#waiting.shift();
      if (read.value instanceof Error) reject(read.value);
      else resolve(read.value);
    }
  }
}

/** Reads one answer from a place on; nothing if it is not all there. */
function parse(bytes, at) {
  const line = bytes.indexOf('\r\n', at);
  if (line < 0) return undefined;
  const [kind, text] = [String.fromCharCode(bytes[at]), bytes.toString('utf8', at + 1, line)];
  const rest = line + 2;
  if (kind === '+') return { value: text, end: rest };
  if (kind === '-') return { value: new Error(text), end: rest };
  if (kind === ':') return { value: Number(text), end: rest };
  const count = Number(text);
  if (count < 0) return { value: null, end: rest };
  if (kind === '$') return bytes.length < rest + count + 2 ? undefined : { value: bytes.toString('utf8', rest, rest + count), end: rest + count + 2 };
  const values = [];
  let end = rest;
  for (let n = 0; n < count; n += 1) {
    const read = parse(bytes, end);
    if (!read) return undefined;
    values.push(read.value);
    ({ end } = read);
  }
  return { value: values, end };
}

/** A server on a port and a folder of its own. Ends with the test. */
export class Redis {
  #child;
  #client;
  log = '';

  static async start(t, bin, { words = [], tls, password, user, config } = {}) {
    const redis = new Redis();
    Object.assign(redis, { bin, words, tls, password, user, port: await freePort(), folder: temporaryFolder(t) });
    t.after(() => redis.kill());
    if (config) writeFileSync(join(redis.folder, 'redis.conf'), config(redis));
    redis.config = Boolean(config);
    await redis.begin();
    return redis;
  }

  get url() {
    return `redis://127.0.0.1:${this.port}`;
  }

  get pid() {
    return this.#child.pid;
  }

  /** Starts the process, on the data that is there. */
  async begin() {
    const { port, tls } = this;
    const listen = tls ? ['--port', '0', '--tls-port', port] : ['--port', port];
    const words = [...(this.config ? ['redis.conf'] : []), ...listen, '--bind', '127.0.0.1', '--dir', this.folder, '--save', '', ...this.words];
    this.#child = spawn(this.bin, words.map(String), { cwd: this.folder, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) stream.setEncoding('utf8').on('data', (text) => (this.log = (this.log + text).slice(-8000)));
    const answers = async () => {
      if (this.#child.exitCode !== null) throw new Error(`the server ended:\n${this.log}`);
      const client = await this.connect().catch(() => undefined);
      const answer = await client?.run('PING').catch((error) => error.message);
      client?.close();
      return answer === 'PONG' || /^NO/.test(answer ?? '');
    };
    await until(answers, () => `an answer of the server:\n${this.log}`);
  }

  connect() {
    return Resp.to(this.port, this);
  }

  /** Runs a command on a connection that is kept. */
  async run(...words) {
    this.#client ??= await this.connect();
    try {
      return await this.#client.run(...words);
    } catch (error) {
      if (/closed|ECONN/.test(error.message)) this.#client = undefined;
      throw error;
    }
  }

  async kill(signal = 'SIGKILL') {
    this.#client?.close();
    this.#client = undefined;
    if (!this.#child || this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = once(this.#child, 'exit');
    this.#child.kill(signal);
    await closed;
  }
}

/** `newsreel source redis`, which can be killed and started again. */
export class RedisSource extends RunningSource {
  constructor(t, { url, broker, map, flags = [], env = {} }) {
    super(t, temporaryFolder(t), map);
    this.env = { ...process.env, ...env };
    this.words = ['source', 'redis', '--map', this.map, '--redis', url, '--broker', broker, '--token', TOKENS.publish, '--lease-ms', '500', ...flags];
  }

  /** Waits until an entry or message was published, and returns its line. */
  async published(fits) {
    await until(() => this.versions.some(fits), () => `${fits} among ${JSON.stringify(this.versions.slice(-5))}; the source says\n${this.log.slice(-3000)}`);
    return this.versions.find(fits);
  }
}

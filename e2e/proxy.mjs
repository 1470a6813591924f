// A line between a follower and its broker, on 127.0.0.1, that a test cuts, silences, slows, and makes lose a frame.
//
// The line passes bytes. Of a WebSocket it reads the broker's frames one by one, so that a test can lose a whole frame.
// No real line does that: only a broker, or a proxy between, that drops a frame that it should have sent.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** A line to a port of this machine. Ends with the test. */
export async function startLine(t, port) {
  const line = new Line(port);
  line.server.listen(0, '127.0.0.1');
  await once(line.server, 'listening');
  t.after(() => line.end());
  return line;
}

class Line {
  /** When each connection came, by `performance.now()`. */
  came = [];
  /** The frames that were lost. */
  lost = [];
  #mode = 'open';
  #pairs = new Set();
  #loses = () => false;
  #delayMs = 0;

  constructor(port) {
    this.server = createServer((near) => this.#carry(near, port));
  }

  get url() {
    return `http://127.0.0.1:${this.server.address().port}`;
  }

  get open() {
    return this.#pairs.size;
  }

  /** `close`: connections are closed at once, and new ones refused. `swallow`: all stay open, and nothing passes. */
  cut(how) {
    this.#mode = how;
    if (how === 'close') this.#hangUp();
  }

  /** Carries again. Bytes sent meanwhile are lost, so connections that were open then stay half open. */
  mend() {
    this.freeze();
    this.#mode = 'open';
  }

  /** Makes open connections half open: they stay open and carry nothing. New connections are carried. */
  freeze() {
    for (const { frozen } of this.#pairs) frozen();
  }

  /** Loses the broker's next frame, on any connection, whose text `wanted` accepts. */
  lose(wanted) {
    this.#loses = wanted;
  }

  /** Holds everything that the broker says for so long. */
  delay(ms) {
    this.#delayMs = ms;
  }

  end() {
    this.server.close();
    this.#hangUp();
  }

  #hangUp() {
    for (const { ends } of this.#pairs) ends.forEach((end) => end.destroy());
  }

  #carry(near, port) {
    this.came.push(performance.now());
    near.on('error', () => {});
    if (this.#mode === 'close') return near.destroy();
    const far = this.#mode === 'open' ? connect(port, '127.0.0.1') : undefined;
    const pair = { ends: [near, far].filter(Boolean), frozen: () => (frozen = true) };
    let frozen = false;
    const passes = () => this.#mode === 'open' && !frozen;
    const frames = new Frames((frame, text) => {
      const isLost = text !== undefined && this.#loses(text);
      if (isLost) {
        this.#loses = () => false;
        this.lost.push(text);
        return;
      }
      const say = () => passes() && near.write(frame);
      if (this.#delayMs > 0) setTimeout(say, this.#delayMs);
      else say();
    });
    this.#pairs.add(pair);
    near.on('data', (bytes) => passes() && far?.write(plain(bytes)));
    far?.on('data', (bytes) => frames.hear(bytes));
    for (const end of pair.ends) {
      end.on('error', () => {});
      end.on('close', () => {
        this.#pairs.delete(pair);
        for (const other of pair.ends) other.destroy();
      });
    }
  }
}

/** Takes the offer to pack frames out of a request. */
function plain(bytes) {
  const text = bytes.toString('latin1');
  return /^GET /.test(text) ? Buffer.from(text.replace(/^sec-websocket-extensions:.*\r\n/im, ''), 'latin1') : bytes;
}

/** Cuts what a server says on one connection into frames, once it has opened a WebSocket; until then as it comes. */
class Frames {
  #bytes = Buffer.alloc(0);
  #open = false;

  constructor(tell) {
    this.tell = tell;
  }

  hear(bytes) {
    if (!this.#open) {
      const end = /^HTTP\/1\.1 101 /.test(bytes.toString('latin1')) ? bytes.indexOf('\r\n\r\n') + 4 : bytes.length;
      this.tell(bytes.subarray(0, end));
      this.#open = end < bytes.length || /^HTTP\/1\.1 101 /.test(bytes.toString('latin1'));
      bytes = bytes.subarray(end);
    }
    if (bytes.length === 0) return;
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    for (let length = lengthOf(this.#bytes); length <= this.#bytes.length; length = lengthOf(this.#bytes)) {
      const frame = this.#bytes.subarray(0, length);
      this.#bytes = this.#bytes.subarray(length);
      const isText = (frame[0] & 0x0f) === 1;
      this.tell(frame, isText ? frame.subarray(headOf(frame)).toString() : undefined);
    }
  }
}

/** How many bytes come before what a frame of a server says. */
function headOf(bytes) {
  const short = bytes[1] & 0x7f;
  return short === 126 ? 4 : short === 127 ? 10 : 2;
}

/** How long the frame is that these bytes begin with. */
function lengthOf(bytes) {
  if (bytes.length < 2 || bytes.length < headOf(bytes)) return Number.POSITIVE_INFINITY;
  const short = bytes[1] & 0x7f;
  const said = short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short;
  return headOf(bytes) + said;
}

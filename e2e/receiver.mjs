// A receiver of the messages that tell of alerts, for tests.

import { ok, strictEqual as same } from 'node:assert';
import { createHmac } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { createServer } from 'node:http';

const KEY = Buffer.from('a key of twenty-four bytes').toString('base64');
/** The secret that its messages are signed with, as the deployment has it. */
export const SECRET = `whsec_${KEY}`;
/** The classes of objects of a deployment that has alerts. */
export const CLASSES = ['Broker', 'Replica', 'AlertBoard'];

/** A receiver of messages: answers by `answers`, the next status first, and then with 204. */
export class Receiver extends EventEmitter {
  messages = [];
  answers = [];

  static async start(t) {
    const receiver = new Receiver();
    const server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => (body += chunk));
      request.on('end', () => {
        response.writeHead(receiver.answers.shift() ?? 204).end();
        receiver.messages.push({ headers: request.headers, body, json: JSON.parse(body) });
        receiver.emit('message');
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => (server.closeAllConnections(), server.close()));
    receiver.url = `http://127.0.0.1:${server.address().port}/hook?secret=1`;
    return receiver;
  }

  /** Waits until so many messages came. */
  async has(count) {
    while (this.messages.length < count) await once(this, 'message');
    return this.messages;
  }
}

/** Checks a signature as a receiver would that has the message at a moment. */
export function checkSignature({ headers, body }, now = Date.now()) {
  const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
  const expected = createHmac('sha256', Buffer.from(KEY, 'base64')).update(signed).digest('base64');
  same(headers['webhook-signature'], `v1,${expected}`);
  ok(Math.abs(now / 1_000 - headers['webhook-timestamp']) < 60);
}

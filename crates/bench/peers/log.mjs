// A version log as one would write it by hand for one Durable Object: rows in SQLite, hibernatable sockets, JSON frames.
//
// This object speaks as much of Newsreel's protocol as the load generator needs, and does none of what makes Newsreel safe: no
// hashes, no idempotency keys, no limits, no filters. With GROUP_COMMIT the publishes that arrive together are
// committed together and sent as one frame. With SENDS_ALONE it reads and stores nothing of a publish: what is left is the
// platform's own work, below which no object can be.

import { DurableObject } from 'cloudflare:workers';

/** How many versions a frame of a replay has, and how many such frames a follower may leave unacknowledged. */
const PAGE = 500;
const WINDOW = 4;

export class Log extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec('CREATE TABLE IF NOT EXISTS log (version INTEGER PRIMARY KEY, row TEXT NOT NULL)');
    this.head = this.sql.exec('SELECT coalesce(max(version), 0) AS head FROM log').one().head;
    this.queue = [];
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair('ping', 'pong'));
  }

  async fetch(request) {
    const url = new URL(request.url);
    if (url.pathname.endsWith('/follow')) return this.follow(url.searchParams.get('version'));
    if (url.pathname.endsWith('/publish')) return this.accept('publisher').response;
    if (request.method === 'GET') return Response.json({ version: this.head });
    const text = await request.text();
    if (request.headers.get('content-type') !== 'application/x-ndjson') return Response.json(await this.publish(text));
    const receipts = await Promise.all(text.trim().split('\n').map((line) => this.publish(line)));
    return new Response(receipts.map((receipt) => `${JSON.stringify(receipt)}\n`).join(''));
  }

  accept(tag) {
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server, [tag]);
    const headers = { 'sec-websocket-protocol': 'newsreel.v1' };
    return { server, response: new Response(null, { status: 101, webSocket: client, headers }) };
  }

  /** A follower is live from its head, or is sent the log from a version on. */
  follow(version) {
    const { server, response } = this.accept('follower');
    server.send(`{"type":"welcome","head":${this.head}}`);
    this.goOn(server, version ? Number(version) : this.head, 0);
    return response;
  }

  /** Sends pages until the follower has the head, or has a window of pages to acknowledge. */
  goOn(socket, at, unacknowledged) {
    let pages = unacknowledged;
    let to = at;
    while (to < this.head && pages < WINDOW) {
      const query = `SELECT group_concat(row) AS rows, max(version) AS last FROM
        (SELECT version, row FROM log WHERE version > ? ORDER BY version LIMIT ${PAGE})`;
      const { rows, last } = this.sql.exec(query, to).one();
      socket.send(`{"type":"changes","from":${to},"to":${last},"versions":[${rows}]}`);
      to = last;
      pages += 1;
    }
    if (to === this.head) socket.send(`{"type":"live","version":${to}}`);
    socket.serializeAttachment(to === this.head ? { live: true } : { at: to, pages });
  }

  async webSocketMessage(socket, text) {
    const message = JSON.parse(text);
    if (message.type !== 'ack') {
      const receipt = await this.publish(text);
      socket.send(`{"type":"answers","answers":[${JSON.stringify(receipt)}]}`);
      return;
    }
    const { live, at, pages } = socket.deserializeAttachment();
    if (!live) this.goOn(socket, at, pages - 1);
  }

  webSocketClose(socket, code) {
    socket.close(code);
  }

  /** Publishes a text, alone or with all that arrive in the same turns of the event loop. */
  publish(text) {
    const publish = this.env.SENDS_ALONE ? { changes: [], row: text } : JSON.parse(text);
    const changes = publish.changes ?? [publish];
    if (!this.env.GROUP_COMMIT) return this.commit([{ changes }])[0];
    return new Promise((answer) => {
      this.queue.push({ changes, row: publish.row, answer });
      if (this.queue.length === 1) this.settle();
    });
  }

  /** Waits until nothing more arrives, at most four turns, and commits what has. */
  async settle() {
    for (let turn = 0, seen = 0; turn < 4 && seen !== this.queue.length; turn += 1) {
      seen = this.queue.length;
      await new Promise((next) => setTimeout(next, 0));
    }
    const queue = this.queue;
    this.queue = [];
    const receipts = this.commit(queue);
    queue.forEach(({ answer }, index) => answer(receipts[index]));
  }

  /** Writes publishes, one version each, sends them to all live followers, and returns their receipts. */
  commit(publishes) {
    const at = Date.now();
    const from = this.head;
    const rows = publishes.map(({ changes, row }, index) => row ?? JSON.stringify({ version: from + index + 1, at, changes }));
    // Nothing is awaited between them, so all of these writes are one transaction.
    const insert = (row, index) => this.sql.exec('INSERT INTO log VALUES (?, ?)', from + index + 1, row);
    if (!this.env.SENDS_ALONE) rows.forEach(insert);
    this.head = from + rows.length;
    const frame = `{"type":"changes","from":${from},"to":${this.head},"versions":[${rows.join(',')}]}`;
    for (const socket of this.ctx.getWebSockets('follower')) {
      if (socket.deserializeAttachment().live) socket.send(frame);
    }
    return publishes.map(({ changes }, index) => ({ catalog: 'tv', version: from + index + 1, at, changes: changes.length }));
  }
}

export default {
  fetch: (request, env) => env.LOG.getByName('tv').fetch(request),
};

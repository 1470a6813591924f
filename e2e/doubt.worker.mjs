// The production Worker with faults in its replica, for tests only: a change that names a `fault:` key makes it fail once.
//
// `fault:unwritten`: its floors cannot be written, and then, twice, nor can the rows be read from which to start again.
// `fault:thrown`: the replica is told of it by a reset, and throws before that is written: as a panic would.

import { Replica as Production } from 'WORKER';

export * from 'WORKER';
export { default } from 'WORKER';

const done = new Set();
/** Says whether this is the first time that `text` names `fault`. */
const first = (fault, text) => {
  if (done.has(fault) || !String(text).includes(`"${fault}"`)) return false;
  done.add(fault);
  return true;
};

let unread = 0;
let patched = false;
export class Replica extends Production {
  constructor(state, env) {
    if (!patched) patch(Object.getPrototypeOf(state.storage.sql));
    patched = true;
    super(state, env);
    this.sql = state.storage.sql;
  }

  /** Lets a test ring the alarm, which would come in 30 s, and see the rows. */
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === '/alarm') return this.alarm();
    if (pathname === '/sql') return Response.json(this.sql.exec(await request.text()).raw().toArray());
    return super.fetch(request);
  }
}
function patch(sql) {
  const { exec } = sql;
  sql.exec = function (query, ...bindings) {
    if (query.startsWith('INSERT INTO floors') && first('fault:unwritten', bindings[0])) {
      unread = 2;
      throw new Error('the floors cannot be written');
    }
    if (unread > 0 && /FROM meta WHERE name = 'position'/.test(query)) {
      unread -= 1;
      throw new Error('the position cannot be read');
    }
    return exec.call(this, query, ...bindings);
  };
}

let epoch;
const { send } = WebSocket.prototype;
WebSocket.prototype.send = function (text) {
  epoch = /^\{"type":"welcome","epoch":"(\w+)"/.exec(String(text))?.[1] ?? epoch;
  if (/^\{"type":"changes"/.test(text) && first('fault:thrown', text)) {
    const { to: version, hash } = JSON.parse(text);
    return send.call(this, JSON.stringify({ type: 'reset', epoch, version, hash, reason: '"fault:told"' }));
  }
  return send.call(this, text);
};
const { log } = console;
console.log = (...words) => {
  if (first('fault:told', words)) throw new Error('thrown before the reset is written');
  return log(...words);
};

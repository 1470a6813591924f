// The production Worker with faults, for tests only: a text that names a `fault:` key makes its fan-out die.
//
// `fault:cut-N`: after N more sockets this text is sent to no other, as when the object dies there.
// `fault:throw`: the next attachment cannot be written, and saying so throws: an error in the middle of a fan-out.

export * from 'WORKER';
export { default } from 'WORKER';

/** How many sockets are left out at the most. */
const SOCKETS = 2;
const cuts = new Map();
let throws = 0;

const { send, serializeAttachment } = WebSocket.prototype;
WebSocket.prototype.send = function (text) {
  const [, fault, after] = /"fault:(cut|throw)(?:-(\d+))?"/.exec(String(text)) ?? [];
  if (fault === 'cut') {
    const left = cuts.get(text) ?? Number(after);
    cuts.set(text, left - 1);
    // Once for each socket: a text that is sent again later goes through.
    if (left <= 0 && left > -SOCKETS) return undefined;
  }
  if (fault === 'throw' && throws === 0) throws = 1;
  return send.call(this, text);
};
WebSocket.prototype.serializeAttachment = function (value) {
  if (throws === 1) {
    throws = 2;
    throw new Error('the attachment cannot be written');
  }
  return serializeAttachment.call(this, value);
};
const warn = console.warn;
console.warn = (...words) => {
  if (throws !== 2) return warn(...words);
  throws = 3;
  throw new Error('and nobody can be told');
};

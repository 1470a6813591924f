// The read at the edge: what can be seen of it without knowing the origin.

import { matches, problem } from './expect.mjs';

const section = 'The read';
const read = (log, key, headers = {}) => log.call('GET', `/entries/${encodeURIComponent(key)}`, { headers });
const atLeast = ({ epoch, version }) => ({ 'newsreel-min-version': `${epoch}:${version}` });

async function removed(log) {
  const receipt = await log.publish({ key: 'a:1', op: 'remove' });
  problem(await read(log, 'a:1', atLeast(receipt)), 404, 'not-found');
}

async function slashes(log) {
  const receipt = await log.publish({ changes: [{ key: 'a:b/c', op: 'remove' }, { key: 'a:é', op: 'remove' }] });
  problem(await log.call('GET', '/entries/a:b/c', { headers: atLeast(receipt) }), 404, 'not-found');
  problem(await read(log, 'a:b/c', atLeast(receipt)), 404, 'not-found');
  problem(await read(log, 'a:é', atLeast(receipt)), 404, 'not-found');
}

async function future(log) {
  const { epoch } = await log.publish({ key: 'a:1' });
  const answer = await read(log, 'a:1', atLeast({ epoch, version: 9 }));
  problem(answer, 503, 'min-version');
  matches('Retry-After', answer.headers.get('retry-after'), /^1$/);
}

export default [
  { id: 'X1', section, what: 'a key that is none is bad-key, without a token', run: async (log) => {
    for (const key of ['nokey', ':a', 'a:', `a:${'x'.repeat(400)}`]) problem(await read(log, key), 400, 'bad-key');
    problem(await log.call('GET', '/entries/a:%ff'), 400, 'bad-key');
  } },
  { id: 'X2', section, what: 'a key that the log says is removed is not-found', run: removed },
  { id: 'X3', section, what: 'slashes of a key come escaped or not, and UTF-8 escaped', run: slashes },
  { id: 'X4', section, what: 'a version that is not heard is min-version, with Retry-After', run: future },
  { id: 'X5', section, what: 'a Newsreel-Min-Version that cannot be read is bad-request', run: async (log) => {
    for (const text of ['x', '1', 'x:1']) problem(await read(log, 'a:1', { 'newsreel-min-version': text }), 400, 'bad-request');
  } },
  { id: 'X6', section: 'Addresses', what: 'DELETE …/entries/{key} is 405', run: async (log) => {
    const answer = await log.call('DELETE', '/entries/a:1');
    problem(answer, 405, 'method-not-allowed', ['allow']);
  } },
];

// One fill at a time across the isolates of an edge, where R2 is bound.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from 'miniflare';

import { startValues } from './origin.mjs';
import { ROOT, SECRETS } from './system.mjs';

/** A site that is bound to both isolates; a call says by which it goes. */
const SITE = `
export default {
  async fetch(request, env) {
    const { isolate, key, url } = await request.json();
    const fill = async () => {
      const { status, body } = await fetch(url);
      return new Response(body, { status, headers: { 'Content-Type': 'text/plain' } });
    };
    return Response.json(await env[isolate === 2 ? 'SECOND' : 'FIRST'].read(key, fill));
  },
};`;

test('isolates of an edge fill a key one after the other, and the second takes the entry of the first', { timeout: 60_000 }, async (t) => {
  const origin = await startValues(t);
  const read = await startIsolates(t, origin);

  await t.test('a read in another isolate waits for the fill that is under way', async () => {
    origin.set('page:1', 'made once');
    origin.hold('page:1');
    const first = read('page:1', 1);
    const answer = await origin.next('page:1');
    const second = read('page:1', 2);
    // Two reads of the other isolate from beginning to end: the one before them would have asked the origin by then.
    for (const other of ['page:x', 'page:y']) {
      origin.set(other, other);
      await read(other, 2);
    }
    assert.equal(origin.count('page:1'), 1);
    answer();
    assert.deepEqual([(await first).value, (await second).value], ['made once', 'made once']);
    assert.equal(origin.count('page:1'), 1);
    origin.releaseAll('page:1');
  });

  await t.test('a fill that stores nothing keeps nobody waiting', async () => {
    origin.fail(500, 'page:2');
    await assert.rejects(read('page:2', 1));
    origin.fail(undefined, 'page:2');
    origin.set('page:2', 'there');
    const began = performance.now();
    assert.equal((await read('page:2', 2)).value, 'there');
    assert.ok(performance.now() - began < 5_000, 'the turn was given back');
  });
});

async function startIsolates(t, origin) {
  const built = (name) => readFileSync(join(ROOT, 'crates/entry/build', name));
  const modules = [
    { type: 'ESModule', path: 'main.mjs', contents: readFileSync(join(ROOT, 'e2e/isolates.worker.mjs'), 'utf8') },
    ...['a', 'b'].flatMap((isolate) => [
      { type: 'ESModule', path: `${isolate}/index.js`, contents: built('index.js').toString() },
      { type: 'CompiledWasm', path: `${isolate}/index_bg.wasm`, contents: built('index_bg.wasm') },
    ]),
  ];
  const common = { compatibilityDate: '2026-07-30', cf: false };
  const bound = (entrypoint) => ({ name: 'newsreel', entrypoint, props: { catalog: 'tv' } });
  const options = {
    log: new Log(LogLevel.ERROR),
    workers: [
      { ...common, name: 'site', modules: [{ type: 'ESModule', path: 'site.mjs', contents: SITE }], serviceBindings: { FIRST: bound('Newsreel'), SECOND: bound('Second') } },
      {
        ...common, name: 'newsreel', modules, kvNamespaces: ['ENTRIES'], r2Buckets: ['COPIES'],
        durableObjects: { BROKER: { className: 'Broker', useSQLite: true }, REPLICA: { className: 'Replica', useSQLite: true } },
        bindings: { EDGE: 'e2e', ...SECRETS },
      },
    ],
  };
  const miniflare = new Miniflare(convertV4MiniflareOptions(options));
  t.after(() => miniflare.dispose());
  const url = await miniflare.ready;
  return async (key, isolate) => {
    const body = JSON.stringify({ isolate, key, url: `${origin.url}/tv/${encodeURIComponent(key)}` });
    const response = await fetch(url, { method: 'POST', body });
    if (!response.ok) throw new Error(await response.text());
    return response.json();
  };
}

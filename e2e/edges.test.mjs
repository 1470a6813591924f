// What one edge tells of others: their series, why they answer as they do, and what a publish would hit there.

import { deepStrictEqual as sameAll, match, ok, strictEqual as same } from 'node:assert';
import { test } from 'node:test';

import { until } from './edge.mjs';
import { startValues } from './origin.mjs';
import { Served } from './served.mjs';
import { TOKENS } from './system.mjs';

const token = TOKENS.admin;
const EDGES = ['far', 'near'];

test('an edge tells of every edge that follows the catalog', { timeout: 60_000 }, async (t) => {
  const origin = await startValues(t);
  const { broker } = await (await Served.at(t, { around: 'edges.worker.mjs', vars: { ORIGIN_URL: origin.url, EDGE: 'near' } })).start();
  const read = (edge, key, options) => broker.read(key, { ...options, headers: { 'x-edge': edge } });
  const get = async (path, edge = 'near') => (await broker.call('GET', path, { token, headers: { 'x-edge': edge } })).json;
  const READS = { near: 3, far: 5 };
  origin.set('title:1', { n: 1 });
  origin.set('fare:1', { n: 1 });
  const head = await broker.publish({ key: 'title:2' });
  for (const edge of EDGES) {
    for (let n = 0; n < READS[edge]; n += 1) same((await read(edge, 'title:1', { after: head })).status, 200);
    // The readers have reported when this is answered.
    same((await broker.call('GET', '/metrics', { token, headers: { 'x-edge': edge } })).status, 200);
  }
  const followers = async () => (await get('/followers')).followers.filter(({ replica }) => replica).map(({ name }) => name).sort();
  await until(async () => (await followers()).join() === EDGES.join(), 'both replicas follow');

  await t.test('their series one by one, and the sums of all from either', async () => {
    const reads = async (query, from) => {
      const page = await get(`/series?${query}&names=reads`, from);
      return [page.edge, page.left_out, page.series.flatMap(({ values }) => values).reduce((sum, value) => sum + value, 0)];
    };
    for (const from of EDGES) {
      sameAll(await reads('edge=near', from), ['near', [], 3]);
      sameAll(await reads('edge=far', from), ['far', [], 5]);
      sameAll(await reads('edge=*', from), ['*', [], 8]);
      sameAll(await reads('edge=*&class=fare', from), ['*', [], 0]);
    }
  });

  await t.test('why each answers as it does, with its own floors', async () => {
    const { epoch, version } = await broker.publish({ key: 'title:1' });
    for (const edge of EDGES) same((await read(edge, 'title:1', { after: { epoch, version } })).status, 200);
    const why = (edge, from) => get(`/entries/title:1?explain=1&edge=${edge}`, from);
    for (const from of EDGES) {
      for (const edge of EDGES) {
        const { edge: explained, key, position, steps } = await why(edge, from);
        sameAll([explained, key, position.split(':')[1]], [edge, 'title:1', String(version)], `${edge}, asked at ${from}`);
        same(steps.at(-1).step, 'answer');
        ok(steps.at(-1).serve, JSON.stringify(steps.at(-1)));
      }
    }
    const nobody = await broker.call('GET', '/entries/title:1?explain=1&edge=ams', { token });
    sameAll([nobody.status, nobody.json.code], [404, 'not-found']);
    match(nobody.json.detail, /no edge called "ams" follows the catalog/);
    same((await broker.call('GET', '/entries/title:1?explain=1&edge=far', { token: TOKENS.follow })).status, 403);
  });

  await t.test('what a publish would hit at each', async () => {
    const body = JSON.stringify({ changes: [{ prefix: 'title:' }] });
    const { json } = await broker.call('POST', '/dry-run', { token, body });
    sameAll(json.edges.map(({ edge, covered }) => [edge, covered]), [['far', 1], ['near', 1]]);
    ok(json.edges[0].reads >= READS.far && json.edges[1].reads >= READS.near, JSON.stringify(json.edges));
    sameAll(json.left_out, []);
  });
});

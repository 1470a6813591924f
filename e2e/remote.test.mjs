// An edge that follows the broker of another deployment (BROKER_URL).

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { test } from 'node:test';

import { startBroker } from './served.mjs';
import { startSystem, TOKENS } from './system.mjs';

test('an edge follows the broker of another deployment', async (t) => {
  const home = { broker: await startBroker(t) };
  // The values of the day, in another place than both deployments.
  const values = new Map();
  const origin = createServer((request, answer) => {
    const value = values.get(decodeURIComponent(request.url.split('/').at(-1)));
    answer.writeHead(value === undefined ? 404 : 200, { 'content-type': 'application/json' });
    answer.end(JSON.stringify(value));
  }).listen(0, '127.0.0.1');
  await once(origin, 'listening');
  t.after(() => origin.close());
  // Not on wrangler's harness, which passes what a Worker fetches through node, which opens no sockets.
  const abroadWith = (vars) =>
    startBroker(t, { ORIGIN_URL: `http://127.0.0.1:${origin.address().port}`, BROKER_URL: home.broker.url, ...vars });
  const abroad = await abroadWith({ EDGE: 'abroad', BROKER_TOKEN: TOKENS.admin });

  values.set('title:1', { n: 1 });
  let receipt = await home.broker.publish({ key: 'title:1' });
  assert.deepEqual((await abroad.read('title:1', { after: receipt })).json, { n: 1 });
  values.set('title:1', { n: 2 });
  const body = '{"key":"title:1"}';
  receipt = (await home.broker.call('POST', '/changes?wait=applied', { token: TOKENS.publish, body })).json;
  assert.deepEqual(receipt.applied, ['abroad'], 'an admin token makes it a replica of this broker');
  assert.deepEqual((await abroad.read('title:1', { after: receipt })).json, { n: 2 });

  const stranger = await abroadWith({ EDGE: 'stranger' });
  const refused = await stranger.read('title:1');
  assert.equal(refused.status, 503, 'without a token nothing is known, and nothing is served');
  assert.equal(refused.json.code, 'bound-not-kept');
});

test('a deployment that is configured wrongly says what is wrong', async (t) => {
  const { broker } = await startSystem(t, { origin: false, vars: { POLICY: { live: { ttl: 5 } } } });
  for (const url of [`${broker.url}/readyz`, broker.at('/entries/title:1')]) {
    const response = await fetch(url);
    const problem = await response.json();
    assert.equal(problem.code, 'misconfigured');
    assert.match(problem.detail, /POLICY.*ttl_ms/);
  }
});

// The counters: what readers count, as the replica adds it up and Analytics Engine is told.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { counters } from './counters.mjs';
import { startSystem, TOKENS, wrapped } from './system.mjs';

test('the counters say what the reads were', async (t) => {
  const { broker, origin, worker } = await startSystem(t, { config: wrapped(t, 'metrics.worker.mjs') });
  await origin.put('title:1', { n: 1 });
  const head = await broker.publish({ key: 'other:1' });
  for (let n = 0; n < 5; n += 1) await broker.read('title:1', { after: head });
  await broker.read('title:none', { after: head });
  const removed = await broker.publish({ key: 'live:1', op: 'remove' });
  await broker.read('live:1', { after: removed });

  const seen = await counters(broker);
  const of = (name, labels) => seen.get(`newsreel_${name}{class="${labels}}`) ?? 0;
  assert.equal(of('reads_total', 'title"'), 6);
  assert.equal(of('tier_total', 'title",tier="memory",outcome="hit"'), 4);
  assert.equal(of('tier_total', 'title",tier="origin",outcome="hit"'), 1);
  assert.equal(of('tier_total', 'title",tier="origin",outcome="miss"'), 1);
  assert.equal(of('answers_total', 'title",freshness="fresh"'), 5);
  assert.equal(of('answers_total', 'title",freshness="not_found"'), 1);
  assert.equal(of('answers_total', 'live",freshness="removed"'), 1);
  assert.equal(of('fills_total', 'title",tier="r2"'), 2);
  assert.equal(of('origin_seconds_count', 'title"'), 2);
  assert.equal(of('lag_seconds_count', 'title"'), 6);
  assert.ok(of('syncs_total', 'title"') >= 1);

  await t.test('and a data point a class goes to Analytics Engine, with location and class', async () => {
    const points = await (await worker.fetch('http://test/points')).json();
    const title = points.filter(({ blobs }) => blobs[1] === 'title');
    assert.deepEqual(title.map(({ indexes, blobs }) => [indexes, blobs]), title.map(() => [['tv'], ['e2e', 'title', 'tv']]));
    assert.equal(title.reduce((sum, { doubles }) => sum + doubles[0], 0), 6, 'the first double: reads');
    assert.ok(points.every(({ doubles }) => doubles.length <= 20));
  });

  await t.test('they are for administrators, and outlive the replica', async () => {
    assert.equal((await broker.call('GET', '/metrics')).status, 401);
    assert.equal((await broker.call('GET', '/metrics', { token: TOKENS.publish })).status, 403);
    await (await worker.fetch('http://test/alarm')).text();
    await (await worker.fetch('http://test/abort')).text();
    assert.equal((await counters(broker)).get('newsreel_reads_total{class="title"}'), 6);
  });
});

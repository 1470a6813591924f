// Numbers over time: what was published and what readers got, compared with a count that the test keeps itself.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { until } from './edge.mjs';
import { startValues } from './origin.mjs';
import { startSystem, TOKENS, wrapped } from './system.mjs';

const STEPS = [10, 60, 600];

/** The sum of a series over all its steps, of one class or of all. */
function total(page, name, of) {
  const all = page.series.filter((one) => one.name === name && (of === undefined || one.class === of));
  return all.flatMap(({ values }) => values).reduce((sum, value) => sum + (value ?? 0), 0);
}

/** The observations of a histogram, over all its steps. */
function observed(page, name) {
  const all = page.histograms.filter((one) => one.name === name).flatMap(({ counts }) => counts);
  return all.flatMap((counts) => counts ?? []).reduce((sum, value) => sum + value, 0);
}

test('the series say what was published and what readers got', async (t) => {
  const origin = await startValues(t);
  const config = wrapped(t, 'series.worker.mjs');
  const { broker, worker } = await startSystem(t, { config, origin: false, vars: { ORIGIN_URL: origin.url } });
  const tell = async (kind, name, what) => (await worker.fetch(`http://test/${kind}?name=${name}&do=${what}`)).text();
  const series = async (query = '', { token = TOKENS.admin } = {}) => {
    const { status, text } = await broker.call('GET', `/series${query}`, { token });
    assert.equal(status, 200, text);
    return JSON.parse(text);
  };
  const counted = { reads: 0, title: 0, live: 0, changes: 0, versions: 0 };
  const publish = async (change) => {
    counted.versions += 1;
    counted.changes += 1;
    return broker.publish(change);
  };
  const read = async (key, options) => {
    counted.reads += 1;
    counted[key.split(':')[0]] += 1;
    return broker.read(key, options);
  };
  for (let n = 0; n < 3; n += 1) origin.set(`title:${n}`, { n });
  let head = await publish({ key: 'other:1' });
  for (let n = 0; n < 12; n += 1) await read(`title:${n % 3}`, { after: head });
  head = await publish({ key: 'live:1', op: 'remove' });
  await read('live:1', { after: head });
  await read('title:none', { after: head });

  await t.test('of the edge, at every step', async () => {
    for (const step of STEPS) {
      const page = await series(`?edge=e2e&step=${step}`);
      assert.equal(page.edge, 'e2e');
      assert.equal(page.step_ms, step * 1_000);
      assert.equal((page.to - page.from) / page.step_ms, page.points);
      for (const { values } of page.series) assert.equal(values.length, page.points);
      assert.equal(total(page, 'reads'), counted.reads);
      assert.equal(total(page, 'reads', 'title'), counted.title);
      assert.equal(total(page, 'reads', 'live'), counted.live);
      assert.equal(total(page, 'answers_fresh'), 12);
      assert.equal(total(page, 'answers_not_found'), 1);
      assert.equal(total(page, 'answers_removed'), 1);
      assert.equal(total(page, 'hits_memory') + total(page, 'hits_origin'), 13, 'the removal is no tier\'s');
      assert.equal(observed(page, 'lag_ms') + total(page, 'lag_unknown'), counted.reads);
      assert.equal(total(page, 'origin_fetches'), origin.asked.length);
      assert.equal(observed(page, 'origin_ms'), origin.asked.length);
    }
  });

  await t.test('of the log, for a follower', async () => {
    for (const step of STEPS) {
      const page = await series(`?step=${step}`, { token: TOKENS.follow });
      assert.equal(page.edge, null);
      assert.equal(total(page, 'publishes'), counted.versions);
      assert.equal(total(page, 'versions'), counted.versions);
      assert.equal(total(page, 'changes'), counted.changes);
      assert.ok(total(page, 'bytes') > 0);
      assert.equal(Math.max(...page.series.find(({ name }) => name === 'position_version').values), counted.versions);
      assert.equal(observed(page, 'publish_ms'), counted.versions);
    }
  });

  await t.test('a replica\'s ack is timed, once for each version that it heard of', async () => {
    await until(async () => observed(await series(), 'applied_ms') >= 1, 'an ack');
    assert.ok(observed(await series(), 'applied_ms') <= counted.versions);
  });

  await t.test('all edges are summed, and what is asked for is told alone', async () => {
    const page = await series('?edge=*&names=reads,answers_failed&class=title');
    assert.equal(page.edge, '*');
    assert.deepEqual(page.left_out, []);
    assert.deepEqual(page.series.map(({ name, class: of }) => [name, of]), [['reads', 'title'], ['answers_failed', 'title']]);
    assert.equal(total(page, 'reads'), counted.title);
    assert.equal(total(page, 'answers_failed'), 0);
    assert.ok(page.series[0].values.includes(null), 'of most of the hour nothing is known');
  });

  await t.test('they outlive the objects', async () => {
    const asked = async () => {
      const pages = [await series('?edge=e2e&step=600'), await series('?step=600')];
      return [total(pages[0], 'reads'), total(pages[1], 'changes'), observed(pages[1], 'publish_ms')];
    };
    const before = await asked();
    assert.deepEqual(before, [counted.reads, counted.changes, counted.versions]);
    for (const object of [['replica', 'tv@e2e'], ['broker', 'tv']]) {
      await tell(...object, 'alarm');
      await tell(...object, 'abort');
    }
    assert.deepEqual(await asked(), before);
  });

  await t.test('an idle object has no alarm for them', async () => {
    const quiet = 'quiet';
    assert.equal(await tell('replica', `${quiet}@e2e`, 'armed'), 'null');
    for (const query of ['', '?edge=e2e', '?edge=*']) {
      const { status } = await broker.call('GET', `/series${query}`, { token: TOKENS.admin, catalog: quiet });
      assert.equal(status, 200);
    }
    assert.equal(await tell('replica', `${quiet}@e2e`, 'armed'), 'null', 'a replica that is only looked at');
    assert.equal(await tell('broker', quiet, 'armed'), 'null', 'a broker that is only looked at');
    await broker.publish({ key: 'title:1' }, { catalog: quiet });
    await until(async () => (await tell('broker', quiet, 'rows')) === '1', 'a row, which is written without an alarm');
    assert.equal(await tell('broker', quiet, 'armed'), 'null', 'a broker to which something was published');
    await tell('broker', quiet, 'abort');
    const { json } = await broker.call('GET', '/series', { token: TOKENS.follow, catalog: quiet });
    assert.equal(total(json, 'changes'), 1);
  });

  await t.test('who may not see them is told so, and a wrong query what is wrong', async () => {
    const status = async (query, token) => (await broker.call('GET', `/series${query}`, { token })).status;
    assert.equal(await status(''), 401);
    assert.equal(await status('', TOKENS.publish), 403);
    assert.equal(await status('?edge=e2e'), 401);
    assert.equal(await status('?edge=e2e', TOKENS.follow), 403);
    assert.equal(await status('?edge=*', TOKENS.follow), 403);
    for (const query of ['?step=7', '?names=misses', '?edge=e2e&names=publishes', '?edge=*&names=misses', '?from=9&to=9', '?edge=e2e&from=x']) {
      assert.equal(await status(query, TOKENS.admin), 400, query);
    }
  });
});

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

/** The observations of a histogram in each bucket, over all its steps. */
function buckets(page, name, of) {
  const all = page.histograms.filter((one) => one.name === name && (of === undefined || one.class === of));
  const sum = (all[0]?.bounds ?? []).concat(Infinity).map(() => 0);
  for (const counts of all.flatMap(({ counts }) => counts)) counts?.forEach((n, at) => (sum[at] += n));
  return sum;
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
    // Two, where the publish is counted in another ten seconds than the questions before it.
    await until(async () => Number(await tell('broker', quiet, 'rows')) >= 1, 'a row, which is written without an alarm');
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

test('the series time the way of a change, and price it', async (t) => {
  const origin = await startValues(t);
  const config = wrapped(t, 'series.worker.mjs');
  const { broker, worker } = await startSystem(t, { config, origin: false, vars: { ORIGIN_URL: origin.url } });
  const tell = async (kind, name, what) => (await worker.fetch(`http://test/${kind}?name=${name}&do=${what}`)).text();
  const series = async (query) => {
    const { status, text } = await broker.call('GET', `/series${query}`, { token: TOKENS.admin });
    assert.equal(status, 200, text);
    return JSON.parse(text);
  };
  for (let n = 0; n < 4; n += 1) origin.set(`title:${n}`, { n });
  const began = Date.now();
  let head = await broker.publish({ key: 'other:0' });
  let reads = 0;
  const read = async (key) => {
    reads += 1;
    return broker.read(key, { after: head });
  };
  for (let n = 0; n < 4; n += 1) await read(`title:${n}`);

  await t.test('each version is timed from its commit to the replica, in each class that it changes', async () => {
    const before = await series('?edge=e2e&names=propagation_ms');
    const VERSIONS = 5;
    let waited = 0;
    for (let n = 0; n < VERSIONS; n += 1) {
      const at = Date.now();
      const changes = [{ key: 'title:9' }, { key: 'title:8' }, { key: 'live:1' }];
      head = await broker.publish({ changes });
      await broker.read('title:0', { after: head });
      reads += 1;
      waited += Date.now() - at;
    }
    const page = await series('?edge=e2e&names=propagation_ms');
    for (const of of ['title', 'live']) {
      const timed = (told) => buckets(told, 'propagation_ms', of).reduce((sum, n) => sum + n, 0);
      assert.equal(timed(page) - timed(before), VERSIONS, of);
      const { sums } = page.histograms.find((one) => one.class === of);
      assert.ok(sums.reduce((sum, ms) => sum + (ms ?? 0), 0) <= waited, 'no longer than the test waited for it');
    }
    const { ahead_ms: ahead, within_ms: within } = page.clock;
    assert.ok(Math.abs(ahead) <= within + 20, `both have one clock: ${ahead} ms within ${within}`);
  });

  await t.test('the first answer with a hard change is timed, once for each change that is read', async () => {
    const timed = async () => observed(await series('?edge=e2e&names=first_served_ms'), 'first_served_ms');
    const before = await timed();
    for (let n = 1; n < 4; n += 1) {
      origin.set(`title:${n}`, { n, changed: true });
      head = await broker.publish({ key: `title:${n}` });
      for (let again = 0; again < 3; again += 1) assert.equal((await read(`title:${n}`)).json.changed, true);
    }
    assert.equal((await timed()) - before, 3);
  });

  await t.test('answers from before a soft change are told by its age, and the others are not old', async () => {
    origin.hold('title:1');
    head = await broker.publish({ key: 'title:1', soft: true });
    const old = async () => {
      // Without a version to have heard of: a reader who names one is not shown what is older.
      await broker.read('title:1');
      reads += 1;
      const [fresh, ...older] = buckets(await series('?edge=e2e&names=staleness_ms'), 'staleness_ms');
      return fresh > 0 && older.reduce((sum, n) => sum + n, 0);
    };
    assert.ok((await until(old, 'an answer that is known to be old')) >= 1);
    origin.releaseAll('title:1');
    const page = await series('?edge=e2e');
    const answers = page.series.filter(({ name }) => /^answers_(?!failed)/.test(name)).map(({ name }) => name);
    const all = [...new Set(answers)].reduce((sum, name) => sum + total(page, name), 0);
    assert.equal(observed(page, 'staleness_ms'), all);
    assert.equal(all, reads);
  });

  await t.test('reads are timed, those of memory as no time', async () => {
    const page = await series('?edge=e2e&names=read_ms,reads');
    assert.equal(observed(page, 'read_ms'), reads);
    assert.equal(total(page, 'reads'), reads);
    const { sums } = page.histograms.find(({ name }) => name === 'read_ms');
    assert.ok(sums.reduce((sum, ms) => sum + (ms ?? 0), 0) <= Date.now() - began);
  });

  await t.test('what KV and R2 were asked is counted and has its price', async () => {
    const COUNTS = { cost_kv_reads: 'kvReads', cost_kv_writes: 'kvWrites', cost_kv_deletes: 'kvDeletes', cost_r2_a: 'r2A', cost_r2_b: 'r2B' };
    const asked = async () => (await worker.fetch('http://test/asked')).json();
    const both = async () => {
      await tell('replica', 'tv@e2e', 'alarm');
      const [page, real] = [await series('?edge=e2e'), await asked()];
      const told = Object.keys(COUNTS).map((name) => [name, total(page, name)]);
      return { page, told, real: Object.entries(COUNTS).map(([name, of]) => [name, real[of]]) };
    };
    await until(async () => {
      const { told, real } = await both();
      return JSON.stringify(told) === JSON.stringify(real);
    }, 'the operations that were asked for');
    const { page } = await both();
    const PRICES = { cost_kv_reads: 0.5, cost_kv_writes: 5, cost_kv_deletes: 5, cost_r2_a: 4.5, cost_r2_b: 0.36, cost_do_requests: 0.15, cost_do_messages: 0.15 / 20, cost_do_ms: (12.5 * 0.128) / 1000 };
    const usd = Object.entries(PRICES).reduce((sum, [name, price]) => sum + (total(page, name) * price) / 1e6, 0);
    assert.ok(total(page, 'cost_do_requests') > 0 && total(page, 'cost_do_ms') > 0);
    assert.ok(Math.abs(page.cost.usd - usd) < 1e-12, `${page.cost.usd} for ${usd}`);
    assert.ok(Math.abs(page.cost.usd_per_month - (usd * 30 * 86_400_000) / (page.to - page.from)) < 1e-9);
  });
});

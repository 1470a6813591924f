// A thousand followers whose line is cut at once: they come back spread, not in step, and none lacks anything.
//
// Each is the npm package with the times it has by default, so the spread is the follower's own (full jitter).

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { connect } from './client.mjs';
import { startLine } from './proxy.mjs';
import { Served } from './served.mjs';
import { TOKENS } from './system.mjs';

const FOLLOWERS = Number(process.env.FOLLOWERS ?? 1_000);
const WINDOW_MS = 100;

test('G3: a thousand followers cut at once come back spread, and each has every version', { timeout: 180_000 }, async (t) => {
  const served = await Served.at(t);
  await served.start();
  const { broker } = served;
  const line = await startLine(t, Number(new URL(broker.url).port));
  const began = performance.now();
  const crowd = await Promise.all(Array.from({ length: FOLLOWERS }, (_, n) => Follower.start(t, line.url, `f${n}`)));
  await Promise.all(crowd.map((one) => one.feed.live()));
  t.diagnostic(`all live after ${Math.round(performance.now() - began)} ms`);
  let head = 0;
  const publish = async () => ({ version: head } = await broker.publish({ key: `a:${head}` }));
  const allHave = () => Promise.all(crowd.map((one) => one.feed.waitFor(head)));
  await publish();
  await allHave();

  // Refused until each has tried in vain.
  line.cut('close');
  await publish();
  await Promise.all(crowd.map((one) => one.waited(2)));
  line.mend();
  await publish();
  await Promise.all(crowd.map((one) => one.feed.live()));
  await publish();
  await allHave();
  const versions = Array.from({ length: head }, (_, n) => n + 1);
  for (const one of crowd) assert.deepEqual(one.versions, versions);

  for (const [nth, ceiling] of [[0, 250], [1, 500]]) {
    const waits = crowd.map((one) => one.waits[nth]);
    assert.ok(waits.every((wait) => wait <= ceiling + 1), 'nobody waits longer than the ceiling');
    const most = fullest(waits);
    t.diagnostic(`wait ${nth + 1}: at most ${most} of ${FOLLOWERS} within ${WINDOW_MS} ms`);
    // A fair share of the ceiling, and half as much again for chance.
    assert.ok(most <= 1.5 * FOLLOWERS * (WINDOW_MS / ceiling), `wait ${nth + 1}: ${most} within ${WINDOW_MS} ms`);
  }
  t.diagnostic(`at the line: at most ${fullest(line.came.slice(FOLLOWERS))} attempts within ${WINDOW_MS} ms`);
});

/** A feed, what came of it, and how long it was to wait each time. */
class Follower {
  versions = [];
  waits = [];
  #woken = [];

  static async start(t, url, name) {
    const one = new Follower();
    one.feed = await connect(url, {
      catalog: 'tv', name, token: TOKENS.follow, from: 'start', transport: 'websocket',
      onChanges: (events) => void one.versions.push(...events.map(({ version }) => version)),
      onState: (state) => {
        if (state.name !== 'waiting') return;
        one.waits.push(state.until - Date.now());
        for (const woken of one.#woken.splice(0)) woken();
      },
    });
    t.after(() => one.feed.close());
    return one;
  }

  /** Waits until it was to wait so often. */
  async waited(times) {
    while (this.waits.length < times) await new Promise((woken) => this.#woken.push(woken));
  }
}

/** How many moments there are in the fullest window. */
function fullest(moments) {
  const sorted = moments.toSorted((a, b) => a - b);
  let [most, first] = [0, 0];
  for (const [last, moment] of sorted.entries()) {
    while (sorted[first] <= moment - WINDOW_MS) first += 1;
    most = Math.max(most, last - first + 1);
  }
  return most;
}

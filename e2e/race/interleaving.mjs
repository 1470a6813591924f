// One interleaving of reads, changes and time, drawn from a seed: the same for every contender.
//
// A page shows a number, and a change counts it up. A render reads the number when it begins and takes its time. A read
// that begins after a `revalidate` has returned must not be given a number from before that change.

import { clock } from './clock.mjs';

export const LOCATIONS = ['a', 'b'];
/** When the page is read again after the last change has returned, in milliseconds of the race since the time before. */
const AFTERWARDS = [0, 1_000, 4_000, 15_000, 45_000];

/** Returns numbers from 0 to 1, the same for the same seed (mulberry32). */
export function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Plays a seed against a contender; says what came of it. */
export async function play(contender, seed) {
  // Each kind of thing has its own numbers: how often a contender renders changes nothing else.
  const [drawn, renderTimes] = [randomOf(seed), randomOf(~seed)];
  const below = (most) => Math.floor(drawn() * most);
  const name = `${contender.name.replace(/[^a-z0-9]+/gi, '-')}-${seed}`.toLowerCase();
  const [page, tag] = [`page:${name}`, `tag-${name}`];
  const told = { reads: 0, renders: 0, marked: 0, failed: 0, older: 0, behind: 0, longestMs: 0 };
  let [value, promised] = [0, 0];
  /** When the change to each number had returned. */
  const returnedAt = new Map();
  const underWay = [];

  const render = async () => {
    told.renders += 1;
    const seen = value;
    await clock.sleep(20 + Math.floor(renderTimes() * 3_000));
    return seen;
  };
  const read = async (location) => {
    const least = promised;
    let answer;
    try {
      answer = await contender.read({ location, page, tag, render });
    } catch (error) {
      told.failed += 1;
      return console.log(`${contender.name}: ${error.message}`);
    }
    told.reads += 1;
    if (answer.marked) told.marked += 1;
    if (answer.value >= least) return;
    told.older += 1;
    told.behind = Math.max(told.behind, least - answer.value);
    told.longestMs = Math.max(told.longestMs, clock.now - returnedAt.get(answer.value + 1));
  };
  const change = async (location) => {
    value += 1;
    const mine = value;
    await contender.revalidate({ location, page, tag });
    for (let one = mine; one > 0 && !returnedAt.has(one); one -= 1) returnedAt.set(one, clock.now);
    promised = Math.max(promised, mine);
  };

  for (let steps = 6 + below(7); steps > 0; steps -= 1) {
    const location = LOCATIONS[below(2)];
    const kind = below(100);
    if (kind < 45) underWay.push(read(location));
    else if (kind < 65) underWay.push(change(location));
    else await clock.sleep([below(400), below(4_000), below(40_000)][below(3)]);
  }
  await Promise.all(underWay);
  for (const after of AFTERWARDS) {
    await clock.sleep(after);
    await Promise.all(LOCATIONS.map(read));
  }
  return { ...told, wrong: told.older > 0 ? 1 : 0 };
}

/** Adds an outcome to sums. */
export function add(sums, told) {
  for (const [name, count] of Object.entries(told)) {
    const isMost = name === 'behind' || name === 'longestMs';
    sums[name] = isMost ? Math.max(sums[name] ?? 0, count) : (sums[name] ?? 0) + count;
  }
  return sums;
}

/**
 * Time that never goes back, in Unix milliseconds.
 *
 * It is the monotonic clock's; but that one stands still in some browsers while the machine sleeps, and a feed that
 * took an hour of sleep for nothing would call old things new. So where the wall clock went on by more than a second
 * longer, it is believed.
 */

const TOLERANCE_MS = 1_000;

const began = { wall: Date.now(), monotonic: performance.now() };
let slept = 0;

/** Returns what time it is. */
export function now(): number {
  const elapsed = performance.now() - began.monotonic;
  const ahead = Date.now() - began.wall - elapsed;
  if (ahead > slept + TOLERANCE_MS) slept = ahead;
  return began.wall + elapsed + slept;
}

/**
 * Time that never goes back, in Unix milliseconds.
 *
 * The time comes from the monotonic clock. In some browsers that clock stands still while the machine sleeps, and a feed
 * that missed an hour of sleep would take old values for new ones. So where the wall clock advanced by over a second
 * more, the wall clock counts.
 */

const TOLERANCE_MS = 1_000;

const began = { wall: Date.now(), monotonic: performance.now() };
let slept = 0;

/** Returns the time in Unix milliseconds, never earlier than before. */
export function now(): number {
  const elapsed = performance.now() - began.monotonic;
  const ahead = Date.now() - began.wall - elapsed;
  if (ahead > slept + TOLERANCE_MS) slept = ahead;
  return began.wall + elapsed + slept;
}

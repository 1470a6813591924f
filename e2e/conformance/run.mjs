// Runs the checks, a few at once; the results stand in the order of the checks.

import { CHECK_MS, Stage } from './deployment.mjs';
import { Mismatch, Skipped } from './expect.mjs';

/** How many run at once. */
const AT_ONCE = 4;

export async function runAll(deployment, checks, lacks, tell) {
  const results = new Array(checks.length);
  let next = 0;
  const worker = async () => {
    while (next < checks.length) {
      const at = next;
      next += 1;
      results[at] = await runOne(deployment, checks[at], lacks);
      tell(results[at]);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return results;
}

async function runOne(deployment, check, lacks) {
  const { id, section, what, needs } = check;
  const missing = needs.find((need) => lacks.has(need));
  if (missing) return { id, section, what, result: 'skipped', reason: lacks.get(missing), ms: 0 };
  const started = performance.now();
  const outcome = await outcomeOf(deployment, check);
  return { id, section, what, ...outcome, ms: Math.round(performance.now() - started) };
}

async function outcomeOf(deployment, check) {
  const stage = new Stage(deployment);
  const clock = Promise.withResolvers();
  const timer = setTimeout(() => {
    const waits = stage.waits.join('; ') || 'nothing that it told of';
    clock.reject(new Mismatch(`it took more than ${CHECK_MS / 1000} s, waiting for ${waits}`, 'it comes', 'nothing more came'));
  }, CHECK_MS);
  try {
    await Promise.race([check.run(stage.log()), clock.promise]);
    return { result: 'ok' };
  } catch (error) {
    if (error instanceof Skipped) return { result: 'skipped', reason: error.message };
    if (error instanceof Mismatch) return { result: 'FAILED', reason: error.message, expected: error.expected, seen: error.seen };
    const cause = error.cause?.message ? ` (${error.cause.message})` : '';
    return { result: 'FAILED', reason: `${error.message}${cause}`, expected: 'no such error', seen: error.stack };
  } finally {
    clearTimeout(timer);
    stage.end();
  }
}

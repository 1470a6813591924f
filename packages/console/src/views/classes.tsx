/** The classes of keys: how old and how near what each is served is, judged by the class's own bounds. */

import { useMemo, useState } from 'preact/hooks';

import type { Settings } from '../api.js';
import { duration, percent, whole } from '../format.js';
import { Name } from '../parts/name.js';
import { Plot } from '../parts/plot.js';
import { type SeriesAnswer, above, has, classesOf, quantileOf, shareOf, sumOf, timesOf, totalOf } from '../series.js';

/** How many classes are drawn at once. */
const DRAWN = 6;
const HITS = ['hits_memory', 'hits_kv', 'hits_r2'];

/** How a class does. */
export type Light = 'good' | 'warning' | 'critical' | 'none';

/** Returns the lag bound of a class, by the settings of the deployment. */
function boundOf(settings: Settings | undefined, className: string): number | undefined {
  const found = settings?.policies.find((one) => one.class === className) ?? settings?.policies.find((one) => one.class === 'other');
  return found?.policy.lag_bound_ms;
}

function judged(answer: SeriesAnswer, className: string, bound: number | undefined) {
  const reads = totalOf(sumOf(answer, ['reads'], className));
  const old = above(answer, 'staleness_ms', 0, className);
  const beyond = above(answer, 'staleness_ms', bound ?? Infinity, className);
  const marked = totalOf(sumOf(answer, ['answers_stale'], className));
  const hits = totalOf(sumOf(answer, HITS, className));
  const wrong = totalOf(sumOf(answer, ['verify_wrong'], className));
  const knowsAge = has(answer, 'staleness_ms');
  const light: Light = wrong > 0 ? 'critical' : reads === 0 ? 'none' : beyond.above > 0 ? 'critical' : old.above > 0 || marked > 0 ? 'warning' : 'good';
  const share = (part: number, all: number) => (all > 0 ? part / all : 0);
  return { className, bound, reads, light, wrong, knowsAge, hits: share(hits, reads), old: share(old.above, old.all), beyond: share(beyond.above, beyond.all), marked: share(marked, reads) };
}

const SAYS: Record<Light, string> = {
  good: 'nothing old was served unmarked, and nothing was marked',
  warning: 'some answers were marked stale, or older than the newest change within the bound',
  critical: 'some answers were older than the class’s bound',
  none: 'no reads',
};

/** The section of the overview. */
export function Classes({ answer, settings }: { answer: SeriesAnswer; settings: Settings | undefined }) {
  const [showsAll, setAll] = useState(false);
  const classes = useMemo(
    () => classesOf(answer).map((name) => judged(answer, name, boundOf(settings, name))).sort((a, b) => b.reads - a.reads),
    [answer, settings],
  );
  const shown = showsAll ? classes : classes.slice(0, DRAWN);
  return (
    <section>
      <h2>Classes</h2>
      {classes.length === 0 && <p class="faint">No key was read in this time.</p>}
      {shown.map((one) => (
        <article key={one.className} class={`class-card ${one.light}`} aria-label={`Class ${one.className}`}>
          <header>
            <span class={`dot ${one.light}`} />
            <h3><Name text={one.className} /></h3>
            <span>{one.wrong > 0 ? 'the check by schedule found wrong answers' : SAYS[one.light]}</span>
            <span class="faint">
              {whole(one.reads)} reads · {percent(one.hits)} hits · {percent(one.marked)} marked stale
              {one.knowsAge && <> · {percent(one.old)} older than the newest change</>}
              {one.knowsAge && one.bound !== undefined && <> · {percent(one.beyond)} above its bound of {duration(one.bound)}</>}
            </span>
          </header>
          <ClassPlots answer={answer} className={one.className} bound={one.bound} />
        </article>
      ))}
      {classes.length > DRAWN && <button type="button" onClick={() => setAll(!showsAll)}>{showsAll ? `The ${DRAWN} most read` : `All ${classes.length} classes`}</button>}
    </section>
  );
}

function ClassPlots({ answer, className, bound }: { answer: SeriesAnswer; className: string; bound: number | undefined }) {
  // How old an answer can have been at most, where the deployment does not know how old it was.
  const age = has(answer, 'staleness_ms') ? 'staleness_ms' : 'lag_ms';
  const drawn = useMemo(() => {
    const reads = sumOf(answer, ['reads'], className);
    const tier = (name: string) => shareOf(sumOf(answer, [name], className), reads);
    return {
      times: timesOf(answer),
      age: [
        { label: 'p50', values: quantileOf(answer, age, 0.5, className), colour: '--line-1' },
        { label: 'p99', values: quantileOf(answer, age, 0.99, className), colour: '--line-2' },
      ],
      hits: [
        { label: 'memory', values: tier('hits_memory'), colour: '--line-1' },
        { label: 'KV', values: tier('hits_kv'), colour: '--line-2' },
        { label: 'R2', values: tier('hits_r2'), colour: '--line-3' },
        { label: 'origin', values: tier('hits_origin'), colour: '--line-4' },
      ],
    };
  }, [answer, className, age]);
  return (
    <div class="plots">
      <Plot title={`${className}: ${age === 'lag_ms' ? 'how far behind it may have been' : 'age of what was served'}`} times={drawn.times} lines={drawn.age} write={duration} height={120}
        {...(bound ? { bounds: { warning: bound / 2, critical: bound } } : {})} />
      <Plot title={`${className}: where it was found`} times={drawn.times} lines={drawn.hits} write={percent} height={120} />
    </div>
  );
}

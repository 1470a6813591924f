/** What the check by schedule says: the share that was consistent, and the last wrong answers with the way to their keys. */

import type { Finding } from '../api.js';
import { ago, duration, percent, whole } from '../format.js';
import { addressOf } from '../route.js';
import { type SeriesAnswer, sumOf, totalOf } from '../series.js';
import { Name } from './name.js';

/** How many wrong answers are shown. */
const SHOWN = 3;

/** The line of the overview; nothing where nothing was checked and nothing was ever found. */
export function Checks({ catalog, answer, findings }: { catalog: string; answer: SeriesAnswer; findings: readonly Finding[] }) {
  const count = (name: string) => totalOf(sumOf(answer, [`verify_${name}`]));
  const [consistent, marked, wrong, unknown] = [count('consistent'), count('marked'), count('wrong'), count('unknown')];
  const decided = consistent + marked + wrong;
  if (decided + unknown === 0 && findings.length === 0) return null;
  return (
    <section aria-label="Checked by schedule">
      <p class="says">
        <span class={`dot ${wrong > 0 ? 'critical' : 'good'}`} /> <strong data-figure="checked">{whole(decided + unknown)}</strong> keys checked beside the origin
        {decided > 0 && <>, <strong>{percent(consistent / decided)}</strong> consistent</>}
        {marked > 0 && <>, {whole(marked)} marked</>}
        {wrong > 0 && ' '}
        {wrong > 0 && <span class="mark critical">{whole(wrong)} wrong</span>}
        {unknown > 0 && <span class="faint"> · {whole(unknown)} could not be compared</span>}
      </p>
      {findings.length > 0 && (
        <ul class="alerts">
          {findings.slice(0, SHOWN).map((one) => (
            <li key={`${one.at} ${one.key}`} class="critical">
              <a href={addressOf(catalog, 'key', { key: one.key })}><Name text={one.key} /></a> at edge <Name text={one.edge} /> was served as {side(one.served)} for {duration(one.at - one.since)}, and the origin says {side(one.origin)}
              <span class="faint">class <Name text={one.class} /> · found {ago(one.at)}</span>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

/** Names what one side gave. */
function side({ found, etag }: Finding['served']) {
  return found ? <Name text={etag} /> : 'no value';
}

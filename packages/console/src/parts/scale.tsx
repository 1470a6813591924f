/** The edges on a scale of how many versions they are behind: a column for each power of ten. */

import type { Follower } from '../api.js';
import { whole } from '../format.js';
import { addressOf } from '../route.js';
import { Empty } from './empty.js';

const COLUMNS: readonly { label: string; least: number; light: string }[] = [
  { label: 'current', least: 0, light: 'good' },
  { label: '1 +', least: 1, light: 'warning' },
  { label: '10 +', least: 10, light: 'warning' },
  { label: '100 +', least: 100, light: 'critical' },
  { label: '1,000 +', least: 1000, light: 'critical' },
  { label: '10,000 +', least: 10_000, light: 'critical' },
];

/** Every follower as a dot in the column of its lag; a dot leads to the follower. */
export function LagScale({ catalog, followers }: { catalog: string; followers: readonly Follower[] }) {
  if (followers.length === 0) {
    return (
      <Empty title="No edge follows yet" command={`curl -sS ${location.origin}/v1/catalogs/${catalog}/entries/title:1`}>
        The first read at an edge wakes its replica, which then follows the log.
      </Empty>
    );
  }
  const columns = COLUMNS.map((column, at) => ({
    ...column,
    members: followers.filter(({ lag }) => lag >= column.least && lag < (COLUMNS[at + 1]?.least ?? Infinity)),
  }));
  return (
    <ol class="scale" aria-label="Edges by how many versions they are behind">
      {columns.map(({ label, light, members }) => (
        <li key={label}>
          <span class="scale-label">{label} <strong>{whole(members.length)}</strong></span>
          <span class="scale-dots">
            {members.map((one, at) => (
              <a key={`${one.name} ${at}`} class={`scale-dot ${one.stage === 'replaying' ? 'replaying' : light}`} href={addressOf(catalog, 'edges', { edge: one.name })}
                title={`${one.name || '(no name)'}: ${whole(one.lag)} behind${one.stage === 'replaying' ? ', replaying' : ''}`}>
                <span class="hidden">{one.name || 'a follower without a name'}, {whole(one.lag)} behind</span>
              </a>
            ))}
          </span>
        </li>
      ))}
    </ol>
  );
}

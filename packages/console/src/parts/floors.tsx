/** An entry and the floors that it was judged by, on one line of versions. */

import { type Floor, versionOf } from '../explanation.js';
import { whole } from '../format.js';
import { Name } from './name.js';

/** Draws each floor as a bar up to its version, and the entry as a line through all of them: a bar beyond the line ends it. */
export function Floors({ position, floors }: { position: string; floors: readonly Floor[] }) {
  const at = versionOf(position);
  const raised = floors.filter(({ hard, soft, removed }) => hard > 0 || soft > 0 || removed > 0);
  // Places by rank and not by size: versions may be millions apart, or neighbours.
  const ranks = [...new Set([0, at, ...raised.flatMap(({ hard, soft, removed }) => [hard, soft, removed])])].sort((a, b) => a - b);
  const place = (version: number) => `${(ranks.indexOf(version) / Math.max(1, ranks.length - 1)) * 92}%`;
  return (
    <div class="floors">
      <p class="faint">The dashed line is the entry, of version {whole(at)}. A bar is a floor: one that reaches past the line ends the entry, or marks it.</p>
      {raised.map(({ target, name, hard, soft, removed, held }, row) => (
        <div key={row} class="floor">
          <div class="floor-words">
            {target}{name && <> <Name text={name} /></>}: {hard > 0 && `hard floor ${whole(hard)}${hard > at ? ', which ends the entry' : ''}`}
            {soft > 0 && ` soft floor ${whole(soft)}${soft > at ? ', so the entry is marked' : ''}`}{removed > 0 && ` removed at ${whole(removed)}`}{!held && ' (looked up)'}
          </div>
          <div class="floor-track" aria-hidden="true">
            {hard > 0 && <span class={`bar hard ${hard > at ? 'ends' : ''}`} style={{ width: place(hard) }} />}
            {soft > 0 && <span class={`bar soft ${soft > at ? 'ends' : ''}`} style={{ width: place(soft) }} />}
            {removed > 0 && <span class={`bar hard ${removed > at ? 'ends' : ''}`} style={{ width: place(removed) }} />}
            <span class="entry-line" style={{ left: place(at) }} />
          </div>
        </div>
      ))}
      {raised.length === 0 && <p>No change has touched the key, its tags, a prefix of it or everything.</p>}
    </div>
  );
}

/** An entry and the floors that it was judged by, on one line of versions. */

import { type Floor, versionOf } from '../explanation.js';
import { whole } from '../format.js';
import { Name } from './name.js';

const [WIDTH, ROW, LEFT] = [640, 26, 150];

/** Draws each floor as a bar up to its version, and the entry as a line through all of them: a bar beyond the line ends it. */
export function Floors({ position, floors }: { position: string; floors: readonly Floor[] }) {
  const at = versionOf(position);
  const raised = floors.filter(({ hard, soft, removed }) => hard > 0 || soft > 0 || removed > 0);
  // Places by rank and not by size: versions may be millions apart, or neighbours.
  const ranks = [...new Set([0, at, ...raised.flatMap(({ hard, soft, removed }) => [hard, soft, removed])])].sort((a, b) => a - b);
  const place = (version: number) => LEFT + (ranks.indexOf(version) / Math.max(1, ranks.length - 1)) * (WIDTH - LEFT - 30);
  const height = ROW * (raised.length + 1) + 8;
  return (
    <div class="floors">
      <svg viewBox={`0 0 ${WIDTH} ${height}`} role="img" aria-label={`The entry is of version ${at}; ${raised.length} floors are raised`}>
        {raised.map(({ hard, soft, removed, target }, row) => {
          const y = ROW * (row + 1);
          return (
            <g key={row}>
              <text x={0} y={y + 13} class="floor-label">{target}</text>
              {soft > 0 && <rect x={LEFT} y={y + 6} width={Math.max(2, place(soft) - LEFT)} height={8} class={`bar soft ${soft > at ? 'ends' : ''}`} />}
              {hard > 0 && <rect x={LEFT} y={y + 3} width={Math.max(2, place(hard) - LEFT)} height={14} class={`bar hard ${hard > at ? 'ends' : ''}`} />}
              {removed > 0 && <rect x={place(removed) - 2} y={y} width={4} height={20} class={`bar hard ${removed > at ? 'ends' : ''}`} />}
              <text x={place(Math.max(hard, soft, removed)) + 6} y={y + 14} class="floor-number">{Math.max(hard, soft, removed)}</text>
            </g>
          );
        })}
        <line x1={place(at)} x2={place(at)} y1={14} y2={height} class="entry-line" />
        <text x={place(at)} y={11} text-anchor="middle" class="floor-number">entry {at}</text>
      </svg>
      <ul class="floor-words">
        {raised.map(({ target, name, hard, soft, removed, held }, row) => (
          <li key={row}>
            {target}{name && <> <Name text={name} /></>}: {hard > 0 && `hard floor ${whole(hard)}${hard > at ? ', which ends the entry' : ''}`}
            {soft > 0 && ` soft floor ${whole(soft)}${soft > at ? ', so the entry is marked' : ''}`}{removed > 0 && ` removed at ${whole(removed)}`}{!held && ' (looked up)'}
          </li>
        ))}
        {raised.length === 0 && <li>No change has touched the key, its tags, a prefix of it or everything.</li>}
      </ul>
    </div>
  );
}

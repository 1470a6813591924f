/** One version of the log: its changes, and its way to the edges. */

import type { Api } from '../api.js';
import { clock, duration, whole } from '../format.js';
import type { LiveLog, LiveRow } from '../live-log.js';
import { CopyCurl } from '../parts/copy.js';
import { List } from '../parts/list.js';
import { Name } from '../parts/name.js';
import { addressOf } from '../route.js';
import { Target } from './live.js';

interface VersionProps {
  row: LiveRow;
  api: Api;
  seen: ReturnType<LiveLog['seenAt']>;
  close: () => void;
}

/** A panel beside the list. */
export function Version({ row, api, seen, close }: VersionProps) {
  return (
    <aside class="panel" aria-label={`Version ${row.version}`}>
      <header class="panel-head">
        <h2>Version {row.version}</h2>
        <CopyCurl path={api.at('/changes', { since: row.version - 1, limit: 1 })} />
        <button type="button" class="quiet" onClick={close} aria-label="Close">✕</button>
      </header>
      <h3>Way</h3>
      <ol class="way">
        {row.source && (
          <li>
            <span class="dot good" /> happened in <Name text={row.source.name} />{row.source.id && <> as <Name text={row.source.id} /></>}
            {row.source.at !== undefined && <> <time class="faint">{clock(row.source.at)}</time> by its clock, {duration(Math.max(0, row.at - row.source.at))} before the commit</>}
          </li>
        )}
        <li><span class="dot good" /> committed <time class="faint">{clock(row.at)}</time> by the broker’s clock</li>
        <li><span class="dot good" /> heard here <time class="faint">{clock(row.heardAt)}</time></li>
        {seen.map(({ name, at, isBefore }) => (
          <li key={name}>
            <span class={`dot ${at === undefined ? 'warning' : 'good'}`} /> <Name text={name} />{' '}
            {at === undefined ? 'has not acknowledged it yet' : isBefore ? 'had acknowledged it when the console first looked' : `acknowledged it, seen ${duration(Math.max(0, at - row.heardAt))} after it was heard here`}
          </li>
        ))}
        {row.traceparent && <li class="faint">Trace <Name text={row.traceparent} />: the origin is sent it with the fetches that follow.</li>}
        {seen.length === 0 && <li class="faint">No replica was seen. One appears with the first read at an edge; the list of followers needs an admin token.</li>}
      </ol>
      <h3>{whole(row.changes.length)} {row.changes.length === 1 ? 'change' : 'changes'}</h3>
      <List label="Changes" rows={row.changes} rowHeight={28} keyOf={(change) => JSON.stringify(change)}
        draw={(change) => (change.key === undefined ? <Target change={change} /> : <a class="plain" href={addressOf(api.catalog, 'key', { key: change.key })}><Target change={change} /></a>)} />
      {row.changes.some(({ key }) => key !== undefined) && <p class="hint">A key leads to why it is served as it is.</p>}
    </aside>
  );
}

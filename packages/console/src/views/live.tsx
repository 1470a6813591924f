/** The log as it happens: its versions, filters, pause; and a version opened to its changes and its way. */

import { useEffect, useMemo, useRef, useState } from 'preact/hooks';

import type { FeedState } from 'newsreel';

import type { ViewProps } from '../app.js';
import { Problem } from '../api.js';
import { clock, targetOf, whole } from '../format.js';
import { useShortcuts } from '../keys.js';
import { EVERY_VERSION, type Filters, LiveLog, type LiveRow } from '../live-log.js';
import { follow } from '../newsreel/follow.js';
import { CopyCurl } from '../parts/copy.js';
import { Empty, Trouble } from '../parts/empty.js';
import { List } from '../parts/list.js';
import { Name } from '../parts/name.js';
import { usePoll } from '../poll.js';
import { useQuery } from '../route.js';
import { Version } from './version.js';

const ROW_HEIGHT = 30;

/** Follows the log while the view is shown; calls for a drawing at most once a frame. */
function useLiveLog({ api, session }: ViewProps) {
  const log = useMemo(() => new LiveLog(), [api]);
  const [, draw] = useState(0);
  const [state, setState] = useState<FeedState>({ name: 'connecting' });
  const [problem, setProblem] = useState<Problem>();
  const [gap, setGap] = useState('');
  const frame = useRef(0);
  useEffect(() => {
    const ending = new AbortController();
    const soon = () => {
      frame.current ||= requestAnimationFrame(() => {
        frame.current = 0;
        draw((turn) => turn + 1);
      });
    };
    const failed = (thrown: unknown) => {
      if (!ending.signal.aborted) setProblem(thrown instanceof Problem ? thrown : new Problem(0, 'follow-failed', String(thrown)));
    };
    follow(
      api,
      {
        rows: (rows) => { log.take(rows); soon(); },
        gap: (reason) => { log.clear(); setGap(reason); soon(); },
        state: setState,
        ended: (error) => (error.code === 'unauthorized' ? api.refuse(new Problem(401, error.code, error.message)) : failed(new Problem(error.status ?? 0, error.code, error.message))),
      },
      ending.signal,
    ).catch(failed);
    return () => {
      ending.abort();
      cancelAnimationFrame(frame.current);
      frame.current = 0;
    };
  }, [api]);
  usePoll(async () => {
    if (session.scope !== 'admin') return;
    log.see((await api.followers()).followers);
    draw((turn) => turn + 1);
  }, 1000, [api]);
  return { log, state, problem, gap };
}

/** The view. */
export function LiveView(props: ViewProps) {
  const { api, route } = props;
  const { log, state, problem, gap } = useLiveLog(props);
  const [key, setKey] = useQuery(route, 'key');
  const [className, setClass] = useQuery(route, 'class');
  const [tag, setTag] = useQuery(route, 'tag');
  const [op, setOp] = useQuery(route, 'op');
  const [source, setSource] = useQuery(route, 'source');
  const [open, setOpen] = useQuery(route, 'version');
  const filters: Filters = { key, class: className, tag, op, source };
  const [held, setHeld] = useState<{ rows: LiveRow[]; heard: number }>();
  const pause = () => setHeld((before) => (before ? undefined : { rows: log.passing(EVERY_VERSION), heard: log.heard }));
  useShortcuts({ p: pause });

  const passing = log.passing(filters);
  const rows = held ? passing.filter(({ version }) => version <= (held.rows[0]?.version ?? 0)) : passing;
  const chosen = open ? rows.findIndex(({ version }) => String(version) === open) : -1;
  const openRow = rows[chosen] ?? passing.find(({ version }) => String(version) === open);

  return (
    <div class={openRow ? 'split' : ''}>
      <section>
        <div class="filters" role="search">
          <label>Key <input data-filter value={key} onInput={(event) => setKey(event.currentTarget.value)} placeholder="title:603" spellcheck={false} /></label>
          <label>Class <input value={className} onInput={(event) => setClass(event.currentTarget.value)} placeholder="title" spellcheck={false} /></label>
          <label>Tag <input value={tag} onInput={(event) => setTag(event.currentTarget.value)} placeholder="platform:quay" spellcheck={false} /></label>
          <label>Source <input value={source} onInput={(event) => setSource(event.currentTarget.value)} placeholder="postgres:newsreel, an LSN, a trace" spellcheck={false} /></label>
          <label>
            Kind
            <select value={op} onChange={(event) => setOp(event.currentTarget.value)}>
              <option value="">any</option>
              <option value="update">hard update</option>
              <option value="soft">soft update</option>
              <option value="remove">remove</option>
            </select>
          </label>
          <button type="button" aria-pressed={held !== undefined} onClick={pause}>{held ? `Resume (${whole(log.heard - held.heard)} newer)` : 'Pause'}</button>
          <CopyCurl path={api.at('/changes', { since: 0 })} />
        </div>
        <FeedLine state={state} shown={rows.length} heard={log.heard} />
        {gap && <p class="trouble">The log began anew: <bdi>{gap}</bdi></p>}
        <Trouble problem={problem} />
        {rows.length === 0 && !problem ? (
          <Empty title={log.heard > 0 ? 'No version passes the filters' : 'No version yet'}
            {...(log.heard > 0 ? {} : { command: `curl -sS -H "Authorization: Bearer $PUBLISH_TOKEN" -d '{"key":"title:1"}' ${location.origin}${api.at('/changes')}` })}>
            {log.heard > 0 ? `${whole(log.heard)} were heard.` : 'Every publish appears here at once.'}
          </Empty>
        ) : (
          <List label="Versions, the newest first" rows={rows} rowHeight={ROW_HEIGHT} keyOf={({ version }) => version}
            chosen={chosen < 0 ? undefined : chosen} choose={(at) => setOpen(String(rows[at]?.version ?? ''))} scrolledAway={(away) => away && !held && pause()}
            draw={(row) => <VersionLine row={row} open={() => setOpen(open === String(row.version) ? '' : String(row.version))} />} />
        )}
      </section>
      {openRow && <Version row={openRow} api={api} seen={log.seenAt(openRow.version)} close={() => setOpen('')} />}
    </div>
  );
}

function FeedLine({ state, shown, heard }: { state: FeedState; shown: number; heard: number }) {
  const says = {
    connecting: 'Connecting …',
    'catching-up': 'Catching up …',
    live: 'Live',
    waiting: 'Not connected',
    closed: 'Closed',
  }[state.name];
  return (
    <p class="feed" role="status">
      <span class={`dot ${state.name === 'live' ? 'good' : state.name === 'closed' ? 'critical' : 'warning'}`} /> {says}
      {state.name === 'waiting' && <> · <bdi>{state.reason}</bdi>, tries again by itself</>}
      {'transport' in state && state.transport !== 'websocket' && ' · by polling: a socket does not pass'}
      <span class="faint"> · {whole(shown)} shown of {whole(heard)} heard</span>
    </p>
  );
}

function VersionLine({ row, open }: { row: LiveRow; open: () => void }) {
  const [first, ...more] = row.changes;
  return (
    <button type="button" class="version-line" tabIndex={-1} onClick={open}>
      <span class="number">{row.version}</span>
      <time class="faint" dateTime={new Date(row.at).toISOString()}>{clock(row.at)}</time>
      {first && <Target change={first} />}
      {more.length > 0 && <span class="faint">and {whole(more.length)} more</span>}
      {row.source && <span class="faint from">from <Name text={row.source.name} class="" /></span>}
    </button>
  );
}

/** A change's target, its kind and its marks. A name may be in any script, and never leaves its place. */
export function Target({ change }: { change: LiveRow['changes'][number] }) {
  const { kind, name } = targetOf(change);
  return (
    <span class="target">
      <span class={`kind ${kind}`}>{kind}</span>
      <Name text={name} />
      {change.op === 'remove' && <span class="mark critical">remove</span>}
      {change.soft && <span class="mark warning">soft</span>}
      {(change.tags ?? []).slice(0, 4).map((tag) => <Name key={tag} text={tag} class="tag" />)}
    </span>
  );
}

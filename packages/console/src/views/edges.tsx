/** The edges: every follower, how far it is, since when, and why it is behind; one opened to its tiers and its to-do list. */

import { useMemo } from 'preact/hooks';

import type { ViewProps } from '../app.js';
import type { Api, Follower, Followers } from '../api.js';
import { ago, duration, percent, short, whole } from '../format.js';
import { CopyCurl } from '../parts/copy.js';
import { Empty, Trouble } from '../parts/empty.js';
import { List } from '../parts/list.js';
import { Name } from '../parts/name.js';
import { Plot } from '../parts/plot.js';
import { LagScale } from '../parts/scale.js';
import { usePoll } from '../poll.js';
import { useQuery } from '../route.js';
import { type SeriesAnswer, has, quantileOf, shareOf, sumOf, timesOf, totalOf } from '../series.js';

/** A follower that pings does so every 15 s: one that was silent for four of them has a dead line, or none. */
const SILENT_MS = 60_000;

/** Says why a follower is where it is, and how bad that is. */
function judged(one: Follower, now: number): { light: 'good' | 'warning' | 'critical'; says: string } {
  const silentFor = one.last_ping === null ? undefined : now - one.last_ping;
  if (silentFor !== undefined && silentFor > SILENT_MS) return { light: 'critical', says: `silent for ${duration(silentFor)}: its line may be dead` };
  if (one.stage === 'replaying') return { light: 'warning', says: 'catching up: it reads what it missed' };
  // An ack comes within 10 s, so a follower may seem behind what it has applied.
  if (one.lag > 0) return { light: one.lag > 1000 ? 'critical' : 'warning', says: 'has not acknowledged the newest versions yet; acks come within 10 s' };
  return { light: 'good', says: 'current' };
}

/** The view. */
export function EdgesView({ api, route }: ViewProps) {
  const polled = usePoll(api.followers, 1000, [api]);
  const [words, setWords] = useQuery(route, 'find');
  const [open, setOpen] = useQuery(route, 'edge');
  const { value, problem } = polled;
  const shown = useMemo(() => listed(value, words), [value, words]);
  const chosen = shown.findIndex(({ name }) => name === open);
  const edge = value?.followers.find(({ name }) => name === open);
  const now = Date.now();
  return (
    <>
      <Trouble problem={problem} />
      {value && <LagScale catalog={api.catalog} followers={value.followers} />}
      <div class={open ? 'split section-top' : 'section-top'}>
        <section>
          <div class="filters" role="search">
            <label>Name <input data-filter value={words} onInput={(event) => setWords(event.currentTarget.value)} placeholder="ams" spellcheck={false} /></label>
            <CopyCurl path={api.at('/followers')} />
            {value && <span class="faint">{whole(shown.length)} of {whole(value.followers.length)} followers · {whole(value.polls)} polls · {whole(value.streams)} streams</span>}
          </div>
          {value && shown.length === 0 && value.followers.length > 0 && <Empty title="No follower has such a name" />}
          {shown.length > 0 && (
            <List label="Followers, the furthest behind first" rows={shown} rowHeight={46} keyOf={(one) => `${one.name} ${one.since}`}
              chosen={chosen < 0 ? undefined : chosen} choose={(at) => setOpen(shown[at]?.name ?? '')}
              draw={(one) => <FollowerLine one={one} now={now} open={() => setOpen(open === one.name ? '' : one.name)} />} />
          )}
        </section>
        {open && value && <Edge key={open} api={api} name={open} follower={edge} close={() => setOpen('')} />}
      </div>
    </>
  );
}

/** Returns the followers that have such a name, the furthest behind first. */
function listed(value: Followers | undefined, words: string): Follower[] {
  const found = (value?.followers ?? []).filter(({ name }) => name.includes(words));
  return found.sort((a, b) => b.lag - a.lag || a.name.localeCompare(b.name));
}

function FollowerLine({ one, now, open }: { one: Follower; now: number; open: () => void }) {
  const { light, says } = judged(one, now);
  return (
    <button type="button" class="follower-line" tabIndex={-1} onClick={open}>
      <span class={`dot ${light}`} />
      <span class="follower-name"><Name text={one.name || '(no name)'} />{one.replica && <span class="kind">replica</span>}</span>
      <span class="right number">{one.lag === 0 ? 'current' : `${whole(one.lag)} behind`}</span>
      <span class="faint says-why">{light === 'good' ? '' : says}</span>
      <span class="faint since">connected {ago(one.since, now)}{one.last_ping !== null && <>, pinged {ago(one.last_ping, now)}</>}</span>
    </button>
  );
}

function Edge({ api, name, follower, close }: { api: Api; name: string; follower: Follower | undefined; close: () => void }) {
  const { value, problem } = usePoll(() => api.series({ edge: name, step: 10, from: Date.now() - 600_000 }), 5000, [api, name]);
  return (
    <aside class="panel" aria-label={`Edge ${name}`}>
      <header class="panel-head">
        <h2><Name text={name} /></h2>
        <CopyCurl path={api.at('/series', { edge: name, step: 10 })} />
        <button type="button" class="quiet" onClick={close} aria-label="Close">✕</button>
      </header>
      {follower ? (
        <dl class="pairs">
          <div><dt>Acknowledged</dt><dd>version {whole(follower.acked)}, {whole(follower.lag)} behind the head</dd></div>
          <div><dt>Position</dt><dd class="mono">{follower.position ?? 'unknown'}</dd></div>
          <div><dt>Connected</dt><dd>{new Date(follower.since).toLocaleString()}</dd></div>
          <div><dt>Stage</dt><dd>{judged(follower, Date.now()).says}</dd></div>
        </dl>
      ) : (
        <p class="trouble" role="alert">This follower is not connected any more. An edge comes back with its next read.</p>
      )}
      {problem?.isUnknownPath ? <Empty title="This deployment keeps no series" command="npx wrangler deploy" /> : <Trouble problem={problem} />}
      {value && <EdgeSeries answer={value} />}
    </aside>
  );
}

function EdgeSeries({ answer }: { answer: SeriesAnswer }) {
  const drawn = useMemo(() => {
    const reads = sumOf(answer, ['reads']);
    const tier = (name: string) => shareOf(sumOf(answer, [name]), reads);
    return {
      reads: totalOf(reads),
      todo: sumOf(answer, ['kv_todo']).findLast((value) => value !== null),
      failures: totalOf(sumOf(answer, ['origin_failures'])),
      times: timesOf(answer),
      tiers: [
        { label: 'memory', values: tier('hits_memory'), colour: '--line-1' },
        { label: 'KV', values: tier('hits_kv'), colour: '--line-2' },
        { label: 'R2', values: tier('hits_r2'), colour: '--line-3' },
        { label: 'origin', values: tier('hits_origin'), colour: '--line-4' },
      ],
      propagation: [
        { label: 'applied p50', values: quantileOf(answer, 'propagation_ms', 0.5), colour: '--line-1' },
        { label: 'applied p99', values: quantileOf(answer, 'propagation_ms', 0.99), colour: '--line-2' },
      ],
      list: [{ label: 'entries', values: sumOf(answer, ['kv_todo']), colour: '--line-1' }],
    };
  }, [answer]);
  return (
    <>
      <p class="says">
        {whole(drawn.reads)} reads in {duration(answer.to - answer.from)} {typeof drawn.todo === 'number' && <> · {whole(drawn.todo)} to do in KV</>} · {whole(drawn.failures)} failures of the origin
      </p>
      <Plot title="Where reads were found" times={drawn.times} lines={drawn.tiers} write={percent} height={110} />
      {has(answer, 'propagation_ms') && <Plot title="Publish to applied" times={drawn.times} lines={drawn.propagation} write={duration} height={110} />}
      {has(answer, 'kv_todo') && <Plot title="To-do list of KV" times={drawn.times} lines={drawn.list} write={short} height={110} />}
    </>
  );
}

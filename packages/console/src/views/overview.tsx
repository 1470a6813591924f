/** The overview: the log's head, the edges by how far they are, how old and how near what is served is, alerts, cost. */

import { useMemo, useRef } from 'preact/hooks';

import type { ViewProps } from '../app.js';
import type { Status } from '../api.js';
import { ago, bytes, duration, percent, short, whole } from '../format.js';
import { Alerts, Sources } from '../parts/alerts.js';
import { Checks } from '../parts/checks.js';
import { CopyCurl } from '../parts/copy.js';
import { Empty, Trouble } from '../parts/empty.js';
import { Plot } from '../parts/plot.js';
import { LagScale } from '../parts/scale.js';
import { type Polled, usePoll } from '../poll.js';
import { useQuery } from '../route.js';
import { type SeriesAnswer, quantileOf, quantileOverall, sumOf, timesOf, totalOf } from '../series.js';
import { Classes } from './classes.js';
import { Costs } from './costs.js';

/** The spans that can be looked at, and the steps that the deployment keeps for them. */
const SPANS: Record<string, { label: string; ms: number; step: number }> = {
  hour: { label: 'the last hour', ms: 3_600_000, step: 60 },
  minutes: { label: 'the last 10 minutes', ms: 600_000, step: 10 },
  day: { label: 'the last day', ms: 86_400_000, step: 600 },
  month: { label: 'the last 30 days', ms: 30 * 86_400_000, step: 600 },
};

/** The view. */
export function Overview({ api, session, route }: ViewProps) {
  const isAdmin = session.scope === 'admin';
  const [chosen, setSpan] = useQuery(route, 'span');
  const span = SPANS[chosen] ?? SPANS.hour!;
  const status = usePoll(api.status, 2000, [api]);
  const followers = usePoll(async () => (isAdmin ? api.followers() : undefined), 2000, [api]);
  const asked = (edge?: string) => {
    const to = Date.now();
    return api.series({ edge, from: to - span.ms, to, step: span.step });
  };
  const log = usePoll(() => asked(), 10_000, [api, span]);
  const edges = usePoll(async () => (isAdmin ? asked('*') : undefined), 10_000, [api, span]);
  const settings = usePoll(async () => (isAdmin ? api.settings() : undefined), 60_000, [api]);
  const alerts = usePoll(async () => (isAdmin ? api.alerts() : undefined), 10_000, [api]);
  const checks = usePoll(async () => (isAdmin ? api.checks() : undefined), 10_000, [api]);
  return (
    <>
      <Head status={status} log={log.value} />
      {alerts.value && <Alerts alerts={alerts.value.alerts} />}
      {alerts.value && <Sources sources={alerts.value.sources ?? []} />}
      {isAdmin && (
        <section>
          <div class="section-head">
            <h2>Edges</h2>
            <CopyCurl path={api.at('/followers')} />
          </div>
          <Trouble problem={followers.problem} />
          {followers.value && <LagScale catalog={api.catalog} followers={followers.value.followers} />}
        </section>
      )}
      <section>
        <div class="section-head">
          <h2>Over time</h2>
          <select aria-label="Span" value={chosen || 'hour'} onChange={(event) => setSpan(event.currentTarget.value)}>
            {Object.entries(SPANS).map(([name, { label }]) => <option key={name} value={name}>{label}</option>)}
          </select>
          <CopyCurl path={api.at('/series', { edge: isAdmin ? '*' : undefined, step: span.step })} />
        </div>
        {log.problem?.isUnknownPath ? (
          <Empty title="This deployment keeps no series" command="npx wrangler deploy">
            A newer build of the Worker keeps them. Everything else on this page works without.
          </Empty>
        ) : (
          <>
            <Trouble problem={log.problem ?? edges.problem} />
            {log.value && <LogPlots log={log.value} />}
            {edges.value && <Propagation answer={edges.value} />}
            {edges.value && <Checks catalog={api.catalog} answer={edges.value} findings={checks.value?.findings ?? []} />}
          </>
        )}
      </section>
      {edges.value && <Classes answer={edges.value} settings={settings.value} />}
      {edges.value && <Costs api={api} />}
    </>
  );
}

/** The figures of the log, in large. */
function Head({ status, log }: { status: Polled<Status>; log: SeriesAnswer | undefined }) {
  const rate = useRate(status.value, status.at);
  const { value } = status;
  const publishes = log && sumOf(log, ['publishes']);
  return (
    <>
      <Trouble problem={status.problem} />
      <dl class="figures" aria-busy={value === undefined}>
        <Figure name="Head" value={value ? whole(value.version) : '…'} detail={value && <>epoch <bdi class="mono">{value.epoch.slice(0, 10)}…</bdi></>} />
        <Figure name="Publishes per second" value={rate === undefined ? '…' : short(rate)} detail={publishes && `${whole(totalOf(publishes))} in ${duration(log.to - log.from)}`} />
        <Figure name="Followers" value={value ? whole(value.followers) : '…'} detail={status.at && `asked ${ago(status.at)}`} />
        <Figure name="Log" value={value ? bytes(value.bytes) : '…'} detail={value && `in full from version ${whole(value.oldest)}`} />
      </dl>
    </>
  );
}

function Figure({ name, value, detail }: { name: string; value: string; detail: preact.ComponentChildren }) {
  return (
    <div class="figure">
      <dt>{name}</dt>
      <dd>
        <span class="large">{value}</span>
        <span class="faint">{detail ?? ''}</span>
      </dd>
    </div>
  );
}

/** Returns how fast the head moves, by the last ten seconds of statuses. */
function useRate(status: Status | undefined, at: number | undefined): number | undefined {
  const seen = useRef<{ epoch: string; version: number; at: number }[]>([]);
  if (status && at !== undefined && seen.current.at(-1)?.at !== at) {
    seen.current = [...seen.current.filter((one) => one.epoch === status.epoch && at - one.at < 12_000), { epoch: status.epoch, version: status.version, at }];
  }
  const [first, last] = [seen.current[0], seen.current.at(-1)];
  return first && last && last.at > first.at ? ((last.version - first.version) / (last.at - first.at)) * 1000 : undefined;
}

function LogPlots({ log }: { log: SeriesAnswer }) {
  const drawn = useMemo(() => {
    const perSecond = (values: (number | null)[]) => values.map((value) => (value === null ? null : value / (log.step_ms / 1000)));
    return {
      times: timesOf(log),
      published: [
        { label: 'publishes', values: perSecond(sumOf(log, ['publishes'])), colour: '--line-1' },
        { label: 'changes', values: perSecond(sumOf(log, ['changes'])), colour: '--line-2' },
      ],
      applied: [
        { label: 'p50', values: quantileOf(log, 'applied_ms', 0.5), colour: '--line-1' },
        { label: 'p99', values: quantileOf(log, 'applied_ms', 0.99), colour: '--line-2' },
      ],
    };
  }, [log]);
  return (
    <div class="plots">
      <Plot title="Published per second" times={drawn.times} lines={drawn.published} write={short} />
      <Plot title="Commit to acknowledgement" times={drawn.times} lines={drawn.applied} write={duration} />
    </div>
  );
}

/** How long a change takes to the replicas, and on to the first reader. */
function Propagation({ answer }: { answer: SeriesAnswer }) {
  const [p50, p99] = [quantileOverall(answer, 'propagation_ms', 0.5), quantileOverall(answer, 'propagation_ms', 0.99)];
  const drawn = useMemo(
    () => ({
      times: timesOf(answer),
      propagation: [
        { label: 'p50', values: quantileOf(answer, 'propagation_ms', 0.5), colour: '--line-1' },
        { label: 'p99', values: quantileOf(answer, 'propagation_ms', 0.99), colour: '--line-2' },
      ],
      reads: [{ label: 'reads', values: sumOf(answer, ['reads']).map((value) => (value === null ? null : value / (answer.step_ms / 1000))), colour: '--line-1' }],
    }),
    [answer],
  );
  const reads = sumOf(answer, ['reads']);
  const fallbacks = totalOf(sumOf(answer, ['hits_origin']));
  return (
    <>
      <p class="says">
        {p50 !== null && p99 !== null && <>Propagation p50 <strong>≤ {duration(p50)}</strong>, p99 <strong>≤ {duration(p99)}</strong> · </>}
        <strong data-figure="reads">{whole(totalOf(reads))}</strong> reads
        {totalOf(reads) > 0 && <>, {percent(fallbacks / totalOf(reads))} answered by the origin</>}
        {(answer.left_out ?? []).length > 0 && <span class="mark warning">without {answer.left_out?.length} edges</span>}
      </p>
      <div class="plots">
        {p50 !== null && <Plot title="Publish to applied" times={drawn.times} lines={drawn.propagation} write={duration} />}
        <Plot title="Reads per second" times={drawn.times} lines={drawn.reads} write={short} />
      </div>
    </>
  );
}

/** Publishing by hand: a form, a dry run that says what it would hit, and the receipt that fills up edge by edge. */

import { useState } from 'preact/hooks';

import type { ViewProps } from '../app.js';
import { type Change, type DryRun, Problem } from '../api.js';
import { short, whole } from '../format.js';
import { Copy, CopyCurl } from '../parts/copy.js';
import { Empty, Trouble } from '../parts/empty.js';
import { Name } from '../parts/name.js';
import { ReceiptView } from './receipt.js';

/** A line of the form. */
interface Line {
  kind: 'key' | 'tag' | 'prefix' | 'all';
  name: string;
  effect: 'update' | 'soft' | 'remove';
  tags: string;
}

const FIRST: Line = { kind: 'key', name: '', effect: 'update', tags: '' };

/** Returns the change that a line says. */
function changeOf({ kind, name, effect, tags }: Line): Change {
  const list = tags.split(/[\s,]+/).filter(Boolean);
  return {
    ...(kind === 'all' ? { all: true as const } : { [kind]: name.trim() }),
    ...(effect === 'soft' ? { soft: true as const } : {}),
    ...(effect === 'remove' && kind === 'key' ? { op: 'remove' as const } : {}),
    ...(kind === 'key' && list.length > 0 && effect !== 'remove' ? { tags: list } : {}),
  };
}

/** The view. */
export function PublishView({ api, route }: ViewProps) {
  const [lines, setLines] = useState<Line[]>([{ ...FIRST, name: route.query.get('key') ?? '' }]);
  const [dry, setDry] = useState<{ body: string; answer: DryRun }>();
  const [sent, setSent] = useState<{ changes: Change[]; idempotencyKey: string }>();
  const [problem, setProblem] = useState<Problem>();
  const changes = lines.map(changeOf);
  const body = JSON.stringify({ changes });
  const isDry = dry?.body === body;
  const set = (at: number, change: Partial<Line>) => setLines(lines.map((line, one) => (one === at ? { ...line, ...change } : line)));
  const dryRun = async () => {
    setProblem(undefined);
    try {
      setDry({ body, answer: await api.dryRun(changes) });
    } catch (thrown) {
      setDry(undefined);
      setProblem(thrown instanceof Problem ? thrown : new Problem(0, 'internal', String(thrown)));
    }
  };
  return (
    <>
      <form onSubmit={(event) => { event.preventDefault(); void dryRun(); }}>
        {lines.map((line, at) => (
          <LineForm key={at} line={line} at={at} set={(change) => set(at, change)} {...(lines.length > 1 ? { drop: () => setLines(lines.filter((_, one) => one !== at)) } : {})} />
        ))}
        <div class="filters">
          <button type="button" onClick={() => setLines([...lines, FIRST])}>One more change</button>
          <button type="submit" class="primary">Dry run</button>
          <button type="button" class="danger" disabled={!isDry} onClick={() => setSent({ changes, idempotencyKey: crypto.randomUUID() })}>
            {isDry ? 'Publish' : 'Publish (after a dry run)'}
          </button>
          <CopyCurl method="POST" path={api.at('/changes')} body={{ changes }} />
          <Copy text={`newsreel publish --broker ${location.origin} --catalog ${api.catalog} ${changes.map((one) => `'${JSON.stringify(one).replaceAll("'", "'\\''")}'`).join(' ')}`} label="Copy as newsreel" />
        </div>
      </form>
      <Trouble problem={problem} />
      {isDry && !sent && <DryRunView answer={dry.answer} />}
      {sent && <ReceiptView key={sent.idempotencyKey} api={api} changes={sent.changes} idempotencyKey={sent.idempotencyKey} again={() => { setSent(undefined); setDry(undefined); }} />}
    </>
  );
}

function LineForm({ line, at, set, drop }: { line: Line; at: number; set: (change: Partial<Line>) => void; drop?: () => void }) {
  return (
    <fieldset class="filters">
      <legend class="hidden">Change {at + 1}</legend>
      <label>
        Target
        <select value={line.kind} onChange={(event) => set({ kind: event.currentTarget.value as Line['kind'], ...(event.currentTarget.value === 'key' ? {} : { effect: line.effect === 'remove' ? 'update' : line.effect }) })}>
          <option value="key">key</option><option value="tag">tag</option><option value="prefix">prefix</option><option value="all">everything</option>
        </select>
      </label>
      {line.kind !== 'all' && <label>Name <input class="wide" data-filter value={line.name} required onInput={(event) => set({ name: event.currentTarget.value })} placeholder={{ key: 'title:603', tag: 'platform:quay', prefix: 'embedding:' }[line.kind]} spellcheck={false} /></label>}
      <label>
        Effect
        <select value={line.effect} onChange={(event) => set({ effect: event.currentTarget.value as Line['effect'] })}>
          <option value="update">hard: older values end</option><option value="soft">soft: older ones are marked</option>
          {line.kind === 'key' && <option value="remove">remove: 404</option>}
        </select>
      </label>
      {line.kind === 'key' && line.effect !== 'remove' && <label>Tags <input value={line.tags} onInput={(event) => set({ tags: event.currentTarget.value })} placeholder="platform:quay" spellcheck={false} /></label>}
      {drop && <button type="button" class="quiet" onClick={drop} aria-label={`Drop change ${at + 1}`}>✕</button>}
    </fieldset>
  );
}

function DryRunView({ answer }: { answer: DryRun }) {
  const sum = (of: (edge: DryRun['edges'][number]) => number) => answer.edges.reduce((all, edge) => all + of(edge), 0);
  const perSecond = sum(({ reads, period_ms: period }) => (period > 0 ? (reads / period) * 1000 : 0));
  const keys = new Map<string, number>();
  for (const edge of answer.edges) for (const { key, reads } of edge.keys) keys.set(key, (keys.get(key) ?? 0) + reads);
  const hottest = [...keys].sort((a, b) => b[1] - a[1]).slice(0, 50);
  if (answer.edges.length === 0) return <Empty title="No edge follows, so nothing is hit">The publish is kept in the log, and an edge that wakes reads it.</Empty>;
  return (
    <section aria-label="Dry run">
      <p class="says">
        It would hit <strong data-figure="covered">{whole(sum(({ covered }) => covered))}</strong> keys read lately, with <strong>{short(perSecond)}</strong> reads per second;
        at most <strong>{whole(sum(({ fetches }) => fetches))}</strong> fetches of the origin follow.
        {answer.left_out.length > 0 && <span class="mark warning">without {answer.left_out.length} edges</span>}
      </p>
      <div class="two">
        <div class="table-box" tabIndex={0} role="region" aria-label="By edge">
          <table>
            <thead><tr><th scope="col">Edge</th><th scope="col" class="right">Hit</th><th scope="col" class="right">of listed</th><th scope="col" class="right">Reads / s</th><th scope="col" class="right">Fetches</th></tr></thead>
            <tbody>
              {answer.edges.map(({ edge, covered, listed, reads, period_ms: period, fetches }) => (
                <tr key={edge}><th scope="row"><Name text={edge} /></th><td class="right">{whole(covered)}</td><td class="right">{whole(listed)}</td><td class="right">{short(period > 0 ? (reads / period) * 1000 : 0)}</td><td class="right">{whole(fetches)}</td></tr>
              ))}
            </tbody>
          </table>
        </div>
        <div class="table-box" tabIndex={0} role="region" aria-label="By key">
          <table>
            <thead><tr><th scope="col">Key</th><th scope="col" class="right">Reads</th></tr></thead>
            <tbody>
              {hottest.map(([key, reads]) => <tr key={key}><th scope="row"><Name text={key} /></th><td class="right">{whole(reads)}</td></tr>)}
              {hottest.length === 0 && <tr><td colSpan={2} class="faint">None of them was read in the last 10 to 20 minutes.</td></tr>}
            </tbody>
          </table>
        </div>
      </div>
    </section>
  );
}

/** The receipt of a publish, which fills up as edge after edge acknowledges the version. */

import { useEffect, useState } from 'preact/hooks';

import { type Api, type Applied, type Change, Problem, type Receipt } from '../api.js';
import { duration, whole } from '../format.js';
import { Trouble } from '../parts/empty.js';
import { Name } from '../parts/name.js';
import { usePoll } from '../poll.js';
import { addressOf } from '../route.js';

interface ReceiptProps {
  api: Api;
  changes: Change[];
  /** By which a lost answer is asked for again without a second effect. */
  idempotencyKey: string;
  again: () => void;
}

/** When each replica was seen to have acknowledged the version. */
type Seen = Map<string, number | undefined>;

/** Publishes once, and follows the version to the edges. */
export function ReceiptView({ api, changes, idempotencyKey, again }: ReceiptProps) {
  const [receipt, setReceipt] = useState<Receipt & { answeredAt: number }>();
  const [end, setEnd] = useState<Applied>();
  const [seen, setSeen] = useState<Seen>(new Map());
  const [problem, setProblem] = useState<Problem>();
  useEffect(() => {
    const go = async () => {
      setReceipt({ ...(await api.publish(changes, idempotencyKey)), answeredAt: performance.now() });
      setEnd(await api.applied(changes, idempotencyKey));
    };
    go().catch((thrown: unknown) => setProblem(thrown instanceof Problem ? thrown : new Problem(0, 'internal', String(thrown))));
  }, []);
  usePoll(async () => {
    if (!receipt || end) return;
    const { followers } = await api.followers();
    const now = performance.now() - receipt.answeredAt;
    setSeen((before) => new Map(followers.filter(({ replica }) => replica).map(({ name, acked }) => [name, before.get(name) ?? (acked >= receipt.version ? now : undefined)])));
  }, 150, [api, receipt?.version, end === undefined]);
  if (!receipt) return problem ? <Trouble problem={problem} /> : <p role="status">Publishing …</p>;
  const names = new Map<string, 'applied' | 'pending' | 'offline'>([...seen].map(([name, at]) => [name, at === undefined ? 'pending' : 'applied']));
  for (const kind of ['pending', 'offline', 'applied'] as const) for (const name of end?.[kind] ?? []) names.set(name, kind);
  const applied = [...names.values()].filter((one) => one === 'applied').length;
  const online = [...names.values()].filter((one) => one !== 'offline').length;
  return (
    <section aria-label="Receipt">
      <h2>Version {whole(receipt.version)}</h2>
      <p class="mono">{receipt.position}</p>
      <progress max={Math.max(1, online)} value={applied} aria-label="Edges that have applied it" />
      <p role="status">{online === 0 && end ? 'No edge is online; one that wakes reads the version first.' : `${whole(applied)} of ${whole(online)} edges have applied it${end && applied === online ? '.' : ' …'}`}</p>
      <ul class="receipt">
        {[...names].sort(([a], [b]) => a.localeCompare(b)).map(([name, state]) => (
          <li key={name}>
            <span class={`dot ${{ applied: 'good', pending: 'warning', offline: 'none' }[state]}`} /> <Name text={name} />
            <span class="faint">
              {state === 'offline' ? 'not online; reads it when it wakes' : state === 'pending' ? 'not yet' : seen.get(name) === undefined ? 'applied' : `applied within ${duration(Math.max(1, Math.round(seen.get(name) ?? 0)))}`}
            </span>
          </li>
        ))}
      </ul>
      <Trouble problem={problem} />
      <p><a href={addressOf(api.catalog, 'live', { version: String(receipt.version) })}>The version in the log</a></p>
      <button type="button" onClick={again}>Another publish</button>
    </section>
  );
}

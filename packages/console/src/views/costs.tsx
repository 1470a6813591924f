/** What the deployment costs today, and in a month at today's rate. */

import { useMemo } from 'preact/hooks';

import type { Api } from '../api.js';
import { costsOf } from '../cost.js';
import { dollars, whole } from '../format.js';
import { usePoll } from '../poll.js';

/** The section of the overview. */
export function Costs({ api }: { api: Api }) {
  const asked = (edge?: string) => {
    const to = Date.now();
    return api.series({ edge, from: to - (to % 86_400_000), to, step: 600 });
  };
  const log = usePoll(() => asked(), 60_000, [api]);
  const edges = usePoll(() => asked('*'), 60_000, [api]);
  const costs = useMemo(() => costsOf([log.value, edges.value].filter((one) => one !== undefined)), [log.value, edges.value]);
  if (!edges.value || costs.length === 0) return null;
  const sum = (of: 'today' | 'month') => costs.reduce((all, cost) => all + cost[of], 0);
  return (
    <section>
      <h2>Cost</h2>
      <div class="table-box" tabIndex={0} role="region" aria-label="Cost by kind of operation">
        <table>
          <thead>
            <tr><th scope="col">Operation</th><th scope="col" class="right">Today (UTC)</th><th scope="col" class="right">Cost today</th><th scope="col" class="right">A month at this rate</th></tr>
          </thead>
          <tbody>
            {costs.map(({ label, count, today, month }) => (
              <tr key={label}><th scope="row">{label}</th><td class="right">{whole(count)}</td><td class="right">{dollars(today)}</td><td class="right">{dollars(month)}</td></tr>
            ))}
          </tbody>
          <tfoot>
            <tr><th scope="row">Together</th><td /><td class="right">{dollars(sum('today'))}</td><td class="right">{dollars(sum('month'))}</td></tr>
          </tfoot>
        </table>
      </div>
      <p class="hint">By the platform’s published prices, for what this deployment counts; without what a plan includes, storage, and the time that objects are in memory.</p>
    </section>
  );
}

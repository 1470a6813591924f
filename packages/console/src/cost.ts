/** What the platform charges for what the series count, by its published prices (dollars, November 2026). */

import { type SeriesAnswer, has, sumOf, totalOf } from './series.js';

/** One kind of operation: its series, and what a million of it costs past what the plan includes. */
const PRICES: readonly { label: string; name: string; perMillion: number }[] = [
  { label: 'Durable Object requests', name: 'cost_do_requests', perMillion: 0.15 },
  { label: 'KV reads', name: 'cost_kv_reads', perMillion: 0.5 },
  { label: 'KV writes and deletes', name: 'cost_kv_writes', perMillion: 5 },
  { label: 'R2 class A (writes)', name: 'cost_r2_a', perMillion: 4.5 },
  { label: 'R2 class B (reads)', name: 'cost_r2_b', perMillion: 0.36 },
];

const MONTH_MS = 30 * 86_400_000;

/** How often something was done, and what that costs. */
export interface Cost {
  readonly label: string;
  readonly count: number;
  readonly today: number;
  readonly month: number;
}

/** Returns the cost of the time that the answers cover, and of a month at that rate, a line a kind of operation. */
export function costsOf(answers: readonly SeriesAnswer[]): Cost[] {
  const covered = Math.max(1, ...answers.map(({ from, to }) => to - from));
  // An operation that the deployment does not count is left out: 0 would say that there were none.
  return PRICES.filter(({ name }) => answers.some((answer) => has(answer, name))).map(({ label, name, perMillion }) => {
    const count = answers.reduce((sum, answer) => sum + totalOf(sumOf(answer, [name])), 0);
    const today = (count / 1e6) * perMillion;
    return { label, count, today, month: (today / covered) * MONTH_MS };
  });
}

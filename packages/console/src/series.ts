/** The time series of the deployment: their shape, and the sums that the views show. */

/** A line of numbers: `values[i]` covers `[from + i * step, from + (i + 1) * step)`; null where nothing is known. */
export interface Line {
  name: string;
  class?: string;
  unit: string;
  values: (number | null)[];
}

/** A histogram a bucket of time: `counts[i][b]` is how many were at most `bounds[b]`, and more than the bound before. */
export interface Histogram {
  name: string;
  class?: string;
  unit: string;
  bounds: number[];
  counts: (number[] | null)[];
}

/** The answer of `GET …/series`. */
export interface SeriesAnswer {
  catalog: string;
  edge: string | null;
  step_ms: number;
  from: number;
  to: number;
  points: number;
  series: Line[];
  histograms: Histogram[];
  left_out?: string[];
}

/** Returns the times of the buckets, in Unix seconds, as plots want them. */
export function timesOf({ from, step_ms, points }: SeriesAnswer): number[] {
  return Array.from({ length: points }, (_, at) => (from + at * step_ms) / 1000);
}

/** Returns the sum of all lines of these names (and of this class), point by point; null where no line knows. */
export function sumOf(answer: SeriesAnswer, names: readonly string[], className?: string): (number | null)[] {
  const lines = answer.series.filter((line) => names.includes(line.name) && (className === undefined || line.class === className));
  return Array.from({ length: answer.points }, (_, at) => {
    const known = lines.map(({ values }) => values[at]).filter((value) => value !== null && value !== undefined);
    return known.length > 0 ? known.reduce((sum, value) => sum + value, 0) : null;
  });
}

/** Returns the sum over all points. */
export function totalOf(values: readonly (number | null)[]): number {
  return values.reduce<number>((sum, value) => sum + (value ?? 0), 0);
}

/** Returns the quotient of two lines, point by point; null where the divisor is none. */
export function shareOf(part: readonly (number | null)[], whole: readonly (number | null)[]): (number | null)[] {
  return whole.map((all, at) => (all ? (part[at] ?? 0) / all : null));
}

/** Returns a quantile of a histogram, point by point: the bound of the bucket that holds it. */
export function quantileOf(answer: SeriesAnswer, name: string, quantile: number, className?: string): (number | null)[] {
  const found = answer.histograms.filter((one) => one.name === name && (className === undefined || one.class === className));
  return Array.from({ length: answer.points }, (_, at) => {
    const counts = found.map((one) => one.counts[at]).filter((one) => one !== null && one !== undefined);
    return counts.length === 0 ? null : nearestBound(found[0]?.bounds ?? [], summed(counts), quantile);
  });
}

/** Returns a quantile over all points. */
export function quantileOverall(answer: SeriesAnswer, name: string, quantile: number, className?: string): number | null {
  const found = answer.histograms.filter((one) => one.name === name && (className === undefined || one.class === className));
  const counts = found.flatMap((one) => one.counts).filter((one) => one !== null);
  return counts.length === 0 ? null : nearestBound(found[0]?.bounds ?? [], summed(counts), quantile);
}

/** Returns how many of a histogram lie above a bound, over all points, and how many there are. */
export function above(answer: SeriesAnswer, name: string, bound: number, className?: string): { above: number; all: number } {
  const found = answer.histograms.filter((one) => one.name === name && (className === undefined || one.class === className));
  const counts = summed(found.flatMap((one) => one.counts).filter((one) => one !== null));
  const bounds = found[0]?.bounds ?? [];
  // A bucket that straddles the bound counts as within it: only what is surely above is called so.
  const beyond = counts.reduce((sum, count, at) => sum + ((at > 0 ? bounds[at - 1] ?? Infinity : -Infinity) >= bound ? count : 0), 0);
  return { above: beyond, all: counts.reduce((sum, count) => sum + count, 0) };
}

/** Says whether the answer has a line or a histogram of this name: a deployment may count less than another. */
export function has(answer: SeriesAnswer, name: string): boolean {
  return [...answer.series, ...answer.histograms].some((one) => one.name === name);
}

/** Returns every class that a line or a histogram has, in the order of the alphabet. */
export function classesOf(answer: SeriesAnswer): string[] {
  const all = [...answer.series, ...answer.histograms].map((one) => one.class).filter((one) => one !== undefined);
  return [...new Set(all)].sort();
}

function summed(counts: readonly (readonly number[])[]): number[] {
  const most = Math.max(0, ...counts.map((one) => one.length));
  return Array.from({ length: most }, (_, at) => counts.reduce((sum, one) => sum + (one[at] ?? 0), 0));
}

function nearestBound(bounds: readonly number[], counts: readonly number[], quantile: number): number | null {
  const all = counts.reduce((sum, count) => sum + count, 0);
  if (all === 0) return null;
  let seen = 0;
  for (const [at, count] of counts.entries()) {
    seen += count;
    // The last bucket has no upper bound: the greatest that is known stands for it.
    if (seen >= quantile * all) return bounds[at] ?? bounds.at(-1) ?? null;
  }
  return bounds.at(-1) ?? null;
}

/** The explanation of a read (`?explain=1`): its shape. */

/** A floor that an entry was judged by. */
export interface Floor {
  target: 'key' | 'tag' | 'prefix' | 'all';
  name?: string;
  hard: number;
  soft: number;
  removed: number;
  held: boolean;
}

/** An entry without its value. */
export interface EntryEnvelope {
  position: string;
  found: boolean;
  tags?: string[];
  fetched_at: number;
  expires_at: number;
  stale_until: number;
  content_type: string;
  etag: string;
}

/** One step of a read. */
export interface Step {
  step: 'sync' | 'memory' | 'kv' | 'r2' | 'origin' | 'answer';
  found?: string;
  proved?: boolean;
  position?: string;
  lag_ms?: number;
  entry?: EntryEnvelope;
  floors?: Floor[];
  not_stored?: { code: string; detail: string };
  serve?: string;
  freshness?: string;
  refresh?: boolean;
  fill?: string[];
  fail?: string;
  removed_at?: number | string;
}

/** Why a read answers as it does. */
export interface Explanation {
  catalog: string;
  position: string | null;
  lag_ms: number | null;
  edge: string;
  key: string;
  generation: number;
  policy: { ttl_ms: number; stale_for_ms: number; lag_bound_ms: number; quorum: boolean };
  origin_error: string | null;
  steps: Step[];
}

/** The columns in which a read is drawn. */
export const COLUMNS = ['sync', 'memory', 'kv', 'r2', 'origin', 'answer'] as const;

/** What each outcome of a tier says, and how it is coloured. */
const FOUND: Record<string, { says: string; light: 'good' | 'warning' | 'critical' | 'none' }> = {
  hit: { says: 'served', light: 'good' },
  miss: { says: 'nothing', light: 'none' },
  'other-epoch': { says: 'of another epoch', light: 'warning' },
  expired: { says: 'expired', light: 'warning' },
  'below-soft-floor': { says: 'below a soft floor', light: 'warning' },
  'below-floor-of-key': { says: 'older than its key’s change', light: 'critical' },
  'below-floor-of-tag': { says: 'older than a tag’s change', light: 'critical' },
  'below-floor-of-prefix': { says: 'older than a prefix’s change', light: 'critical' },
  'below-floor-of-all': { says: 'older than a change of all', light: 'critical' },
  'floors-unknown': { says: 'floors unknown', light: 'warning' },
  outvoted: { says: 'outvoted', light: 'warning' },
  failed: { says: 'failed', light: 'critical' },
};

/** Says in a few words what a step came to. */
export function saysOf(step: Step): { says: string; light: 'good' | 'warning' | 'critical' | 'none' } {
  if (step.step === 'sync') return step.proved ? { says: 'proved current', light: 'good' } : { says: 'no proof', light: 'critical' };
  if (step.step === 'answer') {
    if (step.fail) return { says: step.fail, light: 'critical' };
    if (step.removed_at !== undefined) return { says: 'removed: 404', light: 'none' };
    const light = { fresh: 'good', revalidating: 'warning', stale: 'critical' }[step.freshness ?? ''] as 'good' | undefined;
    return { says: `${step.freshness} from ${step.serve}`, light: light ?? 'none' };
  }
  const found = FOUND[step.found ?? ''] ?? { says: step.found ?? '?', light: 'none' };
  return step.entry && !step.entry.found && step.found === 'hit' ? { says: '“not found”', light: 'good' } : found;
}

/** Returns the version in a position. */
export const versionOf = (position: string): number => Number(position.split(':')[1]);

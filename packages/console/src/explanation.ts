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

/** One step of a read. */
export interface Step {
  step: 'sync' | 'memory' | 'kv' | 'r2' | 'origin' | 'answer';
  found?: string;
  proved?: boolean;
  position?: string;
  lag_ms?: number;
  entry?: Record<string, unknown>;
  floors?: Floor[];
  not_stored?: { code: string; detail: string };
  serve?: string;
  freshness?: string;
  refresh?: boolean;
  fill?: boolean;
  fail?: string;
  removed_at?: number;
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

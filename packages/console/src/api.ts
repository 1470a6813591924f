/** The calls of the public API that the console makes, and the shapes of their answers. */

import type { SourceEvent } from 'newsreel';

import type { Explanation } from './explanation.js';
import type { SeriesAnswer } from './series.js';

/** An answer that is a problem (RFC 9457), or that never came (`unreachable`). */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail: string,
  ) {
    super(`${code}: ${detail}`);
  }

  /** Whether the deployment is too old to have the address. */
  get isUnknownPath(): boolean {
    return this.status === 404 && this.code === 'unknown-path';
  }
}

/** The status of the log. */
export interface Status {
  catalog: string;
  epoch: string;
  version: number;
  position: string;
  oldest: number;
  followers: number;
  bytes: number;
}

/** A follower, as the broker knows it. */
export interface Follower {
  name: string;
  replica: boolean;
  acked: number;
  position: string | null;
  lag: number;
  since: number;
  last_ping: number | null;
  stage: 'replaying' | 'live';
}

/** Every follower that is connected. */
export interface Followers {
  position: string;
  followers: Follower[];
  polls: number;
  streams: number;
}

/** One change, of a publish or of the log. */
export interface Change {
  key?: string;
  tag?: string;
  prefix?: string;
  all?: true;
  soft?: true;
  op?: 'update' | 'remove';
  tags?: readonly string[];
}

/** A version of the log. */
export interface Row {
  version: number;
  at: number;
  changes: readonly Change[];
  /** The trace that the publish is part of. */
  traceparent?: string;
  /** The event that the publish tells. */
  source?: SourceEvent;
}

/** A page of the log. */
export interface Page {
  epoch: string;
  from: number;
  to: number;
  head: number;
  hash: string;
  versions: Row[];
  changes?: (Change & { version: number })[];
}

/** The receipt of a publish. */
export interface Receipt {
  catalog: string;
  epoch: string;
  version: number;
  position: string;
  at: number;
  changes: number;
}

/** A receipt that was waited for, with the names of the replicas. */
export interface Applied extends Receipt {
  applied: string[];
  pending: string[];
  offline: string[];
}

/** An alert, as the board of the catalog tells it. */
export interface Alert {
  id: string;
  rule: string;
  class?: string;
  edges: string[];
  severity: 'warning' | 'critical';
  since: number;
  value: number;
  threshold: number;
  says: string;
  resolved_at?: number;
}

/** A source, as the board of alerts knows it. */
export interface Source {
  name: string;
  late_ms: number;
  heard_at: number;
}

/** A wrong answer that the check by schedule found. */
export interface Finding {
  at: number;
  since: number;
  edge: string;
  key: string;
  class: string;
  served: { found: boolean; etag: string; position?: string };
  origin: { found: boolean; etag: string };
}

/** What a class of keys promises. */
export interface Policy {
  ttl_ms: number;
  stale_for_ms: number;
  lag_bound_ms: number;
  beyond_bound: 'fail' | 'stale';
  on_bump: 'delete' | 'refresh';
  quorum: boolean;
  origin_cache_control: 'respect' | 'ignore';
  origin_vary: string[];
}

/** The settings of the deployment, as its edge reads them. */
export interface Settings {
  edge: string | null;
  policies: { class: string; policy: Policy; default: Policy }[];
  variables: { name: string; value: unknown; default: string; meaning: string; expected: string }[];
  problems: { name: string; detail: string }[];
}

/** What a publish would hit. */
export interface DryRun {
  changes: number;
  edges: {
    edge: string;
    keys: { key: string; reads: number }[];
    covered: number;
    listed: number;
    reads: number;
    period_ms: number;
    fetches: number;
  }[];
  left_out: string[];
}

/** What became of keys that were filled. */
export interface Filled {
  filled: string[];
  kept: string[];
  absent: string[];
  failed: { key: string; code: string; detail: string }[];
}

/** An entry, wrapped in JSON. */
export interface Entry {
  value: unknown;
  encoding: 'json' | 'text' | 'base64' | 'none';
  length: number;
  content_type: string;
  etag: string | null;
  tags: string[];
  freshness: Record<string, unknown>;
}

type Query = Record<string, string | number | undefined>;

/** The API of one catalog, with one token. */
export class Api {
  constructor(
    readonly catalog: string,
    readonly token: string,
    /** Called when the token is not accepted any more. */
    readonly refuse: (problem: Problem) => void = () => {},
  ) {}

  status = () => this.call<Status>('GET', '');
  followers = () => this.call<Followers>('GET', '/followers');
  page = (query: Query) => this.call<Page>('GET', '/changes', { query });
  series = (query: Query) => this.call<SeriesAnswer>('GET', '/series', { query });
  alerts = () => this.call<{ alerts: Alert[]; sources?: Source[] }>('GET', '/alerts');
  checks = () => this.call<{ findings: Finding[] }>('GET', '/checks');
  settings = () => this.call<Settings>('GET', '/settings');
  explain = (key: string, edge?: string) => this.call<Explanation>('GET', entry(key), { query: { explain: 1, edge } });
  read = (key: string) => this.call<Entry>('GET', entry(key), { query: { envelope: 1 } });
  fill = (key: string) => this.call<Filled>('POST', '/fill', { body: { keys: [key] } });
  dryRun = (changes: readonly Change[]) => this.call<DryRun>('POST', '/dry-run', { body: { changes } });
  publish = (changes: readonly Change[], idempotencyKey: string) =>
    this.call<Receipt>('POST', '/changes', { body: { changes }, headers: { 'idempotency-key': idempotencyKey } });
  /** Publishes the same once more, which has no effect but that every follower is asked how far it is; waits for all. */
  applied = (changes: readonly Change[], idempotencyKey: string) =>
    this.call<Applied>('POST', '/changes', { query: { wait: 'applied', timeout_ms: 30_000 }, body: { changes }, headers: { 'idempotency-key': idempotencyKey } });

  /** Returns the address of a call, within this page's own server. */
  at(path: string, query: Query = {}): string {
    const given = Object.entries(query).filter(([, value]) => value !== undefined);
    const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
    return `/v1/catalogs/${encodeURIComponent(this.catalog)}${path}${text && `?${text}`}`;
  }

  private async call<T>(
    method: string,
    path: string,
    { query, body, headers }: { query?: Query; body?: unknown; headers?: Record<string, string> } = {},
  ): Promise<T> {
    let response: Response;
    try {
      response = await fetch(this.at(path, query), {
        method,
        headers: { authorization: `Bearer ${this.token}`, ...headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        cache: 'no-store',
      });
    } catch {
      throw new Problem(0, 'unreachable', 'The deployment does not answer. The console asks again by itself.');
    }
    const answer = await jsonOf(response);
    if (response.ok) return answer as T;
    const { code = 'unknown', detail = `The answer has status ${response.status}.` } = (answer ?? {}) as Partial<Problem>;
    const problem = new Problem(response.status, code, detail);
    if (response.status === 401) this.refuse(problem);
    throw problem;
  }
}

/** Returns the path of a key's entry. */
export function entry(key: string): string {
  return `/entries/${encodeURIComponent(key)}`;
}

async function jsonOf(response: Response): Promise<unknown> {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

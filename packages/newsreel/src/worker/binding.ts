/** The service binding to Newsreel's Worker, as TypeScript sees it: `env.NEWSREEL`. */

/** A moment of the log before a fetch, under which the value is stored. Opaque. */
export type Lease = string;

/** How recent an entry is: proved within the bound; being fetched anew; or perhaps older than its class promises. */
export type Freshness = 'fresh' | 'revalidating' | 'stale';

/** One read of a key. */
export interface Entry<Value = unknown> {
  /** The key that was read. */
  key: string;
  /** The value: parsed JSON, a text, bytes; null where there is none. */
  value: Value | null;
  /** Whether the key has a value. That it has none is kept, too. */
  found: boolean;
  /** The media type of the value. */
  contentType: string;
  /** The value's entity tag. */
  etag: string | null;
  /** The tags that end the entry when they are published. */
  tags: string[];
  /** The position of the log from before the value was fetched. */
  version: string | null;
  /** The position that the reader had heard when it judged the entry. */
  known: string | null;
  /** How recent it is. */
  freshness: Freshness;
  /** How long ago the fetch of the value began, in milliseconds. */
  ageMs: number;
  /** When it began, in Unix milliseconds. */
  fetchedAt: number | null;
  /** For how long other caches may reuse the value: what is left of the lag bound. */
  cacheControl: string;
  /** The tier that had it. */
  from: 'memory' | 'kv' | 'r2' | 'origin';
}

/** What a read changes of the policy of its class. All times are in milliseconds. */
export interface ReadPolicy {
  /** How long an entry that this read fills is fresh. */
  ttl_ms?: number;
  /** How long after that it may be served, marked. */
  stale_for_ms?: number;
  /** How far behind the log the answer may be; 0 asks the log before every answer. */
  lag_bound_ms?: number;
  /** What happens when that cannot be proved: the old entry, marked; or an error. */
  beyond_bound?: 'stale' | 'fail';
  /** Whether the times in the value's own `Cache-Control` count. */
  origin_cache_control?: 'respect' | 'ignore';
}

/** What every call may say. */
export interface CallOptions {
  /** The catalog, where the binding's props name none. */
  catalog?: string;
  /** The location that the caller runs at, `request.cf.colo`: the edge's name, unless the deployment sets `EDGE`. */
  colo?: string;
}

/** What `get` and `getMany` may say. */
export interface GetOptions extends CallOptions {
  /** `epoch:version`, as a receipt has them: the answer is not from before that version. */
  minVersion?: string;
  /** How the value is wanted. By default as its media type says. */
  type?: 'json' | 'text' | 'bytes' | 'stream';
  /** Whether the whole entry is wanted, and not the value alone. */
  envelope?: boolean;
}

/** What `read`, `refresh` and `begin` may say. */
export interface ReadOptions extends Omit<GetOptions, 'envelope'> {
  /** Tags of the entry, beside those that the value brings in `Cache-Tag`. */
  tags?: string[];
  /** What this read changes of the policy of its class. */
  policy?: ReadPolicy;
}

/**
 * A value that your code has: a response, whose `Content-Type`, `ETag`, `Cache-Tag` and `Cache-Control` count (404 and 410
 * are "no value"); nothing; a text; bytes; or whatever JSON holds.
 */
export type FillValue = Response | ReadableStream | ArrayBuffer | ArrayBufferView | string | number | boolean | object | null | undefined;

/** Brings the value. It is given the position that the value will be stored under. */
export type Fill = (position: string) => FillValue | Promise<FillValue>;

/** One thing that changed: a key (a text alone is a key), a tag, a prefix of keys, or everything. */
export type Change =
  | string
  | { key: string; op?: 'update' | 'remove'; tags?: string[]; soft?: boolean }
  | { tag: string; soft?: boolean }
  | { prefix: string; soft?: boolean }
  | { all: true; soft?: boolean };

/** The answer to a publish. */
export interface Receipt {
  /** The catalog that was published to. */
  catalog: string;
  /** The epoch of its log. */
  epoch: string;
  /** The version that the publish got. */
  version: number;
  /** `epoch:version:hash`; the first two are what `minVersion` takes. */
  position: string;
  /** When it was published, in Unix milliseconds. */
  at: number;
  /** How many changes it has. */
  changes: number;
  /** With `waitMs`: the edges that have applied it. */
  applied?: string[];
  /** With `waitMs`: the edges that have not yet. */
  pending?: string[];
  /** With `waitMs`: the edges that are away, and hear of it when they are back. */
  offline?: string[];
}

/** What a publish may say. */
export interface PublishOptions extends CallOptions {
  /** A publish that is sent again under the same key has one effect and one version, for 24 hours. */
  idempotencyKey?: string;
  /** Publish only if this is the head of the log. */
  expect?: { epoch: string; version: number };
  /** Waits so long, in milliseconds, until every edge has applied it. */
  waitMs?: number;
}

/** `env.NEWSREEL`. An error has the name `NewsreelError` and the message `<code>: <detail>`. */
export interface NewsreelBinding {
  /** Reads a value; null where there is none. */
  get<Value = unknown>(key: string, options: GetOptions & { envelope: true }): Promise<Entry<Value>>;
  /** Reads a value; null where there is none. */
  get<Value = unknown>(key: string, options?: GetOptions): Promise<Value | null>;
  /** Reads many, in the order of the keys. */
  getMany<Value = unknown>(keys: string[], options: GetOptions & { envelope: true }): Promise<Entry<Value>[]>;
  /** Reads many values, in the order of the keys. */
  getMany<Value = unknown>(keys: string[], options?: GetOptions): Promise<(Value | null)[]>;
  /**
   * Reads a key whose value your code has. On a miss `fill` runs, once for a key at a time, and what it returns is stored under
   * the position from before it began. A change meanwhile makes it run again; an old value is never stored.
   */
  read<Value = unknown>(key: string, fill: Fill, options?: ReadOptions): Promise<Entry<Value>>;
  /** Runs `fill` whatever is kept, behind an answer that was `revalidating`. */
  refresh<Value = unknown>(key: string, fill: Fill, options?: ReadOptions): Promise<Entry<Value>>;
  /** The first half of `read`, for code that cannot pass a function: the entry, or a lease to fill it. */
  begin<Value = unknown>(key: string, options?: ReadOptions): Promise<{ entry: Entry<Value> } | { lease: Lease }>;
  /** The second half: stores a value that was fetched since the lease was given, or says why not. */
  put(
    key: string,
    lease: Lease,
    value: FillValue,
    options?: Pick<ReadOptions, 'tags' | 'policy' | 'catalog'>,
  ): Promise<{ stored: true } | { stored: false; why: 'overtaken' | 'expired' | 'not-storable' }>;
  /** A lease of this moment, for any key. */
  stamp(options?: CallOptions): Promise<Lease>;
  /** Says whether any of these tags, the key, or everything changed since the lease. */
  judge(lease: Lease, tags: string[], options?: CallOptions & { key?: string }): Promise<'fresh' | 'soft' | 'hard'>;
  /** Publishes changes as one version. */
  publish(changes: Change | Change[], options?: PublishOptions): Promise<Receipt>;
  /** Publishes that tags changed. Soft: what carries them is served, marked, while it is fetched anew. */
  purgeTags(tags: string[], options?: PublishOptions & { soft?: boolean }): Promise<Receipt>;
  /** The head, the followers and the size of the log. */
  status(options?: CallOptions): Promise<Record<string, unknown>>;
  /** The HTTP API as it is, with the token of the request. */
  fetch(request: Request | string, init?: RequestInit): Promise<Response>;
}

// The variables, secrets and bindings of Newsreel's Worker. Generated: UPDATE_DOCS=1 cargo test -p newsreel-cli documents

/** What a class of keys promises, where it differs from the default. */
export interface Policy {
  /** The answer when the bound cannot be proved: the old entry, or 503. */
  beyond_bound?: "stale" | "fail";
  /** How far behind the log an answer may be. 0 asks before every answer; otherwise at least 250. */
  lag_bound_ms?: number;
  /** Whether a change only ends the entry, or fetches the new value too. */
  on_bump?: "delete" | "refresh";
  /** Whether the times in the origin's Cache-Control and Expires count. */
  origin_cache_control?: "respect" | "ignore";
  /** The request headers by which the origin's answers may vary and be stored all the same. */
  origin_vary?: string[];
  /** Whether KV, R2 and the origin are asked at once. */
  quorum?: boolean;
  /** How long after that the entry may still be served, marked as stale. */
  stale_for_ms?: number;
  /** How long an entry is fresh, counted from the start of its fetch. */
  ttl_ms?: number;
}

/** A webhook; docs/sources.md has its fields. */
export interface Hook {
  scheme: string;
  secret?: string | string[];
  catalog?: string;
  mapping?: string;
  map?: object[];
  window_s?: number;
  id?: string;
  [field: string]: unknown;
}

/** The variables, the table `vars` of `wrangler.toml`. */
export interface Variables {
  /**
   * The origin, the server that has the values: the edge asks `GET {ORIGIN_URL}/{catalog}/{key}`. Default: none: only
   * entries that callers fill are served.
   */
  ORIGIN_URL?: string;
  /** The name of this edge. There is one replica for each edge and catalog. Default: the Cloudflare location. */
  EDGE?: string;
  /**
   * The broker of another deployment to follow. The secret `BROKER_TOKEN` is an admin token there. Default: the broker
   * of this deployment.
   */
  BROKER_URL?: string;
  /**
   * The edge whose replica deletes old entries from KV and prefetches. Name one edge if all edges share one KV
   * namespace. Default: every edge.
   */
  KV_TENDER?: string;
  /** How long the origin, KV and R2 may each take to answer. Default: 10 s. */
  ORIGIN_TIMEOUT_MS?: number | string;
  /** How many fetches of the origin an isolate has under way at once. Default: 4. */
  ORIGIN_CONCURRENCY?: number | string;
  /**
   * How many values a replica prefetches in a minute, after changes (`on_bump`) and by schedule. 0 prefetches none.
   * Default: 300.
   */
  REFRESH_PER_MINUTE?: number | string;
  /**
   * The catalogs whose hot keys are prefetched by schedule. The origin lists the keys: `GET
   * {ORIGIN_URL}/{catalog}?hot=N`. Default: none.
   */
  FILL_CATALOGS?: string;
  /** How many hot keys of each catalog are prefetched by schedule. Default: 10000. */
  FILL_TOP?: number | string;
  /**
   * The catalogs of which keys are checked by schedule: what this edge serves, beside what the origin says. Default:
   * none.
   */
  VERIFY_CATALOGS?: string;
  /** How many keys of each catalog one run checks, of those that were read lately. Default: 20. */
  VERIFY_PER_RUN?: number | string;
  /** The cron trigger whose runs check keys. The runs of every other trigger prefetch. Default: `0-59/5 * * * *`. */
  VERIFY_CRON?: string;
  /**
   * Whether an answer carries the tags of its entry in `Cache-Tag`, for a cache in front of the edge. Readers have no
   * use for the tags, and hundreds of tags are more than some clients take. Default: false.
   */
  SEND_CACHE_TAG?: true | false | "true" | "false";
  /**
   * Shadow mode: the address that serves the values so far. It answers `GET {SHADOW}/{catalog}/{key}`, and the edge
   * passes its answers on. Behind each the edge reads the key as usual and counts where the two differ. Default:
   * Newsreel's own answers are served.
   */
  SHADOW?: string;
  /**
   * Whether tags are turned into lower case, when they are published and when a value is fetched. After a change publish
   * `{"all":true}`: entries that were stored before keep their tags. Default: false.
   */
  TAGS_FOLD_CASE?: true | false | "true" | "false";
  /**
   * The promises of each class of keys, where a class differs from the default. Default: the table of
   * docs/configuration.md.
   */
  POLICY?: Record<string, Policy> | string;
  /**
   * The webhooks that are taken: the table `[vars.HOOKS.netflix]` declares `POST /v1/catalogs/{catalog}/hooks/netflix`
   * with its scheme, the name of its secret and its mapping. Default: none.
   */
  HOOKS?: Record<string, Hook> | string;
  /**
   * The rules of alerts, where they differ from the defaults (`docs/alerts.md`): for each rule `off`, `warning`,
   * `critical`, `window_s`, `least`, and the same for a class in `classes`. Default: every rule is on, with its own
   * thresholds.
   */
  ALERTS?: Record<string, Policy> | string;
  /**
   * Who is told of alerts: for each receiver `url` or `url_secret`, `secret` (the name of the secret that signs), and
   * `form`, `standard` or `slack`. Default: nobody: alerts are in `GET alerts` and the console.
   */
  ALERT_HOOKS?: string[] | string;
  /**
   * The catalogs that are served. Set the list: entries are read without a token, and every name that is read costs
   * objects. Default: every catalog.
   */
  CATALOGS?: string;
  /** The web pages that may call, beside those of the deployment's own address. Default: no other pages. */
  ALLOWED_ORIGINS?: string;
  /** How often the holder of a token may publish in a second, in each isolate. Default: 0: no limit. */
  PUBLISH_PER_SECOND?: number | string;
  /**
   * How often the holder of a token may page, poll, ask for the status, or open a socket or a stream in a second, in
   * each isolate. Default: 0: no limit.
   */
  FOLLOW_PER_SECOND?: number | string;
  /** The log seals its rows into a segment when there are this many bytes of them. Default: 256 KiB. */
  LOG_SEGMENT_BYTES?: number | string;
  /**
   * The log keeps this many bytes of segments in full and compacts older ones. While versions keep coming it keeps up to
   * twice as many. Default: 32 MiB.
   */
  LOG_KEEP_BYTES?: number | string;
  /**
   * The log forgets a compacted version when it is this old. Longer than ttl and stale time of any class together, here
   * and at every edge that follows this broker. Default: 15 days.
   */
  FORGET_AFTER_MS?: number | string;
  /** How long a live follower may take to acknowledge when asked, before it is closed with 4008. Default: 30 s. */
  SLOW_AFTER_MS?: number | string;
  /** How many bytes of live text a follower may leave unacknowledged, once it was asked for 5 s. Default: 4 MiB. */
  SLOW_BYTES?: number | string;
  /** How long a follower that pings may be silent before its socket counts as dead. Default: 300 s. */
  SILENT_AFTER_MS?: number | string;
}

/** The secrets, which are set with `wrangler secret put`. */
export interface Secrets {
  /** Tokens that may publish: a list with commas of `name=token` or `catalog/name=token`. */
  PUBLISH_TOKENS?: string;
  /** Tokens that may follow, page and ask for the status: a list like `PUBLISH_TOKENS`. */
  FOLLOW_TOKENS?: string;
  /** Tokens that may hand in the values of entries: a list like `PUBLISH_TOKENS`. */
  FILL_TOKENS?: string;
  /** Tokens that may do everything: a list like `PUBLISH_TOKENS`. */
  ADMIN_TOKENS?: string;
  /** A JSON list of the keys that sign tokens which expire; `newsreel token key` makes an item. */
  TOKEN_KEYS?: string;
  /** With `BROKER_URL`: one admin token of that deployment. */
  BROKER_TOKEN?: string;
}

/** The platform's services that the Worker reaches. */
export interface Bindings {
  /** One object for each catalog: the version log. Required, unless `BROKER_URL` names the broker of another deployment. */
  BROKER?: DurableObjectNamespace;
  /** One object for each edge and catalog: it follows the broker and tells readers. Required. */
  REPLICA: DurableObjectNamespace;
  /**
   * One object for each catalog: the alerts of its edges, and the messages that tell of them. Without it nobody is told
   * of alerts.
   */
  ALERT_BOARD?: DurableObjectNamespace;
  /** Entries of up to 25 MiB. Required. */
  ENTRIES: KVNamespace;
  /**
   * Entries that all locations share, strongly consistent. Objects do not expire by themselves: give the bucket a
   * lifecycle rule that deletes what is older than the longest ttl and stale time of a class. Without it there is no R2
   * tier, no value over 25 MiB is kept, and no class may ask for a quorum.
   */
  COPIES?: R2Bucket;
  /**
   * The counts of readers: a data point for each class every few seconds, location and class in its blobs. Without it
   * nothing is reported there; `/metrics` works all the same.
   */
  METRICS?: AnalyticsEngineDataset;
  /**
   * The messages of hooks wait here for the broker. The Worker consumes the queue itself, and the queue of its dead
   * letters, whose name ends with `-dead`. Without it the message of a hook is published before its sender is answered.
   */
  HOOK_QUEUE?: Queue<string>;
}

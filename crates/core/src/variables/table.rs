//! The table of variables and secrets.

use super::{
    Address, AlertTable, AnyVariable, CatalogList, EdgeName, Half, HookTable, Number, OriginList,
    PolicyTable, ReceiverList, Schedule, Secret, Switch, Unit, Variable,
};

macro_rules! variables {
    ($(#[$doc:meta])* $all:ident: $($name:ident = $kind:ident $fields:tt, $half:ident, $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub const $name: Variable<$kind> = Variable {
                name: stringify!($name),
                half: Half::$half,
                kind: $kind $fields,
                meaning: $meaning,
            };
        )*

        $(#[$doc])*
        pub const $all: &[&dyn AnyVariable] = &[$(&$name),*];
    };
}

variables! {
    /// Every variable, in the order of the documents.
    VARIABLES:

    ORIGIN_URL = Address { default: "none: only entries that callers fill are served" }, Edge,
        "The origin, the server that has the values: the edge asks `GET {ORIGIN_URL}/{catalog}/{key}`.";
    EDGE = EdgeName { default: "the Cloudflare location" }, Edge,
        "The name of this edge. There is one replica for each edge and catalog.";
    BROKER_URL = Address { default: "the broker of this deployment" }, Edge,
        "The broker of another deployment to follow. The secret `BROKER_TOKEN` is an admin token there.";
    KV_TENDER = EdgeName { default: "every edge" }, Edge,
        "The edge whose replica deletes old entries from KV and prefetches. Name one edge if all edges share one KV \
         namespace.";
    ORIGIN_TIMEOUT_MS = Number { default: 10_000, min: 1, max: 60_000, unit: Unit::Milliseconds }, Edge,
        "How long the origin, KV and R2 may each take to answer.";
    // Six requests of an isolate may wait for their headers at once, and KV and R2 need some.
    ORIGIN_CONCURRENCY = Number { default: 4, min: 1, max: 6, unit: Unit::Items }, Edge,
        "How many fetches of the origin an isolate has under way at once.";
    REFRESH_PER_MINUTE = Number { default: 300, min: 0, max: 60_000, unit: Unit::Items }, Edge,
        "How many values a replica prefetches in a minute, after changes (`on_bump`) and by schedule. 0 prefetches none.";
    FILL_CATALOGS = CatalogList { default: "none" }, Edge,
        "The catalogs whose hot keys are prefetched by schedule. The origin lists the keys: \
         `GET {ORIGIN_URL}/{catalog}?hot=N`.";
    FILL_TOP = Number { default: 10_000, min: 1, max: 100_000, unit: Unit::Items }, Edge,
        "How many hot keys of each catalog are prefetched by schedule.";
    VERIFY_CATALOGS = CatalogList { default: "none" }, Edge,
        "The catalogs of which keys are checked by schedule: what this edge serves, beside what the origin says.";
    VERIFY_PER_RUN = Number { default: 20, min: 1, max: 100, unit: Unit::Items }, Edge,
        "How many keys of each catalog one run checks, of those that were read lately.";
    VERIFY_CRON = Schedule { default: "0-59/5 * * * *" }, Edge,
        "The cron trigger whose runs check keys. The runs of every other trigger prefetch.";
    SEND_CACHE_TAG = Switch { default: false }, Edge,
        "Whether an answer carries the tags of its entry in `Cache-Tag`, for a cache in front of the edge. Readers have no \
         use for the tags, and hundreds of tags are more than some clients take.";
    SHADOW = Address { default: "Newsreel's own answers are served" }, Edge,
        "Shadow mode: the address that serves the values so far. It answers `GET {SHADOW}/{catalog}/{key}`, and the edge \
         passes its answers on. Behind each the edge reads the key as usual and counts where the two differ.";
    TAGS_FOLD_CASE = Switch { default: false }, Both,
        "Whether tags are turned into lower case, when they are published and when a value is fetched. After a change \
         publish `{\"all\":true}`: entries that were stored before keep their tags.";
    POLICY = PolicyTable {}, Both,
        "The promises of each class of keys, where a class differs from the default.";
    HOOKS = HookTable {}, Broker,
        "The webhooks that are taken: the table `[vars.HOOKS.netflix]` declares \
         `POST /v1/catalogs/{catalog}/hooks/netflix` with its scheme, the name of its secret and its mapping.";
    ALERTS = AlertTable {}, Both,
        "The rules of alerts, where they differ from the defaults (`docs/alerts.md`): for each rule `off`, `warning`, \
         `critical`, `window_s`, `least`, and the same for a class in `classes`.";
    ALERT_HOOKS = ReceiverList {}, Broker,
        "Who is told of alerts: for each receiver `url` or `url_secret`, `secret` (the name of the secret that signs), and \
         `form`, `standard` or `slack`.";
    CATALOGS = CatalogList { default: "every catalog" }, Both,
        "The catalogs that are served. Set the list: entries are read without a token, and every name that is read \
         costs objects.";
    ALLOWED_ORIGINS = OriginList {}, Both,
        "The web pages that may call, beside those of the deployment's own address.";
    PUBLISH_PER_SECOND = Number { default: 0, min: 0, max: u64::MAX, unit: Unit::PerSecond }, Broker,
        "How often the holder of a token may publish in a second, in each isolate.";
    FOLLOW_PER_SECOND = Number { default: 0, min: 0, max: u64::MAX, unit: Unit::PerSecond }, Broker,
        "How often the holder of a token may page, poll, ask for the status, or open a socket or a stream in a second, \
         in each isolate.";
    LOG_SEGMENT_BYTES = Number { default: 256 << 10, min: 1, max: u64::MAX, unit: Unit::Bytes }, Broker,
        "The log seals its rows into a segment when there are this many bytes of them.";
    LOG_KEEP_BYTES = Number { default: 32 << 20, min: 0, max: u64::MAX, unit: Unit::Bytes }, Broker,
        "The log keeps this many bytes of segments in full and compacts older ones. While versions keep coming it keeps \
         up to twice as many.";
    FORGET_AFTER_MS = Number { default: 15 * 86_400_000, min: 1, max: u64::MAX, unit: Unit::Milliseconds }, Broker,
        "The log forgets a compacted version when it is this old. Longer than ttl and stale time of any class together, \
         here and at every edge that follows this broker.";
    SLOW_AFTER_MS = Number { default: 30_000, min: 1, max: u64::MAX, unit: Unit::Milliseconds }, Broker,
        "How long a live follower may take to acknowledge when asked, before it is closed with 4008.";
    SLOW_BYTES = Number { default: 4 << 20, min: 1, max: u64::MAX, unit: Unit::Bytes }, Broker,
        "How many bytes of live text a follower may leave unacknowledged, once it was asked for 5 s.";
    SILENT_AFTER_MS = Number { default: 300_000, min: 1, max: u64::MAX, unit: Unit::Milliseconds }, Broker,
        "How long a follower that pings may be silent before its socket counts as dead.";
}

variables! {
    /// Every secret. A secret is set with `wrangler secret put`, never written in `wrangler.toml`.
    SECRETS:

    PUBLISH_TOKENS = Secret {}, Both,
        "Tokens that may publish: a list with commas of `name=token` or `catalog/name=token`.";
    FOLLOW_TOKENS = Secret {}, Both,
        "Tokens that may follow, page and ask for the status: a list like `PUBLISH_TOKENS`.";
    FILL_TOKENS = Secret {}, Edge,
        "Tokens that may hand in the values of entries: a list like `PUBLISH_TOKENS`.";
    ADMIN_TOKENS = Secret {}, Both,
        "Tokens that may do everything: a list like `PUBLISH_TOKENS`.";
    TOKEN_KEYS = Secret {}, Both,
        "A JSON list of the keys that sign tokens which expire; `newsreel token key` makes an item.";
    BROKER_TOKEN = Secret {}, Edge,
        "With `BROKER_URL`: one admin token of that deployment.";
}

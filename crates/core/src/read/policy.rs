//! Policies: how long an entry of each class lives, and how far behind an answer may be.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::wire::json::Object;

mod age;
mod check;
mod of_read;

pub use age::{Age, AgePart, Cause};
pub use check::{MAX_POLICY_TIME, MIN_LAG_BOUND};
pub use of_read::{ReadPolicy, ReadPolicyError};

/// The policy of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How long an entry is fresh, counted from the start of its fetch.
    pub ttl: Duration,
    /// How long after that it may still be served, marked, while it is fetched or while the origin is down.
    pub stale_for: Duration,
    /// How long ago a reader may have last proved that it had heard everything. Zero: it asks every time.
    pub lag_bound: Duration,
    /// The answer when the lag bound cannot be proved.
    pub beyond_bound: OnUnprovable,
    /// The work of a replica when a change invalidates an entry.
    pub on_bump: OnInvalidate,
    /// Whether KV, R2 and the origin are asked at once and the newest version wins.
    pub quorum: bool,
    /// Whether the times in the origin's `Cache-Control` and `Expires` count.
    pub origin_cache_control: OriginCacheControl,
}

/// The treatment of an origin's `Cache-Control` and `Expires`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OriginCacheControl {
    /// A value that is private or not to be stored is not stored, and a shorter lifetime than the policy's is kept.
    #[default]
    Respect,
    /// The class's policy alone says how long an entry lives, and every value is stored.
    Ignore,
}

/// The work of a replica when a change invalidates entries. No guarantee depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnInvalidate {
    /// The old entry is deleted from KV.
    #[default]
    Delete,
    /// The old entry is deleted from KV, and the new value is fetched if the key was read recently: within a budget, the
    /// hottest first.
    Refresh,
}

/// The answer of a class when its lag bound cannot be proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnprovable {
    /// The newest entry, marked stale.
    Stale,
    /// The problem `bound-not-kept` (503).
    Fail,
}

/// The policy of every class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policies {
    classes: BTreeMap<String, Policy>,
    other: Policy,
    /// By class, [`OTHER`] too: see [`Policies::origin_vary`].
    origin_vary: BTreeMap<String, Vec<String>>,
}

/// The changes of a deployment to the policy of a class. Absent fields keep the default; all times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Override {
    /// Replaces [`Policy::ttl`] with this many milliseconds.
    pub ttl_ms: Option<u64>,
    /// Replaces [`Policy::stale_for`] with this many milliseconds.
    pub stale_for_ms: Option<u64>,
    /// Replaces [`Policy::lag_bound`] with this many milliseconds; 0 makes every read ask.
    pub lag_bound_ms: Option<u64>,
    /// Replaces [`Policy::beyond_bound`]; the JSON is `"stale"` or `"fail"`.
    pub beyond_bound: Option<OnUnprovable>,
    /// Replaces [`Policy::on_bump`]; the JSON is `"delete"` or `"refresh"`.
    pub on_bump: Option<OnInvalidate>,
    /// Replaces [`Policy::quorum`]; the JSON is a boolean.
    pub quorum: Option<bool>,
    /// Replaces [`Policy::origin_cache_control`]; the JSON is `"respect"` or `"ignore"`.
    pub origin_cache_control: Option<OriginCacheControl>,
    /// Replaces [`Policies::origin_vary`] with these names of headers.
    pub origin_vary: Option<Vec<String>>,
}

impl Override {
    /// Returns the JSON Schema of every field, each with what it means.
    pub(crate) fn schema() -> Value {
        let millis =
            |least: u64, meaning| json!({ "type": "integer", "minimum": least, "description": meaning });
        let one_of = |values: [&str; 2], meaning| json!({ "enum": values, "description": meaning });
        json!({
            "ttl_ms": millis(1, "How long an entry is fresh, counted from the start of its fetch."),
            "stale_for_ms": millis(0, "How long after that the entry may still be served, marked as stale."),
            "lag_bound_ms": millis(0, "How far behind the log an answer may be. 0 asks before every answer; otherwise at least 250."),
            "beyond_bound": one_of(["stale", "fail"], "The answer when the bound cannot be proved: the old entry, or 503."),
            "on_bump": one_of(["delete", "refresh"], "Whether a change only ends the entry, or fetches the new value too."),
            "quorum": { "type": "boolean", "description": "Whether KV, R2 and the origin are asked at once." },
            "origin_cache_control": one_of(["respect", "ignore"], "Whether the times in the origin's Cache-Control and Expires count."),
            "origin_vary": {
                "type": "array",
                "items": { "type": "string" },
                "description": "The request headers by which the origin's answers may vary and be stored all the same.",
            },
        })
    }
}

/// Why the policies of a deployment cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// `POLICY` is not JSON, or not a table of classes.
    #[error("POLICY is {TABLE}: {0}")]
    NotATable(String),
    /// The table of a class cannot be read.
    #[error("POLICY is {TABLE}: {class}: {why}")]
    Class {
        /// The name of the class.
        class: String,
        /// The reason, as the JSON reader gives it.
        why: String,
    },
    /// Promises that no deployment can keep, each with the number to write.
    #[error("{}", .0.join("; "))]
    Unkeepable(Vec<String>),
    /// The log forgets floors while an entry below them may still be served.
    #[error(
        "FORGET_AFTER_MS is {forget_after_ms}, and an entry of the class {class} may be served for {life_ms} ms: \
         write more than that, or shorten its ttl_ms and stale_for_ms"
    )]
    Horizon {
        /// The class that lets its entries be served for longest.
        class: String,
        /// How long after its fetch an entry of the class may be served, in milliseconds.
        life_ms: u128,
        /// How long the log remembers floors, in milliseconds.
        forget_after_ms: u128,
    },
}

/// The shape of the variable, for people.
const TABLE: &str = "a table per class of ttl_ms, stale_for_ms, lag_bound_ms, beyond_bound, on_bump, quorum, \
     origin_cache_control, origin_vary";

/// The name under which a deployment changes the policy of every class it does not name.
pub const OTHER: &str = "other";

impl Default for Policies {
    /// Returns the table of `PROTOCOL.md`.
    fn default() -> Self {
        let hour = Duration::from_secs(3_600);
        let second = Duration::from_secs(1);
        let policy = |ttl, stale_for, lag_bound, beyond_bound| Policy {
            ttl,
            stale_for,
            lag_bound,
            beyond_bound,
            on_bump: OnInvalidate::Delete,
            quorum: false,
            origin_cache_control: OriginCacheControl::Respect,
        };
        let classes = [
            ("embedding", policy(24 * hour, 48 * hour, 60 * second, OnUnprovable::Stale)),
            ("availability", policy(12 * hour, 24 * hour, 2 * second, OnUnprovable::Stale)),
            ("trending", policy(300 * second, 900 * second, second, OnUnprovable::Fail)),
            ("live", policy(5 * second, 10 * second, Duration::ZERO, OnUnprovable::Fail)),
        ];
        Self {
            classes: classes.into_iter().map(|(class, policy)| (class.to_owned(), policy)).collect(),
            other: policy(168 * hour, 168 * hour, 2 * second, OnUnprovable::Stale),
            origin_vary: BTreeMap::new(),
        }
    }
}

impl Policies {
    /// Returns the defaults with a deployment's changes.
    #[must_use]
    pub fn with(overrides: &BTreeMap<String, Override>) -> Self {
        let mut policies = Self::default();
        if let Some(change) = overrides.get(OTHER) {
            policies.other = policies.other.changed(change);
            policies.origin_vary.extend(change.origin_vary.clone().map(|names| (OTHER.to_owned(), names)));
        }
        for (class, change) in overrides.iter().filter(|(class, _)| *class != OTHER) {
            let policy = policies.of(class).changed(change);
            let names = change.origin_vary.as_deref().unwrap_or_else(|| policies.origin_vary(class)).to_vec();
            policies.origin_vary.insert(class.clone(), names);
            policies.classes.insert(class.clone(), policy);
        }
        policies
    }

    /// Reads a deployment's changes of policies from the JSON of its variable `POLICY`. An empty text changes
    /// nothing.
    ///
    /// # Errors
    /// [`PolicyError`] says what to write there.
    pub fn from_json(json: &str) -> Result<Self, PolicyError> {
        if json.trim().is_empty() {
            return Ok(Self::default());
        }
        let tables: BTreeMap<String, Value> =
            serde_json::from_str(json).map_err(|why| PolicyError::NotATable(why.to_string()))?;
        let mut overrides = BTreeMap::new();
        for (class, table) in tables {
            let Object(change): Object<Override> = serde_json::from_value(table)
                .map_err(|why| PolicyError::Class { class: class.clone(), why: why.to_string() })?;
            overrides.insert(class, change);
        }
        let policies = Self::with(&overrides);
        policies.check()?;
        Ok(policies)
    }

    /// Returns the longest that an entry of any class may be served after it was fetched.
    #[must_use]
    pub fn longest_life(&self) -> Duration {
        self.classes().map(|(_, policy)| policy.life()).max().unwrap_or_default()
    }

    /// Returns every class that has a policy of its own, in their order, and then the common one as [`OTHER`].
    pub fn classes(&self) -> impl Iterator<Item = (&str, &Policy)> {
        let named = self.classes.iter().map(|(class, policy)| (class.as_str(), policy));
        named.chain([(OTHER, &self.other)])
    }

    /// Returns the policy of a class.
    #[must_use]
    pub fn of(&self, class: &str) -> Policy {
        self.classes.get(class).copied().unwrap_or(self.other)
    }

    /// Returns the headers, beside `Accept-Encoding`, by which an origin's answers of a class may vary and be stored all
    /// the same: a reader's headers do not reach the origin, so every reader would be given the same value.
    #[must_use]
    pub fn origin_vary(&self, class: &str) -> &[String] {
        let class = if self.classes.contains_key(class) { class } else { OTHER };
        self.origin_vary.get(class).map_or(&[], Vec::as_slice)
    }

    /// Returns the smallest lag bound that is not zero: how often the floors must be proved while there are readers.
    #[must_use]
    pub fn tightest_bound(&self) -> Duration {
        let bounds = self.classes().map(|(_, policy)| policy.lag_bound);
        bounds.filter(|bound| !bound.is_zero()).min().unwrap_or(Duration::from_secs(2))
    }
}

impl Policy {
    /// Returns how long an entry may be served at all after it was fetched.
    fn life(&self) -> Duration {
        self.ttl + self.stale_for
    }

    fn changed(self, change: &Override) -> Self {
        let or = |ms: Option<u64>, default| ms.map_or(default, Duration::from_millis);
        Self {
            ttl: or(change.ttl_ms, self.ttl),
            stale_for: or(change.stale_for_ms, self.stale_for),
            lag_bound: or(change.lag_bound_ms, self.lag_bound),
            beyond_bound: change.beyond_bound.unwrap_or(self.beyond_bound),
            on_bump: change.on_bump.unwrap_or(self.on_bump),
            quorum: change.quorum.unwrap_or(self.quorum),
            origin_cache_control: change.origin_cache_control.unwrap_or(self.origin_cache_control),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_class_that_is_not_named_gets_the_common_policy() {
        let policies = Policies::default();
        assert_eq!(policies.of("title"), policies.of("metadata"));
        assert_eq!(policies.of("title").lag_bound, Duration::from_secs(2));
        assert_eq!(policies.of("live").lag_bound, Duration::ZERO);
        assert_eq!(policies.tightest_bound(), Duration::from_secs(1));
    }

    #[test]
    fn a_deployment_changes_only_what_it_names() {
        let json = r#"{"live":{"ttl_ms":1000},"other":{"lag_bound_ms":500,"beyond_bound":"fail"},"fare":{"ttl_ms":7}}"#;
        let policies = Policies::with(&serde_json::from_str(json).unwrap());
        assert_eq!(policies.of("live").ttl, Duration::from_secs(1));
        assert_eq!(policies.of("live").stale_for, Duration::from_secs(10));
        assert_eq!(policies.of("title").beyond_bound, OnUnprovable::Fail);
        assert_eq!(
            policies.of("fare").lag_bound,
            Duration::from_millis(500),
            "built on the changed common policy"
        );
        assert!(serde_json::from_str::<BTreeMap<String, Override>>(r#"{"live":{"ttl":1}}"#).is_err());
    }
}

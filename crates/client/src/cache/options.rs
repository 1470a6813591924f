//! What a caller of the cache says: its bounds, and what each class promises.

use std::collections::BTreeMap;
use std::time::Duration;

use newsreel_core::policy::{Beyond, OTHER, Override, Policies, Policy};
use serde::Deserialize;

use super::shelf::Bounds;

/// What is done when the bound of a class cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Unkept {
    /// What is there is served, marked stale.
    Stale,
    /// The read fails.
    Fail,
    /// The origin is asked anew: the newest there is keeps every bound.
    Fetch,
}

/// What a caller changes about a class; absent fields keep the default. All times in milliseconds.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Class {
    ttl_ms: Option<u64>,
    stale_for_ms: Option<u64>,
    lag_bound_ms: Option<u64>,
    beyond_bound: Option<Unkept>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Said {
    max_entries: u32,
    max_bytes: u64,
    policy: BTreeMap<String, Class>,
}

/// What each class promises.
#[derive(Debug)]
pub(super) struct Classes {
    policies: Policies,
    /// The words of the classes that have one of their own, and the common one.
    unkept: BTreeMap<String, Unkept>,
}

/// Reads the options of a cache.
pub(super) fn read(json: &str) -> Result<(Bounds, Classes), String> {
    let said: Said = serde_json::from_str(json).map_err(|why| why.to_string())?;
    let bounds = Bounds { entries: said.max_entries, bytes: said.max_bytes };
    if bounds.entries == 0 || bounds.bytes == 0 {
        return Err("maxEntries and maxBytes are at least 1".to_owned());
    }
    // A class that the table names has a word of its own; the others share one.
    let mut unkept: BTreeMap<String, Unkept> = BTreeMap::new();
    for (name, policy) in Policies::default().classes() {
        unkept.insert(name.to_owned(), word(policy));
    }
    let named = said.policy.iter().filter_map(|(name, class)| Some((name.clone(), class.beyond_bound?)));
    unkept.extend(named);
    let overrides = said.policy.iter().map(|(name, class)| (name.clone(), class.changes())).collect();
    let policies = Policies::with(&overrides);
    policies.check().map_err(|why| in_its_words(&why))?;
    Ok((bounds, Classes { policies, unkept }))
}

impl Class {
    fn changes(&self) -> Override {
        let Self { ttl_ms, stale_for_ms, lag_bound_ms, .. } = *self;
        Override { ttl_ms, stale_for_ms, lag_bound_ms, ..Override::default() }
    }
}

impl Classes {
    /// Returns the policy of a class, or of a read that says otherwise, and what is done beyond its bound.
    pub(super) fn of(&self, class: &str, bound: Option<Duration>, word: Option<Unkept>) -> (Policy, Unkept) {
        let policy = self.policies.of(class);
        let said = || self.unkept.get(class).or_else(|| self.unkept.get(OTHER)).copied();
        let unkept = word.or_else(said).unwrap_or(Unkept::Stale);
        let beyond_bound = if unkept == Unkept::Fail { Beyond::Fail } else { Beyond::Stale };
        let lag_bound = bound.unwrap_or(policy.lag_bound);
        (Policy { lag_bound, beyond_bound, ..policy }, unkept)
    }
}

/// Returns what stands in the table, but where a reader fails, for its origin is everybody's, the fetcher is at hand.
fn word(policy: &Policy) -> Unkept {
    match policy.beyond_bound {
        Beyond::Stale => Unkept::Stale,
        Beyond::Fail => Unkept::Fetch,
    }
}

/// Says a complaint about a deployment's variable in the words of these options.
fn in_its_words(why: &str) -> String {
    let words = [
        ("POLICY.", "policy."),
        ("ttl_ms", "ttlMs"),
        ("stale_for_ms", "staleForMs"),
        ("lag_bound_ms", "lagBoundMs"),
    ];
    words.iter().fold(why.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(policy: &str) -> Result<Classes, String> {
        read(&format!(r#"{{"maxEntries":1,"maxBytes":1,"policy":{policy}}}"#)).map(|(_, classes)| classes)
    }

    #[test]
    fn the_table_is_the_readers_but_where_that_fails_the_origin_is_asked() {
        let classes = classes("{}").unwrap();
        let (policy, unkept) = classes.of("title", None, None);
        assert_eq!((policy.lag_bound, unkept), (Duration::from_secs(2), Unkept::Stale));
        let (policy, unkept) = classes.of("live", None, None);
        assert_eq!((policy.lag_bound, unkept), (Duration::ZERO, Unkept::Fetch));
        assert_eq!(classes.of("live", None, Some(Unkept::Fail)).0.beyond_bound, Beyond::Fail);
        assert_eq!(classes.of("live", Some(Duration::from_secs(9)), None).0.lag_bound, Duration::from_secs(9));
    }

    #[test]
    fn a_caller_changes_only_what_it_names() {
        let classes =
            classes(r#"{"other":{"beyondBound":"fail"},"title":{"ttlMs":5},"fare":{"beyondBound":"fetch"}}"#)
                .unwrap();
        let (policy, unkept) = classes.of("title", None, None);
        assert_eq!((policy.ttl, unkept), (Duration::from_millis(5), Unkept::Fail));
        assert_eq!(classes.of("any", None, None).1, Unkept::Fail);
        assert_eq!(classes.of("fare", None, None).1, Unkept::Fetch);
        assert_eq!(classes.of("live", None, None).1, Unkept::Fetch, "the table names it");
    }

    #[test]
    fn what_cannot_be_kept_is_refused_by_name() {
        for (policy, says) in [
            (r#"{"title":{"lagBoundMs":100}}"#, "policy.title.lagBoundMs is 100"),
            (r#"{"title":{"ttlMs":0}}"#, "policy.title.ttlMs is 0"),
            (r#"{"a:b":{}}"#, "the class of no key"),
            (r#"{"title":{"ttl":5}}"#, "unknown field `ttl`"),
            (r#"{"title":{"beyondBound":"panic"}}"#, "unknown variant"),
        ] {
            let error = classes(policy).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        assert!(read(r#"{"maxEntries":0,"maxBytes":1,"policy":{}}"#).unwrap_err().contains("at least 1"));
    }
}

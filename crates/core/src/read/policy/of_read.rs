//! The policy of one read: what a caller that fills entries itself may change of its class's policy.

use std::time::Duration;

use serde::Deserialize;

use super::check::complaint;
use super::{OnUnprovable, OriginCacheControl, Override, Policy};
use crate::wire::json::Object;

/// A caller's changes to the policy of one read. Absent fields keep the class's; all times are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReadPolicy {
    /// Replaces [`Policy::ttl`] of an entry that this read fills.
    pub ttl_ms: Option<u64>,
    /// Replaces [`Policy::stale_for`] of an entry that this read fills.
    pub stale_for_ms: Option<u64>,
    /// Replaces [`Policy::lag_bound`] of the read.
    pub lag_bound_ms: Option<u64>,
    /// Replaces [`Policy::beyond_bound`] of the read.
    pub beyond_bound: Option<OnUnprovable>,
    /// Replaces [`Policy::origin_cache_control`] of an entry that this read fills.
    pub origin_cache_control: Option<OriginCacheControl>,
}

/// Why a read cannot have the policy that its caller asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadPolicyError {
    /// The text is not the JSON of a policy.
    #[error(
        "the policy of a read is JSON of ttl_ms, stale_for_ms, lag_bound_ms, beyond_bound, origin_cache_control: {0}"
    )]
    Json(String),
    /// A number that no deployment can keep; the text says what to write.
    #[error("{0}")]
    Unkeepable(String),
    /// The entry could be served for longer than the log remembers the floors that would refuse it.
    #[error(
        "ttl_ms and stale_for_ms are {life_ms} ms together, and the log forgets after {forget_after_ms} ms: write less"
    )]
    Horizon {
        /// How long after its fetch the entry could be served, in milliseconds.
        life_ms: u128,
        /// How long the log remembers floors, in milliseconds.
        forget_after_ms: u128,
    },
}

impl ReadPolicy {
    /// Reads the JSON of a caller. An empty text changes nothing.
    ///
    /// # Errors
    /// [`ReadPolicyError::Json`] for everything else.
    pub fn from_json(json: &str) -> Result<Self, ReadPolicyError> {
        if json.trim().is_empty() {
            return Ok(Self::default());
        }
        let Object(policy): Object<Self> =
            serde_json::from_str(json).map_err(|why| ReadPolicyError::Json(why.to_string()))?;
        Ok(policy)
    }

    /// Returns the policy of a class with these changes.
    #[must_use]
    pub fn applied_to(&self, of_class: Policy) -> Policy {
        let Self { ttl_ms, stale_for_ms, lag_bound_ms, beyond_bound, origin_cache_control } = *self;
        of_class.changed(&Override {
            ttl_ms,
            stale_for_ms,
            lag_bound_ms,
            beyond_bound,
            origin_cache_control,
            ..Override::default()
        })
    }

    /// Checks the changed policy of a class, as a deployment's is checked when it starts.
    ///
    /// # Errors
    /// [`ReadPolicyError`] says what to write.
    pub fn check(
        &self,
        of_class: Policy,
        class: &str,
        forget_after: Duration,
    ) -> Result<(), ReadPolicyError> {
        let policy = self.applied_to(of_class);
        let wrong = policy.times().into_iter().find_map(|(field, time)| complaint(class, field, time));
        if let Some(wrong) = wrong {
            return Err(ReadPolicyError::Unkeepable(wrong));
        }
        let life = policy.life();
        if forget_after > life || *self == Self::default() {
            return Ok(());
        }
        let (life_ms, forget_after_ms) = (life.as_millis(), forget_after.as_millis());
        Err(ReadPolicyError::Horizon { life_ms, forget_after_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::policy::Policies;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const FORGET_AFTER: Duration = Duration::from_secs(15 * 24 * 3_600);

    fn checked(json: &str) -> Result<(), ReadPolicyError> {
        ReadPolicy::from_json(json)?.check(Policies::default().of("page"), "page", FORGET_AFTER)
    }

    #[test]
    fn a_read_changes_only_what_it_names() {
        let of_class = Policies::default().of("page");
        assert_eq!(ReadPolicy::from_json("").unwrap().applied_to(of_class), of_class);
        let changed = ReadPolicy::from_json(r#"{"ttl_ms":1000,"beyond_bound":"fail"}"#).unwrap();
        let changed = changed.applied_to(of_class);
        assert_eq!((changed.ttl, changed.stale_for), (Duration::from_secs(1), of_class.stale_for));
        assert_eq!(changed.beyond_bound, OnUnprovable::Fail);
    }

    #[test]
    fn a_policy_that_cannot_be_kept_is_refused_with_what_to_write() {
        assert_eq!(checked(r#"{"ttl_ms":1,"stale_for_ms":0,"lag_bound_ms":0}"#), Ok(()));
        for (json, told) in [
            (r#"{"ttl":1}"#, "ttl_ms, stale_for_ms"),
            (r#"[]"#, "JSON"),
            (r#"{"ttl_ms":0}"#, "write at least 1"),
            (r#"{"lag_bound_ms":3}"#, "write at least 250"),
            (r#"{"ttl_ms":1296000000}"#, "the log forgets after 1296000000 ms"),
        ] {
            let why = checked(json).unwrap_err().to_string();
            assert!(why.contains(told), "{json}: {why}");
        }
    }
}

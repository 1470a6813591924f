//! Checks of policies: promises that cannot be kept are refused when a deployment starts.

use std::time::Duration;

use super::{OTHER, Policies, Policy, PolicyError};
use crate::wire::name::Key;

/// The least lag bound that is not 0.
///
/// A proof may be half as old as the bound when a reader asks for it; the other half is for the answer to come back. At
/// 250 ms the replica's ping has 125 ms to the broker and back, across an ocean if need be, and the reader's question
/// to the replica has the other 125 ms. Below that most reads would fail or be marked stale. A deployment that wants a
/// tighter bound writes 0, and every read asks.
pub const MIN_LAG_BOUND: Duration = Duration::from_millis(250);
/// The longest time of a policy: ten years. A longer time is a typing mistake, and sums of such times overflow.
pub const MAX_POLICY_TIME: Duration = Duration::from_secs(3_650 * 24 * 3_600);

impl Policies {
    /// Says whether every promise can be kept.
    ///
    /// # Errors
    /// [`PolicyError::Unkeepable`] names each class and number that is wrong, and what to write there.
    pub fn check(&self) -> Result<(), PolicyError> {
        let complaints = self.complaints();
        if complaints.is_empty() { Ok(()) } else { Err(PolicyError::Unkeepable(complaints)) }
    }

    /// Returns the promises that cannot be kept, each with the class, the number and what to write.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for (class, policy) in self.classes() {
            // A class is one if a key of it can exist: it is not empty, holds no ':', and leaves room for an id.
            if class.contains(':') || Key::new(format!("{class}:x")).is_err() {
                complaints.push(format!(
                    "POLICY.{class:?} is the class of no key: write what stands before the ':' of its keys, or {OTHER}"
                ));
            }
            for (field, time) in policy.times() {
                complaints.extend(complaint(class, field, time));
            }
            for name in self.origin_vary(class).iter().filter(|name| !is_header_name(name)) {
                complaints.push(format!(
                    "POLICY.{class}.origin_vary has {name:?}, which is no header: write names of request headers, \
                     e.g. \"Origin\" (an answer that varies by everything, \"*\", is never stored)"
                ));
            }
        }
        complaints
    }

    /// Says whether a log remembers floors for longer than any entry may be served. A floor that was folded away and
    /// forgotten would refuse nothing.
    ///
    /// # Errors
    /// [`PolicyError::Horizon`] names the class and what to write.
    pub fn check_horizon(&self, forget_after: Duration) -> Result<(), PolicyError> {
        let life = self.longest_life();
        if forget_after > life {
            return Ok(());
        }
        let longest = self.classes().find(|(_, policy)| policy.life() == life);
        Err(PolicyError::Horizon {
            class: longest.map_or(OTHER, |(class, _)| class).to_owned(),
            life_ms: life.as_millis(),
            forget_after_ms: forget_after.as_millis(),
        })
    }
}

impl Policy {
    pub(super) fn times(&self) -> [(&'static str, Duration); 3] {
        [("ttl_ms", self.ttl), ("stale_for_ms", self.stale_for), ("lag_bound_ms", self.lag_bound)]
    }
}

/// Says whether a text is the name of a header (RFC 9110, 5.1), and not `*`.
fn is_header_name(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token)
}

pub(super) fn complaint(class: &str, field: &str, time: Duration) -> Option<String> {
    let why = if time > MAX_POLICY_TIME {
        "longer than ten years: write at most 315360000000"
    } else if field == "ttl_ms" && time.is_zero() {
        "no life at all: write at least 1"
    } else if field == "lag_bound_ms" && !time.is_zero() && time < MIN_LAG_BOUND {
        "too short to be proved over a network: write at least 250, or 0 to ask before every answer"
    } else {
        return None;
    };
    Some(format!("POLICY.{class}.{field} is {}, {why}", time.as_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn complaints(json: &str) -> Vec<String> {
        Policies::with(&serde_json::from_str(json).unwrap()).complaints()
    }

    #[track_caller]
    fn expect(json: &str, wanted: &[&str]) {
        let complaints = complaints(json);
        assert_eq!(complaints.len(), wanted.len(), "{complaints:?}");
        for (complaint, wanted) in complaints.iter().zip(wanted) {
            assert!(complaint.contains(wanted), "{complaint}: {wanted}");
        }
        assert_eq!(Policies::from_json(json).is_ok(), wanted.is_empty());
    }

    #[test]
    fn the_defaults_can_be_kept() {
        assert_eq!(Policies::default().check(), Ok(()));
        assert_eq!(
            Policies::default()
                .check_horizon(crate::log::maintenance::RetentionLimits::default().forget_after),
            Ok(())
        );
    }

    #[test]
    fn a_bound_is_0_or_long_enough_to_be_proved() {
        expect(r#"{"fare":{"lag_bound_ms":0}}"#, &[]);
        expect(r#"{"fare":{"lag_bound_ms":250},"archive":{"lag_bound_ms":3600000}}"#, &[]);
        for short in [1, 249] {
            let json = format!(r#"{{"fare":{{"lag_bound_ms":{short}}}}}"#);
            expect(&json, &[&format!("POLICY.fare.lag_bound_ms is {short}, too short")]);
        }
    }

    #[test]
    fn an_entry_lives_and_no_time_overflows() {
        expect(r#"{"fare":{"ttl_ms":0}}"#, &["POLICY.fare.ttl_ms is 0, no life at all: write at least 1"]);
        expect(r#"{"fare":{"stale_for_ms":0,"ttl_ms":315360000000}}"#, &[]);
        expect(
            r#"{"live":{"ttl_ms":18446744073709551615,"stale_for_ms":18446744073709551615,"lag_bound_ms":315360000001}}"#,
            &["live.ttl_ms", "live.stale_for_ms", "live.lag_bound_ms"],
        );
        let longest = r#"{"live":{"ttl_ms":18446744073709551615,"stale_for_ms":18446744073709551615}}"#;
        let longest = Policies::with(&serde_json::from_str(longest).unwrap());
        assert!(longest.check_horizon(Duration::from_millis(u64::MAX)).is_err(), "without a panic");
    }

    #[test]
    fn a_class_is_what_a_key_may_begin_with() {
        expect(r#"{"é v/w":{}}"#, &[]);
        for bad in ["", "a:b", "a:", "a\\n", &"x".repeat(399)] {
            expect(&format!(r#"{{"{bad}":{{}}}}"#), &["is the class of no key"]);
        }
        expect(&format!(r#"{{"{}":{{}}}}"#, "x".repeat(398)), &[]);
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let json = r#"{"a":{"ttl_ms":0},"b":{"ttl_ms":1,"lag_bound_ms":3},"other":{"ttl_ms":0}}"#;
        expect(json, &["POLICY.a.ttl_ms", "POLICY.b.lag_bound_ms", "POLICY.other.ttl_ms"]);
        let told = Policies::from_json(json).unwrap_err().to_string();
        assert!(told.contains("POLICY.a.") && told.contains("POLICY.b.") && told.contains("POLICY.other."));
    }

    #[test]
    fn the_advice_is_what_the_constants_say() {
        assert_eq!(MIN_LAG_BOUND.as_millis().to_string(), "250");
        assert_eq!(MAX_POLICY_TIME.as_millis().to_string(), "315360000000");
    }

    #[test]
    fn the_log_remembers_for_longer_than_any_entry_is_served() {
        let policies = Policies::from_json(r#"{"fare":{"ttl_ms":1209600000,"stale_for_ms":500}}"#).unwrap();
        let life = Duration::from_millis(1_209_600_500);
        let why = policies.check_horizon(life).unwrap_err().to_string();
        assert!(why.contains("FORGET_AFTER_MS is 1209600500") && why.contains("the class fare"), "{why}");
        assert_eq!(policies.check_horizon(life + Duration::from_millis(1)), Ok(()));
    }
}

//! The `POLICY` of a deployment: every accepted policy can be promised.

use std::time::Duration;

use newsreel_core::read::policy::{MAX_POLICY_TIME, MIN_LAG_BOUND, OTHER, Policies};

/// The JSON of the variable.
pub(crate) fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let policies = match Policies::from_json(text) {
        Ok(policies) => policies,
        Err(error) => return assert!(error.to_string().contains("POLICY")),
    };
    assert_eq!(policies.check(), Ok(()));
    let mut tightest = Duration::MAX;
    for (class, policy) in policies.classes() {
        assert!(!class.is_empty() && !class.contains(':'), "{class:?} is the class of a key");
        assert!(!policy.ttl.is_zero());
        assert!([policy.ttl, policy.stale_for, policy.lag_bound].iter().all(|time| *time <= MAX_POLICY_TIME));
        assert!(policy.lag_bound.is_zero() || policy.lag_bound >= MIN_LAG_BOUND);
        assert!(policy.ttl + policy.stale_for <= policies.longest_life());
        for age in policy.ages() {
            assert!(age.total() <= 2 * MAX_POLICY_TIME + policy.lag_bound);
        }
        if !policy.lag_bound.is_zero() {
            tightest = tightest.min(policy.lag_bound);
        }
        assert!(class == OTHER || policies.of(class) == *policy);
    }
    assert!(tightest == Duration::MAX || policies.tightest_bound() == tightest);
    let life = policies.longest_life();
    assert!(
        policies.check_horizon(life).is_err(),
        "what is served as long as it is remembered is served too long"
    );
    assert_eq!(policies.check_horizon(life + Duration::from_millis(1)), Ok(()));
}

//! The policies of classes of keys. JavaScript has the table of defaults and refuses impossible values.

use std::time::Duration;

use newsreel_core::read::policy::{OTHER, OnInvalidate, OnUnprovable, OriginCacheControl, Policy};

/// The behaviour when the lag bound of a class cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BeyondBound {
    /// Serve the kept entry, marked as stale.
    Stale,
    /// Fail the read, even if an entry is kept.
    Fail,
    /// Fetch from the origin: its current value keeps every bound.
    Fetch,
}

/// The policy of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Promise {
    pub(super) ttl: Duration,
    pub(super) stale_for: Duration,
    pub(super) lag_bound: Duration,
    pub(super) beyond_bound: BeyondBound,
}

/// The policies of all classes.
#[derive(Debug, Default)]
pub(super) struct Classes {
    named: Vec<(String, Promise)>,
}

impl Classes {
    /// Sets the policy of a class; the class `other` stands for every class that is not named.
    pub(super) fn say(&mut self, class: String, promise: Promise) {
        self.named.retain(|(named, _)| *named != class);
        self.named.push((class, promise));
    }

    /// Returns the policy of a read, and its behaviour beyond the bound. Options of the read come before
    /// those of its class.
    pub(super) fn of(
        &self,
        class: &str,
        bound: Option<Duration>,
        word: Option<BeyondBound>,
    ) -> (Policy, BeyondBound) {
        let find = |class: &str| self.named.iter().find(|(named, _)| named == class);
        let said = find(class).or_else(|| find(OTHER)).map(|(_, promise)| *promise);
        let Promise { ttl, stale_for, lag_bound, beyond_bound } = said.unwrap_or(Promise::NONE);
        let wanted = word.unwrap_or(beyond_bound);
        let beyond_bound = if wanted == BeyondBound::Fail { OnUnprovable::Fail } else { OnUnprovable::Stale };
        let (lag_bound, on_bump) = (bound.unwrap_or(lag_bound), OnInvalidate::Delete);
        let (quorum, origin_cache_control) = (false, OriginCacheControl::Ignore);
        let policy =
            Policy { ttl, stale_for, lag_bound, beyond_bound, on_bump, quorum, origin_cache_control };
        (policy, wanted)
    }
}

impl Promise {
    /// The policy of a class without one: every read fetches.
    const NONE: Self = Self {
        ttl: Duration::ZERO,
        stale_for: Duration::ZERO,
        lag_bound: Duration::ZERO,
        beyond_bound: BeyondBound::Fetch,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promise(seconds: u64, beyond_bound: BeyondBound) -> Promise {
        let bound = Duration::from_secs(seconds);
        Promise { ttl: bound * 10, stale_for: bound * 20, lag_bound: bound, beyond_bound }
    }

    #[test]
    fn a_class_that_is_not_named_gets_the_common_promise() {
        let mut classes = Classes::default();
        classes.say("title".to_owned(), promise(7, BeyondBound::Fail));
        assert_eq!(classes.of("fare", None, None).1, BeyondBound::Fetch, "nothing was promised");
        classes.say(OTHER.to_owned(), promise(1, BeyondBound::Fetch));
        classes.say(OTHER.to_owned(), promise(2, BeyondBound::Stale));
        let (policy, beyond_bound) = classes.of("fare", None, None);
        assert_eq!(
            (policy.lag_bound, policy.beyond_bound, beyond_bound),
            (Duration::from_secs(2), OnUnprovable::Stale, BeyondBound::Stale)
        );
        let (policy, beyond_bound) = classes.of("title", None, None);
        assert_eq!(
            (policy.ttl, policy.beyond_bound, beyond_bound),
            (Duration::from_secs(70), OnUnprovable::Fail, BeyondBound::Fail)
        );
    }

    #[test]
    fn a_read_may_want_something_else() {
        let mut classes = Classes::default();
        classes.say("title".to_owned(), promise(7, BeyondBound::Fail));
        let (policy, beyond_bound) = classes.of("title", Some(Duration::ZERO), Some(BeyondBound::Fetch));
        assert_eq!(
            (policy.lag_bound, policy.beyond_bound, beyond_bound),
            (Duration::ZERO, OnUnprovable::Stale, BeyondBound::Fetch)
        );
    }
}

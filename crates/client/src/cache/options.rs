//! What each class of keys promises, as JavaScript tells it. The table of defaults and what cannot be are its matter.

use std::time::Duration;

use newsreel_core::read::policy::{OTHER, OnInvalidate, OnUnprovable, Policy};

/// What is done when the bound of a class cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unkept {
    /// What is there is served, marked stale.
    Stale,
    /// The read fails.
    Fail,
    /// The origin is asked anew: the newest there is keeps every bound.
    Fetch,
}

/// What one class promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Promise {
    pub(super) ttl: Duration,
    pub(super) stale_for: Duration,
    pub(super) lag_bound: Duration,
    pub(super) unkept: Unkept,
}

/// What each class promises.
#[derive(Debug, Default)]
pub(super) struct Classes {
    named: Vec<(String, Promise)>,
}

impl Classes {
    /// Says what a class promises, or `other` every class that is not named.
    pub(super) fn say(&mut self, class: String, promise: Promise) {
        self.named.retain(|(named, _)| *named != class);
        self.named.push((class, promise));
    }

    /// Returns the policy of a class, or of a read that wants something else, and what is done beyond its bound.
    pub(super) fn of(&self, class: &str, bound: Option<Duration>, word: Option<Unkept>) -> (Policy, Unkept) {
        let find = |class: &str| self.named.iter().find(|(named, _)| named == class);
        let said = find(class).or_else(|| find(OTHER)).map(|(_, promise)| *promise);
        let Promise { ttl, stale_for, lag_bound, unkept } = said.unwrap_or(Promise::NONE);
        let unkept = word.unwrap_or(unkept);
        let beyond_bound = if unkept == Unkept::Fail { OnUnprovable::Fail } else { OnUnprovable::Stale };
        let (lag_bound, on_bump) = (bound.unwrap_or(lag_bound), OnInvalidate::Delete);
        (Policy { ttl, stale_for, lag_bound, beyond_bound, on_bump, quorum: false }, unkept)
    }
}

impl Promise {
    /// Of a class of which nothing was said: everything is fetched anew.
    const NONE: Self = Self {
        ttl: Duration::ZERO,
        stale_for: Duration::ZERO,
        lag_bound: Duration::ZERO,
        unkept: Unkept::Fetch,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promise(seconds: u64, unkept: Unkept) -> Promise {
        let bound = Duration::from_secs(seconds);
        Promise { ttl: bound * 10, stale_for: bound * 20, lag_bound: bound, unkept }
    }

    #[test]
    fn a_class_that_is_not_named_gets_the_common_promise() {
        let mut classes = Classes::default();
        classes.say("title".to_owned(), promise(7, Unkept::Fail));
        assert_eq!(classes.of("fare", None, None).1, Unkept::Fetch, "nothing was promised");
        classes.say(OTHER.to_owned(), promise(1, Unkept::Fetch));
        classes.say(OTHER.to_owned(), promise(2, Unkept::Stale));
        let (policy, unkept) = classes.of("fare", None, None);
        assert_eq!(
            (policy.lag_bound, policy.beyond_bound, unkept),
            (Duration::from_secs(2), OnUnprovable::Stale, Unkept::Stale)
        );
        let (policy, unkept) = classes.of("title", None, None);
        assert_eq!(
            (policy.ttl, policy.beyond_bound, unkept),
            (Duration::from_secs(70), OnUnprovable::Fail, Unkept::Fail)
        );
    }

    #[test]
    fn a_read_may_want_something_else() {
        let mut classes = Classes::default();
        classes.say("title".to_owned(), promise(7, Unkept::Fail));
        let (policy, unkept) = classes.of("title", Some(Duration::ZERO), Some(Unkept::Fetch));
        assert_eq!(
            (policy.lag_bound, policy.beyond_bound, unkept),
            (Duration::ZERO, OnUnprovable::Stale, Unkept::Fetch)
        );
    }
}

//! From measurements to alerts: each is raised once, gets worse or better, and is resolved.
//!
//! A level is raised when every measurement has been at least that bad for [`HOLD`], and left when every measurement has
//! been clear of its threshold, by a margin, for [`CLEAR`]. A value that swings around a threshold therefore raises one
//! alert and not many. A measurement of too few observations says nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rules::Level;
use super::settings::Thresholds;
use crate::wire::UnixMillis;

/// How long measurements have to be bad before an alert is raised or gets worse.
pub const HOLD: Duration = Duration::from_secs(60);
/// How long measurements have to be good before an alert gets better or is resolved.
pub const CLEAR: Duration = Duration::from_secs(300);
/// How long an alert stands of which nothing can be measured any more.
pub const QUIET: Duration = Duration::from_secs(1_800);
/// How many subjects are judged; further ones are not.
const MAX_SUBJECTS: usize = 1_024;

/// What has an alert of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    /// The rule.
    pub rule: String,
    /// The class of keys, if the rule is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
}

/// A measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// The value.
    pub value: f64,
    /// How many observations it is made of.
    pub of: u64,
}

/// A change of level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// What changed.
    #[serde(flatten)]
    pub subject: Subject,
    /// The level from now on.
    pub level: Level,
    /// When the level was reached.
    pub at: UnixMillis,
    /// The value that was measured last.
    pub value: f64,
    /// The threshold of the level, or of the one that was left.
    pub threshold: f64,
}

/// What an edge tells of its alerts: the body of `POST alerts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The edge.
    pub edge: String,
    /// Changes of level. What is open may be told again.
    pub transitions: Vec<Transition>,
}

/// The subjects that were measured, and what is known of each. Its JSON is what a replica keeps.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Judge {
    states: Vec<(Subject, State)>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct State {
    level: Level,
    /// When the subject was last measured of enough observations.
    measured_at: UnixMillis,
    /// Since when every measurement is worse than the level, and the least bad of them.
    worse: Option<(UnixMillis, Level)>,
    /// Since when every measurement is clear of the level, and the worst of them.
    better: Option<(UnixMillis, Level)>,
    /// The last change of level, while it is not [`Level::Ok`].
    open: Option<Transition>,
}

impl Judge {
    /// Takes a measurement of a subject, and returns how its level changed.
    pub fn judge(
        &mut self,
        now: UnixMillis,
        subject: &Subject,
        thresholds: &Thresholds,
        measured: Option<Measured>,
    ) -> Option<Transition> {
        let measured = measured.filter(|measured| measured.of >= thresholds.least);
        let at = match self.states.binary_search_by(|(known, _)| known.cmp(subject)) {
            Ok(at) => at,
            Err(at) if measured.is_some() && self.states.len() < MAX_SUBJECTS => {
                self.states.insert(at, (subject.clone(), State::default()));
                at
            }
            Err(_) => return None,
        };
        let (_, state) = self.states.get_mut(at)?;
        let transition = state.judge(now, subject, thresholds, measured);
        if state.level == Level::Ok && state.worse.is_none() {
            self.states.remove(at);
        }
        transition
    }

    /// Resolves the alerts of subjects that `is_judged` says are judged no more, such as those of a rule that is off.
    pub fn retain(&mut self, now: UnixMillis, is_judged: impl Fn(&Subject) -> bool) -> Vec<Transition> {
        let mut resolved = Vec::new();
        self.states.retain(|(subject, state)| {
            let stays = is_judged(subject);
            if let (false, Some(open)) = (stays, &state.open) {
                resolved.push(Transition { level: Level::Ok, at: now, ..open.clone() });
            }
            stays
        });
        resolved
    }

    /// Returns the alerts that are open, as they were raised: who hears them again hears nothing new.
    pub fn open(&self) -> impl Iterator<Item = &Transition> {
        self.states.iter().filter_map(|(_, state)| state.open.as_ref())
    }

    /// Returns the subjects that have a state, by name.
    #[must_use]
    pub fn levels(&self) -> BTreeMap<&Subject, Level> {
        self.states.iter().map(|(subject, state)| (subject, state.level)).collect()
    }
}

impl State {
    fn judge(
        &mut self,
        now: UnixMillis,
        subject: &Subject,
        thresholds: &Thresholds,
        measured: Option<Measured>,
    ) -> Option<Transition> {
        let Some(Measured { value, .. }) = measured else {
            (self.worse, self.better) = (None, None);
            let is_quiet = self.level > Level::Ok && now.since(self.measured_at) >= QUIET;
            let value = self.open.as_ref().map_or(0.0, |open| open.value);
            return is_quiet.then(|| self.reach(Level::Ok, now, subject, thresholds, value));
        };
        self.measured_at = now;
        let level = thresholds.level(value);
        self.worse = (level > self.level).then(|| match self.worse {
            Some((since, least)) => (since, least.min(level)),
            None => (now, level),
        });
        let is_better = level < self.level && thresholds.is_clear_of(value, self.level);
        self.better = is_better.then(|| match self.better {
            Some((since, worst)) => (since, worst.max(level)),
            None => (now, level),
        });
        let reached = match (self.worse, self.better) {
            (Some((since, level)), _) if now.since(since) >= HOLD => Some(level),
            (_, Some((since, level))) if now.since(since) >= CLEAR => Some(level),
            _ => None,
        };
        reached.map(|level| self.reach(level, now, subject, thresholds, value))
    }

    fn reach(
        &mut self,
        level: Level,
        now: UnixMillis,
        subject: &Subject,
        thresholds: &Thresholds,
        value: f64,
    ) -> Transition {
        let threshold = thresholds.of(level);
        let transition = Transition { subject: subject.clone(), level, at: now, value, threshold };
        (self.level, self.worse, self.better) = (level, None, None);
        self.open = (level > Level::Ok).then(|| transition.clone());
        transition
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::{AlertSettings, Rule};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Measures the hit rate of a class every 30 s.
    struct Class {
        judge: Judge,
        now: UnixMillis,
    }

    fn class() -> Class {
        Class { judge: Judge::default(), now: UnixMillis(1_000_000) }
    }

    impl Class {
        /// Measures these values, and returns the levels that were reached.
        fn sees(&mut self, values: impl IntoIterator<Item = f64>) -> Vec<Level> {
            values.into_iter().filter_map(|value| self.measures(Some(Measured { value, of: 500 }))).collect()
        }

        fn measures(&mut self, measured: Option<Measured>) -> Option<Level> {
            self.now = self.now.plus(Duration::from_secs(30));
            // What is kept is what goes on.
            self.judge = serde_json::from_str(&serde_json::to_string(&self.judge).unwrap()).unwrap();
            let subject = Subject { rule: "hit-rate".to_owned(), class: Some("title".to_owned()) };
            let thresholds =
                AlertSettings::default().of(Rule::named("hit-rate").unwrap(), Some("title")).unwrap();
            self.judge.judge(self.now, &subject, &thresholds, measured).map(|transition| transition.level)
        }
    }

    #[test]
    fn what_is_bad_for_a_minute_is_raised_once_gets_worse_and_is_resolved() {
        let mut class = class();
        assert_eq!(class.sees([0.95, 0.89, 0.88]), []);
        assert_eq!(class.sees([0.87]), [Level::Warning]);
        assert_eq!(class.sees([0.86; 20]), []);
        assert_eq!(class.sees([0.5, 0.5, 0.5, 0.5]), [Level::Critical]);
        assert_eq!(class.judge.open().map(|open| open.threshold).collect::<Vec<_>>(), [0.8]);
        assert_eq!(class.sees([0.95; 10]), []);
        assert_eq!(class.sees([0.95]), [Level::Ok]);
        assert_eq!(class.judge, Judge::default(), "nothing is kept of a subject that is well");
    }

    #[test]
    fn a_value_that_swings_around_the_threshold_raises_one_alert() {
        let mut class = class();
        assert_eq!(class.sees([0.85; 3]), [Level::Warning]);
        assert_eq!(class.sees([0.905, 0.89].repeat(200)), []);
        assert_eq!(class.sees([0.95, 0.95, 0.89].repeat(50)), [], "never good for five minutes on end");
        let mut other = self::class();
        assert_eq!(other.sees([0.85, 0.95].repeat(200)), [], "never bad for a minute on end");
    }

    #[test]
    fn a_critical_alert_may_become_a_warning_again() {
        let mut class = class();
        assert_eq!(class.sees([0.1; 3]), [Level::Critical], "the least bad of the minute counts");
        assert_eq!(class.sees([0.85; 11]), [Level::Warning]);
        assert_eq!(class.sees([0.1, 0.1, 0.85]), []);
        assert_eq!(class.sees([1.0; 11]), [Level::Ok]);
    }

    #[test]
    fn too_few_observations_raise_nothing_and_silence_resolves_after_half_an_hour() {
        let mut class = class();
        let few = Some(Measured { value: 0.0, of: 99 });
        assert!((0..20).all(|_| class.measures(few).is_none()));
        assert_eq!(class.judge, Judge::default());
        assert_eq!(class.sees([0.1; 3]), [Level::Critical]);
        assert!((0..59).all(|_| class.measures(few).is_none()));
        assert_eq!(class.measures(None), Some(Level::Ok));
    }

    #[test]
    fn a_rule_that_is_off_has_no_alert() {
        let mut class = class();
        class.sees([0.1; 3]);
        assert_eq!(class.judge.retain(class.now, |_| true), []);
        let resolved = class.judge.retain(class.now, |subject| subject.rule != "hit-rate");
        assert_eq!(resolved.iter().map(|resolved| resolved.level).collect::<Vec<_>>(), [Level::Ok]);
        assert_eq!(class.judge, Judge::default());
    }
}

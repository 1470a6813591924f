//! The sources of a catalog: processes outside that publish what changes elsewhere, and say again and again how late they are.
//!
//! The board judges each by the rule `source-late`. A source that is not heard of in time is as late as it said, and later by
//! every second since: a process that died says nothing, and neither does one that cannot reach the deployment.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::judge::{Judge, Measured, Subject, Transition};
use super::rules::Rule;
use super::settings::AlertSettings;
use crate::wire::{UnixMillis, json};

/// The rule by which a source is judged.
pub const RULE: &str = "source-late";
/// How many sources a catalog has.
pub const MAX_SOURCES: usize = 100;
/// The longest name of a source, in characters.
pub const MAX_SOURCE_CHARS: usize = 256;
/// The most time from one report of a source to the next.
pub const MAX_AGAIN: Duration = Duration::from_secs(3_600);
/// How long a source that is not heard of any more is remembered.
pub const REMEMBERED_FOR: Duration = Duration::from_secs(24 * 3_600);

/// The least time between two judgements of a source that is not heard of.
const LEAST_PAUSE: Duration = Duration::from_secs(1);
/// The most time between them: the board forgets an alert that nobody repeats for half an hour.
const MOST_PAUSE: Duration = Duration::from_secs(60);

/// The report of a source on its own lateness: the body of `POST sources`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceReport {
    /// The name of the source, the same after each start.
    pub source: String,
    /// How late the source is, in milliseconds.
    #[serde(deserialize_with = "json::whole")]
    pub late_ms: u64,
    /// How many publishes became durable since the last report.
    #[serde(default, deserialize_with = "json::whole")]
    pub publishes: u64,
    /// How soon the source reports again, in milliseconds.
    #[serde(deserialize_with = "json::whole")]
    pub again_ms: u64,
}

/// A source, as `GET alerts` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownSource {
    /// The name of the source, as its reports give it.
    pub name: String,
    /// How late the source said that it is.
    pub late_ms: u64,
    /// When the source was last heard of.
    pub heard_at: UnixMillis,
}

/// Why a report is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// The name cannot be one.
    #[error("a source has a name of 1 to {MAX_SOURCE_CHARS} characters, none of them a control character")]
    Name,
    /// A number is out of its bounds.
    #[error("late_ms is below 2^53, and again_ms from 1 to {}", MAX_AGAIN.as_millis())]
    Number,
    /// There are too many others.
    #[error(
        "the catalog has {MAX_SOURCES} sources already: take away one that is gone, `newsreel alerts forget NAME`"
    )]
    TooMany,
}

/// The sources of a catalog. Its JSON is what the board keeps.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Sources {
    sources: BTreeMap<String, Source>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Source {
    late_ms: u64,
    again_ms: u64,
    heard_at: UnixMillis,
    /// When the source is judged by its silence.
    due: UnixMillis,
    judge: Judge,
}

impl SourceReport {
    /// Says whether the report can be taken.
    ///
    /// # Errors
    /// [`ReportError`] says what to write.
    pub fn check(&self) -> Result<(), ReportError> {
        let Self { source, late_ms, publishes, again_ms } = self;
        if source.is_empty() || source.chars().count() > MAX_SOURCE_CHARS || source.contains(char::is_control)
        {
            return Err(ReportError::Name);
        }
        let again = Duration::from_millis(*again_ms);
        let fits = (*late_ms | *publishes) < 1 << 53 && !again.is_zero() && again <= MAX_AGAIN;
        if fits { Ok(()) } else { Err(ReportError::Number) }
    }
}

impl Sources {
    /// Takes what a source says of itself, and returns what the board is to hear of it.
    ///
    /// # Errors
    /// [`ReportError`] says what to write; nothing is taken then.
    pub fn hear(
        &mut self,
        report: &SourceReport,
        settings: &AlertSettings,
        now: UnixMillis,
    ) -> Result<Vec<Transition>, ReportError> {
        report.check()?;
        let SourceReport { source: name, late_ms, publishes, again_ms } = report;
        if self.sources.len() >= MAX_SOURCES && !self.sources.contains_key(name) {
            return Err(ReportError::TooMany);
        }
        let again = Duration::from_millis(*again_ms);
        let judge = self.sources.remove(name).map(|known| known.judge).unwrap_or_default();
        let mut source = Source {
            late_ms: *late_ms,
            again_ms: *again_ms,
            heard_at: now,
            due: now.plus(again + again / 2 + LEAST_PAUSE),
            judge,
        };
        let heard = source.judge(*late_ms, (*publishes).max(1), settings, now);
        self.sources.insert(name.clone(), source);
        Ok(heard)
    }

    /// Judges the sources that should have been heard of by now. Returns what the board is to hear of each.
    pub fn watch(&mut self, settings: &AlertSettings, now: UnixMillis) -> Vec<(String, Transition)> {
        let mut heard = Vec::new();
        self.sources.retain(|name, source| {
            if source.due > now {
                return true;
            }
            let silent = now.since(source.heard_at);
            if silent >= REMEMBERED_FOR {
                let resolved = source.judge.retain(now, |_| false);
                heard.extend(resolved.into_iter().map(|one| (name.clone(), one)));
                return false;
            }
            let again = Duration::from_millis(source.again_ms);
            source.due = now.plus(again.clamp(LEAST_PAUSE, MOST_PAUSE));
            let late = source.late_ms.saturating_add(u64::try_from(silent.as_millis()).unwrap_or(u64::MAX));
            heard.extend(
                source.judge(late, u64::MAX, settings, now).into_iter().map(|one| (name.clone(), one)),
            );
            true
        });
        heard
    }

    /// Forgets a source, and returns what the board is to hear of it; `None` if there is none of that name.
    pub fn forget(&mut self, name: &str, now: UnixMillis) -> Option<Vec<Transition>> {
        let mut source = self.sources.remove(name)?;
        Some(source.judge.retain(now, |_| false))
    }

    /// Returns when [`Sources::watch`] has something to do at the latest.
    #[must_use]
    pub fn due(&self) -> Option<UnixMillis> {
        self.sources.values().map(|source| source.due).min()
    }

    /// Returns the sources by name.
    #[must_use]
    pub fn shown(&self) -> Vec<ShownSource> {
        let shown = |(name, source): (&String, &Source)| ShownSource {
            name: name.clone(),
            late_ms: source.late_ms,
            heard_at: source.heard_at,
        };
        self.sources.iter().map(shown).collect()
    }
}

impl Source {
    /// Judges how late the source is. Returns the changes, and what stays open.
    fn judge(&mut self, late_ms: u64, of: u64, settings: &AlertSettings, now: UnixMillis) -> Vec<Transition> {
        let rule = Rule::named(RULE).expect("the rule of sources is in the table");
        let Some(thresholds) = settings.of(rule, None) else { return self.judge.retain(now, |_| false) };
        let subject = Subject { rule: RULE.to_owned(), class: None };
        #[expect(clippy::cast_precision_loss, reason = "a time needs no 53 bits")]
        let measured = Measured { value: late_ms as f64, of };
        let changed = self.judge.judge(now, &subject, &thresholds, Some(measured));
        match changed {
            Some(changed) => vec![changed],
            None => self.judge.open().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::Level;
    use serde_json::json;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// A board that hears of one source every minute.
    struct Heard {
        sources: Sources,
        settings: AlertSettings,
        now: UnixMillis,
    }

    fn heard() -> Heard {
        Heard { sources: Sources::default(), settings: AlertSettings::default(), now: UnixMillis(1_000_000) }
    }

    fn report(source: &str, late_s: u64) -> SourceReport {
        SourceReport { source: source.to_owned(), late_ms: late_s * 1_000, publishes: 0, again_ms: 60_000 }
    }

    impl Heard {
        /// Hears these, a minute apart, and returns the levels that the board is told.
        fn says(&mut self, late_s: &[u64]) -> Vec<Level> {
            let mut levels = Vec::new();
            for late_s in late_s {
                self.now = self.now.plus(Duration::from_secs(60));
                let told = self.sources.hear(&report("pg", *late_s), &self.settings, self.now).unwrap();
                levels.extend(told.into_iter().map(|one| one.level));
            }
            levels
        }

        /// Lets minutes pass in silence, and returns the levels that the board is told. What is kept is what goes on.
        fn silence(&mut self, minutes: u64) -> Vec<Level> {
            let end = self.now.plus(Duration::from_secs(60 * minutes));
            let mut levels = Vec::new();
            while let Some(due) = self.sources.due().filter(|due| *due <= end) {
                self.now = due;
                self.sources = serde_json::from_str(&serde_json::to_string(&self.sources).unwrap()).unwrap();
                let told = self.sources.watch(&self.settings, self.now);
                levels.extend(told.into_iter().map(|(name, one)| (assert_eq!(name, "pg"), one.level).1));
            }
            self.now = end;
            levels
        }
    }

    #[test]
    fn a_source_that_is_late_for_a_minute_is_told_of_until_it_is_well() {
        let mut heard = heard();
        assert_eq!(heard.says(&[1, 2, 90]), []);
        assert_eq!(heard.says(&[95]), [Level::Warning]);
        assert_eq!(heard.says(&[400, 400]), [Level::Warning, Level::Critical], "what is open is told again");
        let over = heard.says(&[0; 6]);
        assert_eq!(over, [vec![Level::Critical; 5], vec![Level::Ok]].concat());
        assert_eq!(heard.says(&[0, 0]), []);
    }

    #[test]
    fn a_source_that_is_not_heard_of_is_later_by_every_second() {
        let mut heard = heard();
        heard.says(&[0]);
        assert_eq!(heard.silence(1), [], "its next report may be on its way");
        let told = heard.silence(6);
        assert_eq!(told.first(), Some(&Level::Warning), "{told:?}");
        assert_eq!(told.last(), Some(&Level::Critical), "{told:?}");
        let over = heard.says(&[0; 6]);
        assert_eq!(over.last(), Some(&Level::Ok));
    }

    #[test]
    fn a_source_that_stays_away_is_forgotten_after_a_day_or_when_told() {
        let mut heard = heard();
        heard.says(&[0]);
        let told = heard.silence(25 * 60);
        assert_eq!(told.last(), Some(&Level::Ok));
        assert_eq!((heard.sources.due(), heard.sources.shown()), (None, Vec::new()));
        heard.says(&[400, 400]);
        let told = heard.sources.forget("pg", heard.now).unwrap();
        assert_eq!(told.iter().map(|one| one.level).collect::<Vec<_>>(), [Level::Ok]);
        assert_eq!(heard.sources.forget("pg", heard.now), None);
    }

    #[test]
    fn a_deployment_sets_the_thresholds_or_switches_the_rule_off() {
        let mut heard = heard();
        heard.settings = AlertSettings::read(Some(&json!({ RULE: { "warning": 1_000 } }))).unwrap();
        assert_eq!(heard.says(&[2, 2]), [Level::Warning]);
        heard.settings = AlertSettings::read(Some(&json!({ RULE: { "off": true } }))).unwrap();
        assert_eq!(heard.says(&[2, 2]), [Level::Ok]);
    }

    #[test]
    fn reports_that_are_none_are_refused() {
        let mut heard = heard();
        let fits = report("pg", 1);
        let long = "é".repeat(MAX_SOURCE_CHARS + 1);
        for bad in ["", "a\nb", &long] {
            assert_eq!(
                SourceReport { source: bad.to_owned(), ..fits.clone() }.check(),
                Err(ReportError::Name)
            );
        }
        for again_ms in [0, 3_600_001] {
            assert_eq!(SourceReport { again_ms, ..fits.clone() }.check(), Err(ReportError::Number));
        }
        assert_eq!(SourceReport { late_ms: 1 << 53, ..fits.clone() }.check(), Err(ReportError::Number));
        for n in 0..MAX_SOURCES {
            heard.sources.hear(&report(&n.to_string(), 0), &heard.settings, heard.now).unwrap();
        }
        let told = heard.sources.hear(&fits, &heard.settings, heard.now);
        assert_eq!(told, Err(ReportError::TooMany));
        assert_eq!(heard.sources.hear(&report("7", 0), &heard.settings, heard.now), Ok(Vec::new()));
    }
}

//! What a deployment changes of the rules: the variable `ALERTS`, a table for each rule.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::rules::{Level, RULES, Rule, Unit, Worse};

/// The longest window: the finest series keep an hour.
const MAX_WINDOW_S: u64 = 3_600;

/// The thresholds of a rule for a class or an edge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// The rule.
    pub rule: &'static Rule,
    /// The threshold of a warning.
    pub warning: f64,
    /// The threshold of a critical alert.
    pub critical: f64,
    /// How much time a measurement covers.
    pub window: Duration,
    /// How many observations a measurement needs.
    pub least: u64,
}

/// The rules of a deployment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AlertSettings {
    rules: BTreeMap<String, Change>,
}

/// A deployment's change of a rule.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Change {
    off: bool,
    warning: Option<f64>,
    critical: Option<f64>,
    window_s: Option<u64>,
    least: Option<u64>,
    classes: BTreeMap<String, ClassChange>,
}

/// A deployment's change of a rule for one class.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ClassChange {
    off: bool,
    warning: Option<f64>,
    critical: Option<f64>,
    least: Option<u64>,
}

/// Why the rules of a deployment cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AlertsError {
    /// `ALERTS` is no table of rules.
    #[error("ALERTS is a table for each rule ({names}): {0}", names = names())]
    NotATable(String),
    /// There is no such rule.
    #[error("ALERTS.{0} is no rule: the rules are {names}", names = names())]
    Unknown(String),
    /// The table of a rule cannot be read.
    #[error("ALERTS.{rule}: {why}")]
    Rule {
        /// The rule.
        rule: String,
        /// The reason, with what to write.
        why: String,
    },
}

fn names() -> String {
    RULES.iter().map(|rule| rule.id).collect::<Vec<_>>().join(", ")
}

impl AlertSettings {
    /// Reads the variable.
    ///
    /// # Errors
    /// [`AlertsError`] names the rule and says what to write.
    pub fn read(given: Option<&Value>) -> Result<Self, AlertsError> {
        let table = match given {
            None | Some(Value::Null) => return Ok(Self::default()),
            Some(Value::String(json)) if json.trim().is_empty() => return Ok(Self::default()),
            Some(Value::String(json)) => {
                serde_json::from_str(json).map_err(|why| AlertsError::NotATable(why.to_string()))?
            }
            Some(table) => table.clone(),
        };
        let Value::Object(table) = table else {
            return Err(AlertsError::NotATable(format!("{table} is none")));
        };
        let mut rules = BTreeMap::new();
        for (id, change) in table {
            let rule = Rule::named(&id).ok_or_else(|| AlertsError::Unknown(id.clone()))?;
            let fails = |why: String| AlertsError::Rule { rule: id.clone(), why };
            let change: Change = serde_json::from_value(change).map_err(|why| fails(why.to_string()))?;
            change.check(rule).map_err(fails)?;
            rules.insert(id, change);
        }
        Ok(Self { rules })
    }

    /// Returns the thresholds of a rule for a class, or for an edge as a whole; none if the rule is off.
    #[must_use]
    pub fn of(&self, rule: &'static Rule, class: Option<&str>) -> Option<Thresholds> {
        let none = Change::default();
        let change = self.rules.get(rule.id).unwrap_or(&none);
        let of_class = class.and_then(|class| change.classes.get(class));
        if of_class.map_or(change.off, |of_class| of_class.off) {
            return None;
        }
        let pick = |of_class: Option<f64>, of_rule: Option<f64>, own| of_class.or(of_rule).unwrap_or(own);
        Some(Thresholds {
            rule,
            warning: pick(of_class.and_then(|of| of.warning), change.warning, rule.warning),
            critical: pick(of_class.and_then(|of| of.critical), change.critical, rule.critical),
            window: self.window(rule),
            least: of_class.and_then(|of| of.least).or(change.least).unwrap_or(rule.least),
        })
    }

    /// Returns how much time a measurement of a rule covers.
    #[must_use]
    pub fn window(&self, rule: &Rule) -> Duration {
        let changed = self.rules.get(rule.id).and_then(|change| change.window_s);
        changed.map_or(rule.window, Duration::from_secs)
    }

    /// Returns the values that are taken as a JSON Schema.
    #[must_use]
    pub fn schema() -> Value {
        let numbers = json!({
            "off": { "type": "boolean" },
            "warning": { "type": "number" },
            "critical": { "type": "number" },
            "least": { "type": "integer", "minimum": 0 },
        });
        let class = json!({ "type": "object", "additionalProperties": false, "properties": numbers });
        let mut fields = numbers;
        if let Some(fields) = fields.as_object_mut() {
            fields.insert(
                "window_s".to_owned(),
                json!({ "type": "integer", "minimum": 10, "maximum": MAX_WINDOW_S }),
            );
            fields.insert("classes".to_owned(), json!({ "type": "object", "additionalProperties": class }));
        }
        let of_rule = |rule: &Rule| {
            let table = json!({
                "type": "object", "description": rule.measures, "additionalProperties": false, "properties": fields,
            });
            (rule.id.to_owned(), table)
        };
        let rules: serde_json::Map<String, Value> = RULES.iter().map(of_rule).collect();
        json!({
            "anyOf": [
                { "type": "object", "additionalProperties": false, "properties": rules },
                { "type": "string" },
            ],
        })
    }
}

impl Change {
    fn check(&self, rule: &Rule) -> Result<(), String> {
        if self.window_s.is_some_and(|window| !(10..=MAX_WINDOW_S).contains(&window)) {
            return Err(format!("window_s is a whole number from 10 to {MAX_WINDOW_S}"));
        }
        check_pair("", self.warning, self.critical, rule)?;
        for (class, change) in &self.classes {
            let warning = change.warning.or(self.warning);
            let critical = change.critical.or(self.critical);
            check_pair(&format!("classes.{class}: "), warning, critical, rule)?;
        }
        Ok(())
    }
}

/// Checks that a critical alert is worse than a warning, and that a share is one.
fn check_pair(at: &str, warning: Option<f64>, critical: Option<f64>, rule: &Rule) -> Result<(), String> {
    let (warning, critical) = (warning.unwrap_or(rule.warning), critical.unwrap_or(rule.critical));
    let is_share = |value: f64| (0.0..=1.0).contains(&value);
    if rule.unit == Unit::Share && !(is_share(warning) && is_share(critical)) {
        return Err(format!("{at}thresholds are shares from 0 to 1: write 0.9 for 90 %"));
    }
    let (words, in_order) = match rule.worse {
        Worse::Above => ("above", critical >= warning),
        Worse::Below => ("below", critical <= warning),
    };
    if in_order {
        return Ok(());
    }
    Err(format!(
        "{at}critical is {critical} and warning {warning}: write a critical that is not less bad, so {words} it"
    ))
}

impl Thresholds {
    /// Returns how bad a value is.
    #[must_use]
    pub fn level(&self, value: f64) -> Level {
        if self.is_beyond(value, self.critical) {
            Level::Critical
        } else if self.is_beyond(value, self.warning) {
            Level::Warning
        } else {
            Level::Ok
        }
    }

    /// Returns the threshold of a level; of [`Level::Ok`] the one of a warning.
    #[must_use]
    pub fn of(&self, level: Level) -> f64 {
        if level == Level::Critical { self.critical } else { self.warning }
    }

    /// Says whether a value is so far from the threshold of a level that it will not be back at once: by a tenth of the
    /// threshold, or of what is left to 1 for a share that is worse below.
    #[must_use]
    pub fn is_clear_of(&self, value: f64, level: Level) -> bool {
        let threshold = self.of(level);
        match self.rule.worse {
            Worse::Above => value <= threshold * 0.9,
            Worse::Below => value >= threshold + (1.0 - threshold).max(0.0) * 0.1,
        }
    }

    fn is_beyond(&self, value: f64, threshold: f64) -> bool {
        match self.rule.worse {
            Worse::Above => value > threshold,
            Worse::Below => value < threshold,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn hit_rate(settings: &Value, class: &str) -> Option<Thresholds> {
        AlertSettings::read(Some(settings)).unwrap().of(Rule::named("hit-rate").unwrap(), Some(class))
    }

    #[track_caller]
    fn refused(settings: Value, why: &str) {
        let told = AlertSettings::read(Some(&settings)).unwrap_err().to_string();
        assert!(told.contains(why), "{told}");
    }

    #[test]
    fn rules_are_on_and_a_deployment_changes_them_by_class() {
        let of = hit_rate(&json!({}), "title").unwrap();
        assert_eq!((of.warning, of.critical, of.least), (0.9, 0.8, 100));
        let changed = json!({ "hit-rate": { "warning": 0.95, "window_s": 60, "classes": { "live": { "off": true }, "fare": { "warning": 0.85, "least": 9 } } } });
        let title = hit_rate(&changed, "title").unwrap();
        assert_eq!((title.warning, title.window), (0.95, Duration::from_secs(60)));
        let fare = hit_rate(&changed, "fare").unwrap();
        assert_eq!((fare.warning, fare.critical, fare.least), (0.85, 0.8, 9));
        assert_eq!(hit_rate(&changed, "live"), None);
        let only_live = json!({ "hit-rate": { "off": true, "classes": { "live": {} } } });
        assert!(hit_rate(&only_live, "title").is_none() && hit_rate(&only_live, "live").is_some());
        assert_eq!(AlertSettings::read(Some(&json!(""))), Ok(AlertSettings::default()));
    }

    #[test]
    fn mistakes_are_named_with_what_to_write() {
        refused(json!({ "hitrate": {} }), "ALERTS.hitrate is no rule: the rules are hit-rate, read-p99");
        refused(json!({ "hit-rate": { "warn": 1 } }), "ALERTS.hit-rate: unknown field `warn`");
        refused(json!({ "hit-rate": { "warning": 90 } }), "write 0.9 for 90 %");
        refused(json!({ "hit-rate": { "critical": 0.95 } }), "so below it");
        refused(
            json!({ "read-p99": { "classes": { "live": { "critical": 9 } } } }),
            "classes.live: critical is 9",
        );
        refused(json!({ "read-p99": { "window_s": 5 } }), "from 10 to 3600");
        refused(json!("{"), "ALERTS is a table for each rule");
        refused(json!(7), "7 is none");
    }

    #[test]
    fn a_value_is_clear_of_a_threshold_by_a_margin() {
        let of = hit_rate(&json!({}), "title").unwrap();
        assert_eq!(
            [0.95, 0.89, 0.79].map(|value| of.level(value)),
            [Level::Ok, Level::Warning, Level::Critical]
        );
        assert!(!of.is_clear_of(0.905, Level::Warning) && of.is_clear_of(0.911, Level::Warning));
        let p99 = AlertSettings::default().of(Rule::named("read-p99").unwrap(), None).unwrap();
        assert!(!p99.is_clear_of(49.0, Level::Warning) && p99.is_clear_of(45.0, Level::Warning));
    }
}

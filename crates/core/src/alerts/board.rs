//! The alerts of a catalog. Those of one rule and class at many edges are one alert, so that an origin that is down is one
//! message and not two hundred.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::judge::{Subject, Transition};
use super::rules::{Level, Rule};
use crate::wire::UnixMillis;

/// How long an alert stands that its edge does not repeat.
pub const FORGET: Duration = Duration::from_secs(1_800);
/// How many resolved alerts are kept.
const MAX_RESOLVED: usize = 100;
/// How many edges of an alert are kept by name.
const MAX_EDGES: usize = 1_000;

/// An alert, as `GET alerts` shows it and messages carry it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// The name of this occurrence.
    pub id: String,
    /// The rule, and the class if the rule is about one.
    #[serde(flatten)]
    pub subject: Subject,
    /// The worst level of the edges.
    pub severity: Level,
    /// When the first edge raised it.
    pub since: UnixMillis,
    /// The value at the worst edge.
    pub value: f64,
    /// The threshold that it is beyond.
    pub threshold: f64,
    /// The edges where it stands.
    pub edges: Vec<String>,
    /// All of it in a sentence.
    pub says: String,
    /// When it was resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<UnixMillis>,
}

/// What somebody is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A new alert.
    Raised,
    /// A warning that is critical now.
    Worse,
    /// A critical alert that is a warning now.
    Better,
    /// An alert that is over.
    Resolved,
}

/// A message to be sent: the alert at the moment of the change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// The name of the message, the same whenever it is sent.
    pub id: String,
    /// What changed.
    pub kind: Kind,
    /// When.
    pub at: UnixMillis,
    /// The alert.
    pub alert: Alert,
}

/// The alerts of a catalog. Its JSON is what the broker keeps.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Board {
    open: Vec<Open>,
    /// The last of those that are over, the newest last.
    resolved: Vec<Alert>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Open {
    subject: Subject,
    id: String,
    since: UnixMillis,
    severity: Level,
    /// How many messages told of it.
    notices: u64,
    edges: BTreeMap<String, AtEdge>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct AtEdge {
    level: Level,
    value: f64,
    threshold: f64,
    heard: UnixMillis,
}

impl Board {
    /// Takes what an edge says of a subject. The same again changes nothing but that it stands.
    pub fn hear(&mut self, edge: &str, transition: &Transition, now: UnixMillis) -> Option<Notice> {
        let Transition { subject, level, value, threshold, .. } = transition;
        let at = self.open.iter().position(|open| open.subject == *subject);
        let at = match at {
            Some(at) => at,
            None if *level == Level::Ok => return None,
            None => {
                let id =
                    format!("{}:{}:{}", subject.rule, subject.class.as_deref().unwrap_or_default(), now.0);
                let edges = BTreeMap::new();
                let subject = subject.clone();
                self.open.push(Open { subject, id, since: now, severity: Level::Ok, notices: 0, edges });
                self.open.len() - 1
            }
        };
        let open = self.open.get_mut(at)?;
        if *level == Level::Ok {
            open.edges.remove(edge);
        } else if open.edges.contains_key(edge) || open.edges.len() < MAX_EDGES {
            let at_edge = AtEdge { level: *level, value: *value, threshold: *threshold, heard: now };
            open.edges.insert(edge.to_owned(), at_edge);
        }
        self.settle(at, *value, *threshold, now)
    }

    /// Resolves what no edge has repeated for [`FORGET`].
    pub fn forget(&mut self, now: UnixMillis) -> Vec<Notice> {
        let mut notices = Vec::new();
        for at in (0..self.open.len()).rev() {
            let Some(open) = self.open.get_mut(at) else { continue };
            let last = open.worst().map(|worst| (worst.value, worst.threshold)).unwrap_or_default();
            open.edges.retain(|_, at_edge| now.since(at_edge.heard) < FORGET);
            notices.extend(self.settle(at, last.0, last.1, now));
        }
        notices
    }

    /// Returns when [`Board::forget`] has something to do at the latest.
    #[must_use]
    pub fn forgets_at(&self) -> Option<UnixMillis> {
        let heard = self.open.iter().flat_map(|open| open.edges.values()).map(|at_edge| at_edge.heard);
        heard.min().map(|heard| heard.plus(FORGET))
    }

    /// Returns the open alerts, the worst and oldest first, and then those that are over, the newest first.
    #[must_use]
    pub fn alerts(&self) -> Vec<Alert> {
        let mut alerts: Vec<Alert> = self.open.iter().filter_map(Open::alert).collect();
        alerts.sort_by_key(|alert| (std::cmp::Reverse(alert.severity), alert.since));
        alerts.extend(self.resolved.iter().rev().cloned());
        alerts
    }

    /// Says whether no alert is open.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.open.is_empty()
    }

    /// Compares an alert with what was told of it.
    fn settle(&mut self, at: usize, value: f64, threshold: f64, now: UnixMillis) -> Option<Notice> {
        let open = self.open.get_mut(at)?;
        let (before, after) = (open.severity, open.worst().map_or(Level::Ok, |worst| worst.level));
        let kind = match (before, after) {
            (Level::Ok, Level::Ok) => {
                self.open.remove(at);
                return None;
            }
            (before, after) if before == after => return None,
            (Level::Ok, _) => Kind::Raised,
            (_, Level::Ok) => Kind::Resolved,
            (before, after) if after > before => Kind::Worse,
            _ => Kind::Better,
        };
        (open.severity, open.notices) = (after, open.notices + 1);
        let id = format!("{}:{}", open.id, open.notices);
        if kind != Kind::Resolved {
            return Some(Notice { id, kind, at: now, alert: open.alert()? });
        }
        let Open { subject, id: alert_id, since, .. } = self.open.remove(at);
        let says = says(&subject, value, threshold, &[], true);
        let alert = Alert {
            id: alert_id,
            subject,
            severity: before,
            since,
            value,
            threshold,
            edges: Vec::new(),
            says,
            resolved_at: Some(now),
        };
        self.resolved.push(alert.clone());
        if self.resolved.len() > MAX_RESOLVED {
            self.resolved.remove(0);
        }
        Some(Notice { id, kind, at: now, alert })
    }
}

impl Open {
    fn worst(&self) -> Option<&AtEdge> {
        self.edges.values().reduce(|worst, other| if other.level > worst.level { other } else { worst })
    }

    fn alert(&self) -> Option<Alert> {
        let worst = self.worst()?;
        let edges: Vec<String> = self.edges.keys().cloned().collect();
        Some(Alert {
            id: self.id.clone(),
            subject: self.subject.clone(),
            severity: self.severity,
            since: self.since,
            value: worst.value,
            threshold: worst.threshold,
            says: says(&self.subject, worst.value, worst.threshold, &edges, false),
            edges,
            resolved_at: None,
        })
    }
}

fn says(subject: &Subject, value: f64, threshold: f64, edges: &[String], is_over: bool) -> String {
    let Some(rule) = Rule::named(&subject.rule) else { return subject.rule.clone() };
    let class = subject.class.as_deref().map_or_else(String::new, |class| format!(" of class {class}"));
    let (value, threshold) = (rule.words(value), rule.words(threshold));
    let id = rule.id;
    if is_over {
        return format!("{id}{class} is well again: {value}, beside a threshold of {threshold}");
    }
    let at = match edges {
        [] => String::new(),
        [edge] => format!(" at {edge}"),
        [first, second] => format!(" at {first} and {second}"),
        [first, second, more @ ..] => format!(" at {first}, {second} and {} more edges", more.len()),
    };
    format!("{id}{class}{at}: {value}, beyond {threshold}. {}", rule.advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const START: UnixMillis = UnixMillis(1_000_000);

    fn says_of(level: Level, value: f64) -> Transition {
        let subject = Subject { rule: "hit-rate".to_owned(), class: Some("title".to_owned()) };
        Transition { subject, level, at: START, value, threshold: 0.9 }
    }

    #[test]
    fn many_edges_are_one_alert_and_one_message_until_it_is_worse_or_over() {
        let mut board = Board::default();
        let mut hear = |edge: &str, level, value| board.hear(edge, &says_of(level, value), START);
        let raised = hear("fra", Level::Warning, 0.85).unwrap();
        assert_eq!((raised.kind, raised.id.as_str()), (Kind::Raised, "hit-rate:title:1000000:1"));
        assert!(
            raised.alert.says.starts_with("hit-rate of class title at fra: 85.0 %, beyond 90.0 %. See which"),
            "{}",
            raised.alert.says
        );
        assert_eq!(hear("ams", Level::Warning, 0.8), None);
        assert_eq!(hear("ams", Level::Warning, 0.8), None, "the same again is no news");
        let worse = hear("lhr", Level::Critical, 0.1).unwrap();
        assert_eq!((worse.kind, worse.alert.value, worse.alert.edges.len()), (Kind::Worse, 0.1, 3));
        assert!(worse.alert.says.contains("at ams, fra and 1 more edges"), "{}", worse.alert.says);
        assert_eq!(hear("lhr", Level::Ok, 0.95).unwrap().kind, Kind::Better);
        assert_eq!(hear("ams", Level::Ok, 0.95), None);
        let over = hear("fra", Level::Ok, 0.95).unwrap();
        assert_eq!((over.kind, over.alert.resolved_at), (Kind::Resolved, Some(START)));
        assert_eq!(hear("fra", Level::Ok, 0.95), None);
        assert!(board.is_quiet());
        assert_eq!(board.alerts().len(), 1, "it is remembered");
    }

    #[test]
    fn what_no_edge_repeats_is_over_after_half_an_hour() {
        let mut board = Board::default();
        assert_eq!(board.forgets_at(), None);
        board.hear("fra", &says_of(Level::Critical, 0.1), START);
        let later = START.plus(FORGET / 2);
        board.hear("ams", &says_of(Level::Warning, 0.8), later);
        assert_eq!(board.forgets_at(), Some(START.plus(FORGET)));
        assert_eq!(board.forget(later), []);
        let better = board.forget(START.plus(FORGET));
        assert_eq!(better.iter().map(|notice| notice.kind).collect::<Vec<_>>(), [Kind::Better]);
        let over = board.forget(later.plus(FORGET));
        assert_eq!(over.iter().map(|notice| notice.kind).collect::<Vec<_>>(), [Kind::Resolved]);
    }

    #[test]
    fn the_worst_and_oldest_alert_comes_first_and_few_of_those_that_are_over_are_kept() {
        let mut board = Board::default();
        for n in 0..150 {
            let now = START.plus(Duration::from_secs(n));
            board.hear("fra", &says_of(Level::Warning, 0.8), now);
            board.hear("fra", &says_of(Level::Ok, 1.0), now);
        }
        let other = Transition {
            subject: Subject { rule: "kv-todo".to_owned(), class: None },
            ..says_of(Level::Critical, 9e4)
        };
        board.hear("fra", &says_of(Level::Warning, 0.8), START);
        board.hear("fra", &other, START.plus(Duration::from_secs(1)));
        let alerts = board.alerts();
        assert_eq!(alerts.len(), 2 + MAX_RESOLVED);
        assert_eq!(
            alerts.iter().take(2).map(|alert| alert.subject.rule.as_str()).collect::<Vec<_>>(),
            ["kv-todo", "hit-rate"]
        );
        let kept: Board = serde_json::from_str(&serde_json::to_string(&board).unwrap()).unwrap();
        assert_eq!(kept, board);
    }
}

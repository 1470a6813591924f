//! One subscription, as JavaScript drives it: [`Follower`] with texts and numbers around it.
//!
//! Every method that takes `now` (milliseconds, never going back) is one input, and returns the JSON of a
//! list of effects, to be carried out in order. The rows of a frame do not come back out: the effect says
//! which of those in the text that went in are new.

use std::time::Duration;

use newsreel_core::follow::follower::{Cursor, Follower, FollowerEffect, FollowerInput, Phase};
use newsreel_core::read::floors::{FloorRow, raised_by};
use newsreel_core::wire::claim::{Claim, Start};
use newsreel_core::wire::frame::VersionRow;
use newsreel_core::wire::position::PositionError;
use newsreel_core::wire::problem::Problem;
use newsreel_core::wire::query::FollowQuery;
use newsreel_core::wire::{Catalog, Epoch, NameError, Position, UnixMillis, Version};
use serde::Serialize;
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::panic;
use crate::timing::{self, TimingError};

/// Why a session cannot begin.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error(transparent)]
    Catalog(#[from] NameError),
    #[error("{}", .0.detail())]
    Query(Problem),
    #[error(transparent)]
    Timing(#[from] TimingError),
    #[error("{from:?} is neither \"now\", \"start\" nor a position: {why}")]
    Cursor { from: String, why: PositionError },
}

/// The changes of a session's last input, for caches. Floors rise before any handler runs, which is safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Raise these floors, which stand for the changes of a page or fold.
    Raised {
        /// The epoch of the versions in the floors.
        epoch: Epoch,
        /// At most one floor for each target: a key, a tag, a prefix or everything.
        floors: Vec<FloorRow>,
        /// The position that these floors complete; none while more parts of a fold follow.
        position: Option<Position>,
    },
    /// Forget everything; continue here.
    Reset {
        /// The position in the new epoch from which the session follows.
        position: Position,
    },
}

/// An effect, as JavaScript reads it.
#[derive(Serialize)]
#[serde(tag = "do", rename_all = "camelCase")]
enum Said {
    /// Open a connection, and report `opened` or `closed`.
    Dial {
        /// The query of its address.
        query: String,
        /// The position after which to follow: none for the head, an empty epoch for everything kept.
        start: Option<Begin>,
    },
    /// Send this text on the connection that the effect answers, and on no later one.
    Send { text: String },
    /// Close the connection with this code and reason.
    Hangup { code: u16, reason: &'static str },
    /// Handle the versions above `after` in the text that went in; none of them without `after`.
    Apply { position: String, after: Option<Version> },
    /// Handle the changes of the fold in the text that went in; the last part has the position.
    Fold { position: Option<String> },
    /// Forget everything; the session goes on from this position.
    Reset { position: String, reason: String },
    /// Show the new phase to the caller.
    Phase { phase: &'static str },
    /// Report a problem that the broker sent as an `error` frame.
    Complaint { code: String, message: String },
}

/// The parts of a position that is shown.
#[derive(Serialize)]
struct Begin {
    epoch: String,
    version: Version,
    hash: String,
}

/// One subscription: a follower, and what it heard for the caches attached to it.
#[wasm_bindgen]
pub struct Session {
    follower: Follower,
    name: String,
    topics: Vec<String>,
    /// Whether a cache is attached.
    caches: bool,
    heard: Vec<Heard>,
}

#[wasm_bindgen]
impl Session {
    /// Returns a session at rest. `from` is `now`, `start` or a position; `timing` the JSON of the caller's
    /// times.
    ///
    /// # Errors
    /// A text that says which of these cannot be.
    #[wasm_bindgen(constructor)]
    pub fn new(
        catalog: &str,
        name: String,
        topics: Vec<String>,
        from: &str,
        timing: &str,
    ) -> Result<Session, JsError> {
        panic::keep_messages();
        let seed = getrandom::u64().map_err(|why| JsError::new(&format!("no randomness: {why}")))?;
        Ok(Self::begin(catalog, name, topics, from, timing, seed)?)
    }

    /// Begins to follow; returns the first effects, as every input does, as a JSON list.
    pub fn start(&mut self, now: f64) -> String {
        self.step(now, FollowerInput::Start)
    }

    /// The connection is open.
    pub fn opened(&mut self, now: f64) -> String {
        self.step(now, FollowerInput::Opened)
    }

    /// Hands in a text that the broker sent.
    pub fn text(&mut self, now: f64, text: String) -> String {
        self.step(now, FollowerInput::Text(text))
    }

    /// Hands in that the connection closed, or did not open.
    pub fn closed(&mut self, now: f64, code: u16) -> String {
        self.step(now, FollowerInput::Closed { code })
    }

    /// The time of [`Self::timeout`] has come.
    pub fn timer(&mut self, now: f64) -> String {
        self.step(now, FollowerInput::Timer)
    }

    /// Asks for a proof that begins now, for a read that needs one.
    pub fn prove(&mut self, now: f64) -> String {
        self.step(now, FollowerInput::Prove)
    }

    /// Ends the session for good.
    pub fn stop(&mut self, now: f64) -> String {
        self.step(now, FollowerInput::Stop)
    }

    /// Begins anew from the handled position, after effects that were not carried out.
    ///
    /// # Errors
    /// When `from` is neither `now`, `start` nor a position.
    #[wasm_bindgen(js_name = startAgain)]
    pub fn start_again(&mut self, now: f64, from: &str) -> Result<String, JsError> {
        let cursor = cursor(from)?;
        self.heard.clear();
        self.follower.start_again(millis(now), cursor);
        Ok(self.effects(None))
    }

    /// Makes the next wait at least so many milliseconds.
    #[wasm_bindgen(js_name = stayAway)]
    pub fn delay_reconnect(&mut self, least_ms: f64) {
        self.follower.delay_reconnect(Duration::from_millis(millis(least_ms).0));
    }

    /// Says that handlers are still at work, so that no page is missed meanwhile.
    #[wasm_bindgen(js_name = stillApplying)]
    pub fn still_applying(&mut self, now: f64) {
        self.follower.still_applying(millis(now));
    }

    /// Returns when to call [`Self::timer`].
    #[must_use]
    pub fn timeout(&self) -> Option<f64> {
        self.follower.poll_timeout().map(|at| number(at.0))
    }

    /// Returns since when it is proved that everything committed before has come.
    #[wasm_bindgen(js_name = provedAt)]
    #[must_use]
    pub fn proved_at_number(&self) -> Option<f64> {
        self.proved_at().map(|at| number(at.0))
    }

    /// Sets whether the session keeps the changes of its last input for caches.
    #[wasm_bindgen(js_name = setCaches)]
    pub fn set_caches(&mut self, caches: bool) {
        self.caches = caches;
    }
}

impl Session {
    fn begin(
        catalog: &str,
        name: String,
        topics: Vec<String>,
        from: &str,
        timing: &str,
        seed: u64,
    ) -> Result<Self, SessionError> {
        let query = FollowQuery { from: Start::Head, name: name.clone(), topics: topics.clone() }.to_query();
        // Refuses the catalogs, names and topics that the broker would refuse, in the same words.
        Catalog::new(catalog)?;
        let query = query.strip_prefix('?').unwrap_or_default();
        FollowQuery::parse(query).map_err(SessionError::Query)?;
        let config = timing::config(timing, !topics.is_empty())?;
        let follower = Follower::new(config, cursor(from)?, seed);
        Ok(Self { follower, name, topics, caches: false, heard: Vec::new() })
    }

    /// Returns the changes of the last input; none unless caches are attached.
    #[cfg(feature = "cache")]
    pub(crate) fn heard(&self) -> &[Heard] {
        &self.heard
    }

    /// Returns the beginnings of the keys that it hears of; none means all.
    #[cfg(feature = "cache")]
    pub(crate) fn topics(&self) -> &[String] {
        &self.topics
    }

    /// Returns the position whose floors have all been told.
    pub(crate) fn held(&self) -> Option<Position> {
        self.follower.position()
    }

    /// Returns since when it is proved that everything committed before has come.
    pub(crate) fn proved_at(&self) -> Option<UnixMillis> {
        self.follower.proved_at()
    }

    fn step(&mut self, now: f64, input: FollowerInput) -> String {
        self.heard.clear();
        let held = self.held();
        self.follower.handle(millis(now), input);
        self.effects(held)
    }

    fn effects(&mut self, held: Option<Position>) -> String {
        let mut said = Vec::new();
        while let Some(effect) = self.follower.poll_effect() {
            if self.caches {
                self.heard.extend(heard(held, &effect));
            }
            said.push(self.say(held, effect));
        }
        serde_json::to_string(&said).expect("effects are plain texts and numbers")
    }

    fn say(&self, held: Option<Position>, effect: FollowerEffect) -> Said {
        match effect {
            FollowerEffect::Dial(from) => {
                let (name, topics) = (self.name.clone(), self.topics.clone());
                let query = FollowQuery { from, name, topics }.to_query();
                Said::Dial { query, start: begin(from) }
            }
            FollowerEffect::Send(text) => Said::Send { text },
            FollowerEffect::Hangup { code, reason } => Said::Hangup { code, reason },
            FollowerEffect::Apply { position, versions } => {
                let after = held.map_or(Version::ZERO, |held| held.version);
                let after = (!versions.is_empty()).then_some(after);
                Said::Apply { position: position.to_string(), after }
            }
            FollowerEffect::ApplyFold { position, changes: _ } => {
                Said::Fold { position: position.map(|position| position.to_string()) }
            }
            FollowerEffect::Reset { position, reason } => {
                Said::Reset { position: position.to_string(), reason }
            }
            FollowerEffect::Phase(phase) => Said::Phase { phase: name_of(phase) },
            FollowerEffect::ServerError { code, message } => Said::Complaint { code, message },
        }
    }
}

/// Returns the changes in an effect, for caches; `held` is the position before the effect.
fn heard(held: Option<Position>, effect: &FollowerEffect) -> Option<Heard> {
    match effect {
        FollowerEffect::Apply { position, versions } => {
            let changes = versions
                .iter()
                .flat_map(|row: &VersionRow| row.changes.iter().map(move |change| (row.version, change)));
            let (epoch, floors) = (position.epoch, raised_by(changes));
            Some(Heard::Raised { epoch, floors, position: Some(*position) })
        }
        FollowerEffect::ApplyFold { position, changes } => {
            // Without a position there are no entries either that a part of a fold could refuse.
            let epoch = position.or(held)?.epoch;
            let floors = raised_by(changes.iter().map(|folded| (folded.version, &folded.change)));
            Some(Heard::Raised { epoch, floors, position: *position })
        }
        FollowerEffect::Reset { position, .. } => Some(Heard::Reset { position: *position }),
        FollowerEffect::Dial(_)
        | FollowerEffect::Send(_)
        | FollowerEffect::Hangup { .. }
        | FollowerEffect::Phase(_)
        | FollowerEffect::ServerError { .. } => None,
    }
}

fn begin(from: Start) -> Option<Begin> {
    match from {
        Start::Head => None,
        Start::At(Claim::Nothing) => {
            Some(Begin { epoch: String::new(), version: Version::ZERO, hash: String::new() })
        }
        Start::At(Claim::Held { epoch, version, hash }) => {
            let hash = hash.map(|hash| hash.to_string()).unwrap_or_default();
            Some(Begin { epoch: epoch.to_string(), version, hash })
        }
    }
}

fn cursor(from: &str) -> Result<Cursor, SessionError> {
    match from {
        "now" => Ok(Cursor::Head),
        "start" => Ok(Cursor::Beginning),
        position => match position.parse() {
            Ok(position) => Ok(Cursor::At(position)),
            Err(why) => Err(SessionError::Cursor { from: position.to_owned(), why }),
        },
    }
}

fn name_of(phase: Phase) -> &'static str {
    match phase {
        Phase::Idle => "idle",
        Phase::Waiting => "waiting",
        Phase::Connecting => "connecting",
        Phase::CatchingUp => "catching-up",
        Phase::Live => "live",
        Phase::Closed => "closed",
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates, and NaN is 0")]
pub(crate) fn millis(now: f64) -> UnixMillis {
    UnixMillis(now as u64)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "nobody counts to 2^53, and milliseconds of this century have 41 bits"
)]
pub(crate) fn number(whole: u64) -> f64 {
    whole as f64
}

#[cfg(test)]
mod tests {
    use newsreel_core::wire::frame::{self, Resume};

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const EPOCH: &str = "01ARYZ6S410000000000000000";

    fn at(version: u64) -> Position {
        let version = Version::new(version).unwrap();
        Position { version, ..Position::genesis(EPOCH.parse().unwrap()) }
    }

    fn session(from: &str) -> Session {
        Session::begin("tv", "me".into(), vec![], from, "{}", 1).unwrap()
    }

    /// Returns a session that holds version 5 and has been greeted.
    fn greeted() -> Session {
        let mut session = session(&at(5).to_string());
        session.set_caches(true);
        session.start(0.0);
        session.opened(1.0);
        session.text(2.0, frame::welcome(&at(7), Resume::Replay));
        session
    }

    fn changes(from: u64, to: u64) -> String {
        let row =
            |version| format!(r#"{{"version":{version},"at":9,"changes":[{{"key":"title:{version}"}}]}}"#);
        let rows: Vec<String> = (from + 1..=to).map(row).collect();
        frame::changes_text(at(from).version, &at(to), false, &rows.join(","))
    }

    #[test]
    fn a_session_dials_from_its_position_and_gives_its_name() {
        let hash = at(5).hash;
        let dial = format!(
            r#"[{{"do":"dial","query":"?epoch={EPOCH}&version=5&hash={hash}&name=me","start":{{"epoch":"{EPOCH}","version":5,"hash":"{hash}"}}}},{{"do":"phase","phase":"connecting"}}]"#
        );
        assert_eq!(session(&at(5).to_string()).start(0.0), dial);
        assert!(session("now").start(0.0).contains(r#""query":"?name=me","start":null"#));
        assert!(session("start").start(0.0).contains(r#""query":"?version=0&name=me","start":{"epoch":"""#));
    }

    #[test]
    fn g2_of_a_frame_only_what_is_new_is_to_be_applied() {
        let mut session = greeted();
        let said = session.text(3.0, changes(3, 7));
        assert!(
            said.starts_with(&format!(r#"[{{"do":"apply","position":"{}","after":5}}"#, at(7))),
            "{said}"
        );
        let [Heard::Raised { floors, position, .. }] = session.heard() else { panic!("floors rose") };
        assert_eq!((floors.len(), *position), (2, Some(at(7))));
        session.text(4.0, "pong x".into());
        assert_eq!(session.heard(), [], "of the last input alone");
    }

    #[test]
    fn a_part_of_a_fold_raises_floors_and_has_no_position() {
        let mut session = greeted();
        let part = format!(
            r#"{{"type":"fold","from":5,"to":7,"hash":"{}","changes":[{{"version":6,"tag":"t"}}],"more":true}}"#,
            at(7).hash
        );
        let said = session.text(3.0, part);
        assert!(said.starts_with(r#"[{"do":"fold","position":null}"#), "{said}");
        let [Heard::Raised { position: None, floors, .. }] = session.heard() else { panic!("floors rose") };
        assert_eq!(floors.len(), 1);
    }

    #[test]
    fn e1_a_reset_is_told_to_caches() {
        let mut session = greeted();
        session.text(3.0, frame::reset(&at(7), "another history"));
        assert_eq!(session.heard(), [Heard::Reset { position: at(7) }]);
    }

    #[test]
    fn what_the_broker_would_refuse_is_refused_at_once() {
        let begin = |catalog: &str, name: &str, topic: &str, from: &str| {
            let topics = vec![topic.to_owned()];
            let begun = Session::begin(catalog, name.into(), topics, from, "{}", 1);
            begun.err().map(|why| why.to_string()).unwrap_or_default()
        };
        for (refused, says) in [
            (begin("TV", "me", "a:", "now"), "catalog"),
            (begin("tv", &"n".repeat(129), "a:", "now"), "128"),
            (begin("tv", "me", "a\n", "now"), "topic"),
            (begin("tv", "me", "a:", "7"), "is neither"),
        ] {
            assert!(refused.contains(says), "{refused:?} says {says}");
        }
        assert_eq!(begin("tv", "me", "a:", "now"), "");
    }

    #[test]
    fn numbers_that_are_no_times_do_no_harm() {
        for now in [f64::NAN, -1.0, f64::INFINITY, 1e300] {
            assert!(session("now").start(now).contains("dial"));
        }
    }

    /// With a clock of the platform's and its randomness, as JavaScript makes it.
    #[cfg(target_arch = "wasm32")]
    fn as_javascript_does(from: &str) -> Result<Session, JsError> {
        Session::new("tv", "me".to_owned(), vec![], from, "{}")
    }

    #[cfg(target_arch = "wasm32")]
    #[test]
    fn javascript_gets_a_text_for_what_cannot_be() {
        let error = as_javascript_does("yesterday").err().unwrap();
        let error = wasm_bindgen::JsValue::from(error);
        let message = js_sys::Reflect::get(&error, &"message".into()).unwrap().as_string().unwrap();
        assert!(message.starts_with("\"yesterday\" is neither"), "{message}");
    }

    #[cfg(target_arch = "wasm32")]
    #[test]
    fn no_two_sessions_wait_for_the_same_time() {
        let waits: std::collections::BTreeSet<u64> = (0..20)
            .map(|_| {
                let mut session = as_javascript_does("now").ok().unwrap();
                session.start(0.0);
                for attempt in 0..8 {
                    session.closed(1.0, 1006);
                    if attempt < 7 {
                        session.timer(session.timeout().unwrap());
                    }
                }
                millis(session.timeout().unwrap()).0
            })
            .collect();
        assert!(waits.len() > 15, "{waits:?}");
    }
}

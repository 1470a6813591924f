//! The cause of a version: the trace that its publish is part of, and the event of a source that it tells.
//!
//! Both are written into the row of the version, behind its changes, and so reach every follower. No decision depends on
//! them.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::json;
use super::position::UnixMillis;

/// The longest name of a source, in bytes.
pub const MAX_SOURCE_NAME_BYTES: usize = 100;
/// The longest name that an event has in its source, in bytes.
pub const MAX_SOURCE_ID_BYTES: usize = 300;

/// The last moment that a publish can name: JSON's readers agree on no greater number.
const MAX_AT: UnixMillis = UnixMillis((1 << 53) - 1);

/// The cause of a version, as far as its publisher gave it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Cause {
    /// The trace that the publish is part of; only one that is sampled is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<Traceparent>,
    /// The event that the publish tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceEvent>,
}

/// An event in the system that a publish comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceEvent {
    /// The kind and the name of the source, such as `postgres:newsreel`.
    pub name: String,
    /// The name of the event there: an LSN, the id of a message, that of a webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// When the event happened, by the clock of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<UnixMillis>,
}

/// Why a cause is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CauseError {
    /// The text is not a `traceparent` of W3C Trace Context.
    #[error(
        "traceparent {0:?}: version, trace id, parent id and flags in lower-case hex, as W3C Trace Context has them"
    )]
    Traceparent(String),
    /// The name of the source is empty, too long, or holds a control character.
    #[error("source.name is 1 to {MAX_SOURCE_NAME_BYTES} bytes without control characters")]
    SourceName,
    /// The event's name is empty, too long, or holds a control character.
    #[error("source.id is 1 to {MAX_SOURCE_ID_BYTES} bytes without control characters")]
    SourceId,
    /// The moment of the event is past what JSON's readers agree on.
    #[error("source.at is in Unix milliseconds, at most 2^53 - 1")]
    SourceAt,
}

impl SourceEvent {
    /// Returns an event with names as they may stand in a publish: too long ones are cut, control characters replaced.
    #[must_use]
    pub fn clipped(name: &str, id: Option<&str>, at: UnixMillis) -> Self {
        let id = id.map(|id| clipped(id, MAX_SOURCE_ID_BYTES)).filter(|id| !id.is_empty());
        Self { name: clipped(name, MAX_SOURCE_NAME_BYTES), id, at: Some(at.min(MAX_AT)) }
    }

    fn check(&self) -> Result<(), CauseError> {
        let Self { name, id, at } = self;
        if !is_plain(name, MAX_SOURCE_NAME_BYTES) {
            return Err(CauseError::SourceName);
        }
        if !id.as_ref().is_none_or(|id| is_plain(id, MAX_SOURCE_ID_BYTES)) {
            return Err(CauseError::SourceId);
        }
        if at.is_some_and(|at| at > MAX_AT) { Err(CauseError::SourceAt) } else { Ok(()) }
    }
}

fn clipped(text: &str, most: usize) -> String {
    let mut plain: String =
        text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
    plain.truncate(plain.floor_char_boundary(most));
    plain
}

impl Cause {
    /// Returns the cause as it is kept: a trace that is not sampled is dropped.
    ///
    /// # Errors
    /// [`CauseError`] when the name or the id of the source is no such thing.
    pub fn new(traceparent: Option<Traceparent>, source: Option<SourceEvent>) -> Result<Self, CauseError> {
        source.as_ref().map_or(Ok(()), SourceEvent::check)?;
        Ok(Self { traceparent: traceparent.filter(Traceparent::is_sampled), source })
    }

    /// Takes the trace of the request, unless the publish names one of its own.
    pub fn trace(&mut self, traceparent: Option<Traceparent>) {
        if self.traceparent.is_none() {
            self.traceparent = traceparent.filter(Traceparent::is_sampled);
        }
    }

    /// Adds the members that a row has behind its changes, ASCII.
    pub(crate) fn write_members(&self, row: &mut String) {
        if let Some(traceparent) = &self.traceparent {
            let _ = write!(row, r#","traceparent":"{traceparent}""#);
        }
        if let Some(source) = &self.source {
            let _ = write!(row, r#","source":{}"#, json::to_ascii(source));
        }
    }

    /// Returns the members that a line of a publisher has behind its changes, ASCII.
    #[must_use]
    pub fn members(&self) -> String {
        let mut members = String::new();
        self.write_members(&mut members);
        members
    }
}

fn is_plain(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// The parent of a span, as the header `traceparent` of W3C Trace Context names it, in its version 00.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Traceparent(String);

/// The lengths of the parts of a traceparent, in hex digits: version, trace id, parent id, flags.
const PARTS: [usize; 4] = [2, 32, 16, 2];

impl Traceparent {
    /// Says whether somebody records the trace: the lowest bit of its flags.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        matches!(self.0.as_bytes().last(), Some(b'1' | b'3' | b'5' | b'7' | b'9' | b'b' | b'd' | b'f'))
    }

    /// Returns the trace's id, 32 hex digits.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.0.split('-').nth(1).unwrap_or_default()
    }

    /// Returns the text of the header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Traceparent {
    type Err = CauseError;

    /// Reads the header. A later version of it may have more behind its flags, and is taken for version 00.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let wrong = || CauseError::Traceparent(text.chars().take(80).collect());
        let is_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let is_id = |part: &str| part.bytes().any(|byte| byte != b'0');
        let parts: Vec<&str> = text.split('-').collect();
        let Some(([version, trace, parent, flags], more)) = parts.split_first_chunk() else {
            return Err(wrong());
        };
        let has_form = [version, trace, parent, flags]
            .iter()
            .zip(PARTS)
            .all(|(part, digits)| part.len() == digits && is_hex(part));
        let is_known = *version == "00" && more.is_empty() || !matches!(*version, "00" | "ff");
        if !(has_form && is_known && is_id(trace) && is_id(parent)) {
            return Err(wrong());
        }
        Ok(Self(format!("00-{trace}-{parent}-{flags}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_as_w3c_has_it() {
        let trace: Traceparent = TRACE.parse().unwrap();
        assert_eq!((trace.to_string().as_str(), trace.is_sampled()), (TRACE, true));
        assert_eq!(trace.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let later = format!("cc{}-what-comes", &TRACE[2..]);
        assert_eq!(later.parse(), Ok(trace.clone()), "a later version is read by what version 00 has");
        for wrong in [
            String::new(),
            TRACE.to_uppercase(),
            TRACE.replace("00-4", "ff-4"),
            TRACE.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            TRACE.replace("00f067aa0ba902b7", &"0".repeat(16)),
            format!("{TRACE}-more"),
            TRACE[1..].to_owned(),
            TRACE[..52].to_owned(),
        ] {
            assert!(wrong.parse::<Traceparent>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_event_of_any_name_can_be_published() {
        let event = SourceEvent::clipped(&"é".repeat(100), Some("a\nb"), UnixMillis(1));
        assert_eq!((event.name.len(), event.id.as_deref()), (100, Some("a\u{fffd}b")));
        assert!(Cause::new(None, Some(event)).is_ok());
        let longest = SourceEvent::clipped("a", Some(&"\n".repeat(300)), UnixMillis(1));
        assert!(Cause::new(None, Some(longest)).is_ok());
        assert_eq!(SourceEvent::clipped("a", Some(""), UnixMillis(1)).id, None);
    }

    #[test]
    fn a_cause_keeps_what_is_recorded_and_names_that_are_plain() {
        let source = |name: &str, id: Option<&str>| {
            Some(SourceEvent { name: name.to_owned(), id: id.map(str::to_owned), at: Some(UnixMillis(7)) })
        };
        let unsampled = TRACE.replace("-01", "-00").parse().ok();
        let cause = Cause::new(unsampled, source("postgres:tv", Some("0/16B3748"))).unwrap();
        assert_eq!(cause.members(), r#","source":{"name":"postgres:tv","id":"0/16B3748","at":7}"#);
        let cause = Cause::new(TRACE.parse().ok(), source("hook:é", None)).unwrap();
        let name = r#","source":{"name":"hook:\u00e9","at":7}"#;
        assert_eq!(cause.members(), format!(r#","traceparent":"{TRACE}"{name}"#));
        for (wrong, why) in [
            (source("", None), CauseError::SourceName),
            (source(&"x".repeat(101), None), CauseError::SourceName),
            (source("a\nb", None), CauseError::SourceName),
            (source("a", Some("")), CauseError::SourceId),
            (source("a", Some(&"x".repeat(301))), CauseError::SourceId),
            (
                source("a", None).map(|event| SourceEvent { at: Some(UnixMillis(1 << 53)), ..event }),
                CauseError::SourceAt,
            ),
        ] {
            assert_eq!(Cause::new(None, wrong), Err(why));
        }
    }
}

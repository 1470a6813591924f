//! The cause of a version: the trace that its publish is part of, and the event of a source that it tells.
//!
//! Both are written into the row of the version, behind its changes, and so reach every follower. No decision depends on
//! them.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

use super::json;
use super::position::UnixMillis;

/// The longest name of a source, in bytes.
pub const MAX_SOURCE_NAME_BYTES: usize = 100;
/// The longest name that an event has in its source, in bytes.
pub const MAX_SOURCE_ID_BYTES: usize = 300;

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
#[serde(deny_unknown_fields)]
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
}

impl SourceEvent {
    /// Returns an event with names as they may stand in a publish: too long ones are cut, control characters replaced.
    #[must_use]
    pub fn clipped(name: &str, id: Option<&str>, at: UnixMillis) -> Self {
        let id = id.map(|id| clipped(id, MAX_SOURCE_ID_BYTES)).filter(|id| !id.is_empty());
        Self { name: clipped(name, MAX_SOURCE_NAME_BYTES), id, at: Some(at) }
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
        if let Some(SourceEvent { name, id, .. }) = &source {
            is_plain(name, MAX_SOURCE_NAME_BYTES).then_some(()).ok_or(CauseError::SourceName)?;
            let id_fits = id.as_ref().is_none_or(|id| is_plain(id, MAX_SOURCE_ID_BYTES));
            id_fits.then_some(()).ok_or(CauseError::SourceId)?;
        }
        Ok(Self { traceparent: traceparent.filter(Traceparent::is_sampled), source })
    }

    /// Takes the trace of the request, unless the publish names one of its own.
    pub fn trace(&mut self, traceparent: Option<Traceparent>) {
        self.traceparent = self.traceparent.or(traceparent.filter(Traceparent::is_sampled));
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

/// The parent of a span, as the header `traceparent` of W3C Trace Context names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Traceparent {
    trace_id: u128,
    parent_id: u64,
    flags: u8,
}

/// The flag of a trace that somebody records.
const SAMPLED: u8 = 1;

impl Traceparent {
    /// Says whether somebody records the trace.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Returns the trace's id, 32 hex digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace_id, parent_id, flags } = self;
        write!(f, "00-{trace_id:032x}-{parent_id:016x}-{flags:02x}")
    }
}

impl FromStr for Traceparent {
    type Err = CauseError;

    /// Reads the header. A later version of it may have more behind its flags, and is taken for version 00.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || CauseError::Traceparent(text.chars().take(80).collect());
        let mut parts = text.trim().split('-');
        let mut hex = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits);
            part.filter(|part| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
        };
        let version = hex(2).filter(|version| *version != "ff").ok_or_else(wrong)?;
        let (trace, parent, flags) = (hex(32), hex(16), hex(2));
        let trace_id = trace.and_then(|id| u128::from_str_radix(id, 16).ok()).filter(|id| *id != 0);
        let parent_id = parent.and_then(|id| u64::from_str_radix(id, 16).ok()).filter(|id| *id != 0);
        let flags = flags.and_then(|flags| u8::from_str_radix(flags, 16).ok());
        if version == "00" && parts.next().is_some() {
            return Err(wrong());
        }
        match (trace_id, parent_id, flags) {
            (Some(trace_id), Some(parent_id), Some(flags)) => Ok(Self { trace_id, parent_id, flags }),
            _ => Err(wrong()),
        }
    }
}

impl Serialize for Traceparent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Traceparent {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
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
        assert_eq!(later.parse(), Ok(trace), "a later version is read by what version 00 has");
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
        ] {
            assert_eq!(Cause::new(None, wrong), Err(why));
        }
    }
}

//! Many publishes at once: one line each, in a body of NDJSON or as the texts of a publishing socket; and
//! their answers.

use serde::Deserialize;

use super::bom::without_bom;
use super::problem::{Code, Problem};
use super::publish::{self, Publish, PublishError, Receipt};

/// The media type of a body of lines.
pub const MEDIA_TYPE: &str = "application/x-ndjson";
/// The most publishes in one body.
pub const MAX_LINES: usize = 10_000;
/// The largest body of lines, in bytes.
pub const MAX_LINES_BYTES: usize = 8 << 20;

/// One publish of many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishLine {
    /// The publish of the line.
    pub publish: Publish,
    /// The idempotency key of this line alone.
    pub idempotency_key: Option<String>,
}

impl PublishLine {
    /// Reads a line: a publish, which may hold an `idempotency_key`.
    ///
    /// # Errors
    /// [`PublishError`] names the first thing that is wrong.
    pub fn parse(text: &[u8]) -> Result<Self, PublishError> {
        let (publish, idempotency_key) = publish::read(text)?;
        if let Some(key) = &idempotency_key {
            publish::check_idempotency_key(key)?;
        }
        Ok(Self { publish, idempotency_key })
    }
}

/// Says whether a body of this `Content-Type` is lines.
#[must_use]
pub fn are_in(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    [MEDIA_TYPE, "application/ndjson", "application/jsonl"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(media_type))
}

/// Returns the lines of a body that are not empty.
///
/// # Errors
/// `no-changes` when there is none, `body-too-large` when there are too many.
pub fn split(body: &[u8]) -> Result<Vec<&[u8]>, Problem> {
    let filled = |line: &&[u8]| !line.trim_ascii().is_empty();
    let lines: Vec<&[u8]> =
        without_bom(body).split(|byte| *byte == b'\n').filter(filled).take(MAX_LINES + 1).collect();
    match lines.len() {
        0 => Err(Problem::new(Code::NoChanges, "a body without a line: a line is one publish")),
        1..=MAX_LINES => Ok(lines),
        _ => {
            let text = format!("a body has at most {MAX_LINES} lines: publish in several bodies");
            Err(Problem::new(Code::BodyTooLarge, text))
        }
    }
}

/// Returns the idempotency key of the `n`th publish (from 1) of a body sent under `key`.
#[must_use]
pub fn nth_key(key: &str, n: usize) -> String {
    format!("{key}#{n}")
}

/// Returns a line with an idempotency key, which it must not have yet. A line is a JSON object with at least one member, so
/// a comma fits before its end.
#[must_use]
pub fn with_key(line: &str, key: &str) -> String {
    let key = serde_json::Value::from(key);
    format!(r#"{},"idempotency_key":{key}}}"#, line.strip_suffix('}').unwrap_or(line))
}

/// Writes an `answers` frame around answers that are JSON already, separated by commas.
#[must_use]
pub fn answers_text(answers: &str) -> String {
    format!(r#"{{"type":"answers","answers":[{answers}]}}"#)
}

/// The frame that answers a publishing socket: one `T` per publish, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PublishAnswers<T> {
    /// The answers, in the order of the publishes.
    pub answers: Vec<T>,
}

/// The answer to one publish of many.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum PublishAnswer {
    /// The publish has a version.
    Published(Receipt),
    /// The publish was refused.
    Refused(RefusedPublish),
}

/// A problem as a publisher reads it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RefusedPublish {
    /// The HTTP status that the refusal would have had alone.
    pub status: u16,
    /// The code of PROTOCOL.md.
    pub code: String,
    /// The text for people.
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn code(line: &str) -> String {
        Problem::from(PublishLine::parse(line.as_bytes()).unwrap_err()).code().to_owned()
    }

    #[test]
    fn a_line_is_a_publish_and_perhaps_its_key() {
        let bare = PublishLine::parse(br#" {"key":"a:1","idempotency_key":"k 1"} "#).unwrap();
        assert_eq!(bare.idempotency_key.as_deref(), Some("k 1"));
        assert_eq!(bare.publish, Publish::parse(br#"{"key":"a:1"}"#).unwrap());
        let list = br#"{"changes":[{"tag":"x"}],"expect":{"version":1},"idempotency_key":"k"}"#;
        assert!(PublishLine::parse(list).unwrap().publish.expect.is_some());
        assert_eq!(PublishLine::parse(br#"{"all":true}"#).unwrap().idempotency_key, None);
        let long = "k".repeat(publish::MAX_IDEMPOTENCY_KEY_BYTES + 1);
        for bad in ["", "é", "\\n", &long] {
            assert_eq!(code(&format!(r#"{{"all":true,"idempotency_key":"{bad}"}}"#)), "bad-request", "{bad}");
        }
        assert_eq!(code(r#"{"all":true,"idempotency_key":7}"#), "bad-json");
        assert_eq!(code(r#"{"all":true,"idempotency-key":"k"}"#), "unknown-field");
    }

    #[test]
    fn the_media_types_of_lines() {
        for known in ["application/x-ndjson", "Application/NDJSON; charset=utf-8", "application/jsonl ;a=b"] {
            assert!(are_in(known), "{known}");
        }
        for other in ["", "application/json", "text/plain", "application/x-ndjson2"] {
            assert!(!are_in(other), "{other}");
        }
    }

    #[test]
    fn empty_lines_are_no_lines_and_there_are_bounds() {
        let lines = split(b"{}\n\n \r\n{\"all\":true}\r\nx").unwrap();
        assert_eq!(lines, [&b"{}"[..], b"{\"all\":true}\r", b"x"]);
        assert_eq!(split(b"\n \n").unwrap_err().code(), "no-changes");
        assert_eq!(split("x\n".repeat(MAX_LINES).as_bytes()).unwrap().len(), MAX_LINES);
        assert_eq!(split("x\n".repeat(MAX_LINES + 1).as_bytes()).unwrap_err().code(), "body-too-large");
    }

    #[test]
    fn an_answers_frame_is_read_back() {
        let receipt = r#"{"catalog":"tv","epoch":"01ARYZ6S410000000000000000","version":1,"position":"01ARYZ6S410000000000000000:1:0011223344556677","at":1,"changes":1}"#;
        let refused = Problem::new(Code::Busy, "later").to_json();
        let frame = answers_text(&[receipt, &refused].join(","));
        let PublishAnswers { answers } =
            serde_json::from_str::<PublishAnswers<PublishAnswer>>(&frame).unwrap();
        let [PublishAnswer::Published(published), PublishAnswer::Refused(refusal)] = answers.as_slice()
        else {
            panic!("{answers:?}")
        };
        assert_eq!(serde_json::to_string(published).unwrap(), receipt);
        assert_eq!((refusal.status, refusal.code.as_str(), refusal.detail.as_str()), (429, "busy", "later"));
    }

    #[test]
    fn a_line_with_a_key_is_the_same_publish_under_it() {
        let line = with_key(r#"{"key":"title:1"}"#, "a \"quoted\" key");
        let read = PublishLine::parse(line.as_bytes()).unwrap();
        assert_eq!(read.idempotency_key.as_deref(), Some("a \"quoted\" key"));
        assert_eq!(read.publish, Publish::parse(br#"{"key":"title:1"}"#).unwrap());
    }
}

//! A publish that was sent as the log writes it, read in one pass: its changes are kept as they stand.
//!
//! Reading a publish into values and writing the values again costs several times as much. Any other text is left to
//! [`PublishLine::parse`](super::PublishLine::parse), which takes it or says what is wrong with it. A text that is taken
//! here is the one that the values of `PublishLine::parse` would be written as.

use super::cause::{Cause, SourceEvent};
use super::change::MAX_TAGS;
use super::name::{Key, Prefix, Tag};
use super::position::UnixMillis;
use super::publish::{MAX_BODY_BYTES, MAX_CHANGES, Written, check_idempotency_key};

/// A publish in the form of the log, and the idempotency key of its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenLine {
    /// The publish, as it is written.
    pub publish: Written,
    /// The idempotency key of this line alone.
    pub idempotency_key: Option<String>,
}

impl WrittenLine {
    /// Reads a publish that is in the form of the log and expects no version; `None` for every other text.
    #[must_use]
    pub fn verbatim(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= MAX_BODY_BYTES)?;
        let mut scanner = Scanner { rest: text };
        let (changes, count) = match scanner.takes(r#"{"changes":"#) {
            true => {
                let list = scanner.rest;
                let count = scanner.list()?;
                (scanner.since(list)?.to_owned(), count)
            }
            false => {
                scanner.change()?;
                (format!("[{}}}]", scanner.since(text)?), 1)
            }
        };
        let cause = scanner.cause()?;
        let idempotency_key = match scanner.takes(r#","idempotency_key":""#) {
            true => {
                let key = scanner.text()?;
                check_idempotency_key(key).ok()?;
                Some(key.to_owned())
            }
            false => None,
        };
        (scanner.rest == "}")
            .then_some(Self { publish: Written { changes, count, expect: None, cause }, idempotency_key })
    }
}

/// A target that was read, for telling whether it was named before.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum NamedTarget<'a> {
    Key(&'a str),
    Tag(&'a str),
    Prefix(&'a str),
    All,
}

/// The part of a text that is not read yet.
struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    /// Reads a list of changes.
    fn list(&mut self) -> Option<usize> {
        self.take("[")?;
        let mut targets = Vec::new();
        loop {
            targets.push(self.change()?);
            self.take("}")?;
            if self.takes("]") {
                break;
            }
            self.take(",")?;
        }
        let count = targets.len();
        targets.sort_unstable();
        (count <= MAX_CHANGES && targets.is_sorted_by(|one, next| one < next)).then_some(count)
    }

    /// Reads a change up to its last brace.
    fn change(&mut self) -> Option<NamedTarget<'a>> {
        let target = self.target()?;
        let is_key = matches!(target, NamedTarget::Key(_));
        let _ = self.takes(r#","soft":true"#) || is_key && self.takes(r#","op":"remove""#);
        if is_key && self.takes(r#","tags":["#) {
            self.tags()?;
        }
        Some(target)
    }

    fn target(&mut self) -> Option<NamedTarget<'a>> {
        self.take("{\"")?;
        if self.takes("key\":\"") {
            self.text().filter(|key| Key::check(key).is_ok()).map(NamedTarget::Key)
        } else if self.takes("tag\":\"") {
            self.text().filter(|tag| Tag::check(tag).is_ok()).map(NamedTarget::Tag)
        } else if self.takes("prefix\":\"") {
            self.text().filter(|prefix| Prefix::check(prefix).is_ok()).map(NamedTarget::Prefix)
        } else {
            self.take("all\":true").map(|()| NamedTarget::All)
        }
    }

    /// Reads the tags of a key, of which none may stand twice.
    fn tags(&mut self) -> Option<()> {
        let mut tags = Vec::new();
        loop {
            self.take("\"")?;
            let tag = self.text().filter(|tag| Tag::check(tag).is_ok() && !tags.contains(tag))?;
            tags.push(tag);
            if self.takes("]") {
                return (tags.len() <= MAX_TAGS).then_some(());
            }
            self.take(",")?;
        }
    }

    /// Reads the members of a cause, of which none has to be there.
    fn cause(&mut self) -> Option<Cause> {
        let traceparent = match self.takes(r#","traceparent":""#) {
            true => Some(self.text()?.parse().ok()?),
            false => None,
        };
        let source = match self.takes(r#","source":{"name":""#) {
            true => Some(self.source()?),
            false => None,
        };
        Cause::new(traceparent, source).ok()
    }

    /// Reads a source after the quotation mark of its name.
    fn source(&mut self) -> Option<SourceEvent> {
        let name = self.text()?.to_owned();
        let id = match self.takes(r#","id":""#) {
            true => Some(self.text()?.to_owned()),
            false => None,
        };
        let at = match self.takes(r#","at":"#) {
            true => Some(self.number()?),
            false => None,
        };
        self.take("}")?;
        Some(SourceEvent { name, id, at })
    }

    /// Reads a moment as the log writes it.
    fn number(&mut self) -> Option<UnixMillis> {
        let end = self.rest.bytes().position(|byte| !byte.is_ascii_digit())?;
        let (digits, rest) = self.rest.split_at_checked(end)?;
        // JSON has no number with a zero in front.
        let is_written = digits == "0" || !digits.starts_with('0');
        self.rest = rest;
        is_written.then(|| digits.parse().ok().map(UnixMillis))?
    }

    /// Reads a string after its first quotation mark. JSON has other spellings for some characters, so only those are
    /// taken that have none in the log: printable ASCII without the backslash.
    fn text(&mut self) -> Option<&'a str> {
        let is_plain = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
        let (text, rest) = self.rest.split_at_checked(self.rest.bytes().position(|byte| !is_plain(byte))?)?;
        self.rest = rest.strip_prefix('"')?;
        Some(text)
    }

    fn takes(&mut self, text: &str) -> bool {
        self.take(text).is_some()
    }

    fn take(&mut self, text: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(())
    }

    /// Returns the text that was read since `before` was the rest.
    fn since(&self, before: &'a str) -> Option<&'a str> {
        before.get(..before.len() - self.rest.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::wire::PublishLine;

    /// Returns the line as [`PublishLine::parse`] has it.
    fn parsed(text: &str) -> Option<WrittenLine> {
        let PublishLine { publish, idempotency_key } = PublishLine::parse(text.as_bytes()).ok()?;
        Some(WrittenLine { publish: publish.written(), idempotency_key })
    }

    fn verbatim(text: &str) -> Option<WrittenLine> {
        WrittenLine::verbatim(text.as_bytes())
    }

    #[test]
    fn the_form_of_the_log_is_kept_as_it_is() {
        for text in [
            r#"{"key":"title:1"}"#,
            r#"{"key":"title:1 {}","soft":true,"tags":["a","b"]}"#,
            r#"{"key":"title:1","op":"remove","tags":["a"],"idempotency_key":"k 1"}"#,
            r#"{"tag":"a","soft":true}"#,
            r#"{"prefix":"title:"}"#,
            r#"{"all":true}"#,
            r#"{"changes":[{"key":"title:2"},{"key":"title:1","tags":["title:2"]},{"tag":"title:2"},{"all":true}]}"#,
            r#"{"changes":[{"prefix":"a"},{"tag":"a"}],"idempotency_key":"k"}"#,
            r#"{"key":"a:1","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#,
            r#"{"key":"a:1","source":{"name":"postgres:tv","id":"0/16B3748","at":1767225600000},"idempotency_key":"k"}"#,
            r#"{"changes":[{"all":true}],"source":{"name":"files"}}"#,
        ] {
            let line = verbatim(text).unwrap_or_else(|| panic!("{text} is in the form of the log"));
            assert!(text.contains(line.publish.changes.trim_matches(['[', ']', '}'])), "{line:?}");
            assert_eq!(Some(line), parsed(text), "{text}");
        }
    }

    #[test]
    fn every_other_text_is_left_alone() {
        let key = |length| format!(r#"{{"key":"a:{}"}}"#, "x".repeat(length));
        let tags = |many: usize| {
            let tags: Vec<String> = (0..many).map(|nth| format!("\"{nth}\"")).collect();
            format!(r#"{{"key":"a:1","tags":[{}]}}"#, tags.join(","))
        };
        let list = |many: usize| {
            let changes: Vec<String> = (0..many).map(|nth| format!(r#"{{"key":"a:{nth}"}}"#)).collect();
            format!(r#"{{"changes":[{}]}}"#, changes.join(","))
        };
        for fits in [key(398), tags(256), list(1000)] {
            assert_eq!(verbatim(&fits).expect("it fits"), parsed(&fits).expect("it fits"));
        }
        for text in [
            "",
            "{}",
            r#"{"changes":[]}"#,
            r#"{"key":"a"}"#,
            r#"{"key":"a:1""#,
            r#"{"key":"a:1"} "#,
            r#"{ "key":"a:1"}"#,
            r#"{"key":"a:1","tags":[]}"#,
            r#"{"key":"a:1","tags":["b","b"]}"#,
            r#"{"key":"a:1","tags":["b c"]}"#,
            r#"{"tags":["b"],"key":"a:1"}"#,
            r#"{"key":"a:1","soft":false}"#,
            r#"{"key":"a:1","op":"update"}"#,
            r#"{"key":"a:1","soft":true,"op":"remove"}"#,
            r#"{"key":"a:1","tag":"b"}"#,
            r#"{"key":"a:é"}"#,
            r#"{"key":"a:\u0041"}"#,
            "{\"key\":\"a:\u{7f}\"}",
            r#"{"tag":"a","op":"remove"}"#,
            r#"{"tag":"a","tags":["b"]}"#,
            r#"{"prefix":""}"#,
            r#"{"all":false}"#,
            r#"{"all":true,"expect":{"version":1}}"#,
            r#"{"all":true,"idempotency_key":""}"#,
            r#"{"changes":[{"key":"a:1"},{"key":"b:1"},{"key":"a:1"}]}"#,
            r#"{"changes":[{"key":"a:1","idempotency_key":"k"}]}"#,
            r#"{"changes":[{"key":"a:1"}],"key":"a:2"}"#,
            r#"{"changes":[{"key":"a:1"}]}{"#,
            &key(399),
            &tags(257),
            &list(1001),
            &format!(r#"{{"key":"a:1","idempotency_key":"{}"}}"#, "k".repeat(256)),
        ] {
            assert_eq!(verbatim(text), None, "{text}");
        }
    }

    #[test]
    fn a_cause_in_another_form_is_left_alone() {
        for cause in [
            r#""traceparent":"00-x""#,
            r#""source":{"name":""}"#,
            r#""source":{"name":"a","at":01}"#,
            r#""source":{"name":"a","at":9007199254740992}"#,
            r#""source":{"name":"a","at":1.0}"#,
            r#""source":{"name":"a","of":"b"}"#,
            r#""source":{"id":"b","name":"a"}"#,
        ] {
            assert_eq!(verbatim(&format!(r#"{{"all":true,{cause}}}"#)), None, "{cause}");
        }
    }

    proptest! {
        /// Texts near the form of the log: pieces of it, in any order.
        #[test]
        fn a_text_that_is_taken_means_what_it_means_to_the_parser(
            pieces in proptest::collection::vec(0..PIECES.len(), 1..14),
        ) {
            let text: String = pieces.into_iter().map(|piece| PIECES[piece]).collect();
            for text in [format!("{{{text}}}"), format!(r#"{{"changes":[{{{text}}}]}}"#)] {
                if let Some(line) = verbatim(&text) {
                    prop_assert_eq!(Some(line), parsed(&text), "{}", text);
                }
            }
        }
    }

    const PIECES: &[&str] = &[
        r#""key":"a:1""#,
        r#""key":"a:2""#,
        r#""tag":"a:1""#,
        r#""prefix":"a""#,
        r#""all":true"#,
        r#","soft":true"#,
        r#","op":"remove""#,
        r#","tags":["a","b"]"#,
        r#","tags":["a","a"]"#,
        r#","idempotency_key":"k""#,
        r#","expect":{"version":1}"#,
        r#","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01""#,
        r#","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00""#,
        r#","source":{"name":"a""#,
        r#","id":"b""#,
        r#","at":7}"#,
        "}",
        "},{",
        "},{",
        "},{",
        ",",
        " ",
        "]",
    ];
}

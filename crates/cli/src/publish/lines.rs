//! Lines under way: the lines that were read and not answered yet, and the outcome of the answers. Does no
//! I/O.

use std::collections::VecDeque;

use newsreel_core::wire::ndjson::{PublishAnswer, PublishAnswers, nth_key, with_key};
use newsreel_core::wire::{Problem, PublishLine};
use serde_json::value::RawValue;

/// How many publishes may be under way.
const WINDOW: usize = 1_000;
/// How many bytes of them; one always may. The broker takes 4 MiB.
const WINDOW_BYTES: usize = 1 << 20;

/// The lines of one input, from the first that is not printed yet.
pub(super) struct Lines {
    key: String,
    waiting: VecDeque<Entry>,
    bytes: usize,
    /// How many were read.
    pub(super) read: usize,
    /// How many of their answers were printed.
    pub(super) answered: usize,
    /// How many of those were refusals.
    pub(super) refused: usize,
    /// The first refusal: the number of its line, its code and detail.
    pub(super) first_refusal: Option<(usize, String, String)>,
}

enum Entry {
    /// Sent, or to be sent once there is a connection.
    UnderWay(String),
    /// No publish: the problem.
    Refused(Problem),
}

/// The outcome of some answers.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// The lines to print.
    pub(super) lines: String,
    /// The reason to send the rest again over a new connection.
    pub(super) broken: Option<String>,
}

impl Lines {
    /// Returns the lines of an input whose `n`th publish has the idempotency key `<key>#<n>`.
    pub(super) fn new(key: String) -> Self {
        let (waiting, first_refusal) = (VecDeque::new(), None);
        Self { key, waiting, bytes: 0, read: 0, answered: 0, refused: 0, first_refusal }
    }

    /// Says whether another line may be read.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < WINDOW && self.bytes < WINDOW_BYTES
    }

    /// Says whether every line that was read has been answered.
    pub(super) fn is_done(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns the lines to send again over a new connection, in order.
    pub(super) fn under_way(&self) -> Vec<String> {
        let text = |entry: &Entry| match entry {
            Entry::UnderWay(text) => Some(text.clone()),
            Entry::Refused(_) => None,
        };
        self.waiting.iter().filter_map(text).collect()
    }

    /// Takes a line that is not empty; returns the text to send. A line that is no publish is answered here.
    pub(super) fn take(&mut self, line: &str, heard: &mut Heard) -> Option<String> {
        self.read += 1;
        let line = line.trim();
        let text = match PublishLine::parse(line.as_bytes()) {
            Ok(PublishLine { idempotency_key: Some(_), .. }) => line.to_owned(),
            Ok(PublishLine { idempotency_key: None, .. }) => with_key(line, &nth_key(&self.key, self.read)),
            Err(error) => {
                self.waiting.push_back(Entry::Refused(error.into()));
                self.print_refusals(heard);
                return None;
            }
        };
        self.bytes += text.len();
        self.waiting.push_back(Entry::UnderWay(text.clone()));
        Some(text)
    }

    /// Takes a frame from the broker. An answer that another attempt may better ends the connection: later
    /// answers would be printed out of order.
    pub(super) fn hear(&mut self, frame: &str) -> Heard {
        let mut heard = Heard::default();
        let Ok(PublishAnswers { answers }) = serde_json::from_str::<PublishAnswers<Box<RawValue>>>(frame)
        else {
            return heard;
        };
        for answer in answers {
            let refusal = match serde_json::from_str(answer.get()) {
                Ok(PublishAnswer::Published(_)) => None,
                Ok(PublishAnswer::Refused(refusal)) => Some(refusal),
                Err(error) => {
                    heard.broken = Some(format!("an answer that is none: {error}"));
                    return heard;
                }
            };
            if let Some(refusal) = &refusal
                && (refusal.status >= 500 || refusal.status == 429)
            {
                heard.broken = Some(format!("{}: {}", refusal.code, refusal.detail));
                return heard;
            }
            match self.waiting.pop_front() {
                Some(Entry::UnderWay(text)) => self.bytes -= text.len(),
                Some(Entry::Refused(_)) | None => {
                    heard.broken = Some("an answer to nothing".to_owned());
                    return heard;
                }
            }
            let refusal = refusal.map(|refusal| (refusal.code, refusal.detail));
            self.print(answer.get(), refusal, &mut heard);
            self.print_refusals(&mut heard);
        }
        heard
    }

    fn print_refusals(&mut self, heard: &mut Heard) {
        while let Some(Entry::Refused(problem)) = self.waiting.front() {
            let (json, code, detail) = (problem.to_json(), problem.code(), problem.detail());
            let refusal = Some((code.to_owned(), detail.to_owned()));
            self.waiting.pop_front();
            self.print(&json, refusal, heard);
        }
    }

    fn print(&mut self, answer: &str, refusal: Option<(String, String)>, heard: &mut Heard) {
        self.answered += 1;
        if let Some((code, detail)) = refusal {
            self.refused += 1;
            self.first_refusal.get_or_insert((self.answered, code, detail));
        }
        heard.lines.push_str(answer);
        heard.lines.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use newsreel_core::wire::Code;
    use newsreel_core::wire::ndjson::answers_text;

    use super::*;

    fn receipt(version: u64) -> String {
        format!(
            r#"{{"catalog":"tv","epoch":"01ARYZ6S410000000000000000","version":{version},"position":"01ARYZ6S410000000000000000:{version}:0011223344556677","at":1,"changes":1,"new":true}}"#
        )
    }

    fn take(lines: &mut Lines, line: &str) -> (Option<String>, String) {
        let mut heard = Heard::default();
        let sent = lines.take(line, &mut heard);
        (sent, heard.lines)
    }

    #[test]
    fn a_line_gets_the_key_of_its_place_unless_it_has_one() {
        let mut lines = Lines::new("k".to_owned());
        let own = r#"{"key":"a:1","idempotency_key":"mine"}"#;
        assert_eq!(take(&mut lines, own).0.as_deref(), Some(own));
        let sent = take(&mut lines, " {\"changes\":[{\"all\":true}] } \r\n").0;
        assert_eq!(sent.as_deref(), Some(r#"{"changes":[{"all":true}] ,"idempotency_key":"k#2"}"#));
        assert!(PublishLine::parse(sent.unwrap().as_bytes()).is_ok());
    }

    #[test]
    fn answers_and_refusals_are_printed_in_the_order_of_the_lines() {
        let mut lines = Lines::new("k".to_owned());
        assert!(take(&mut lines, "{").1.contains("bad-json"), "nothing stands before it");
        take(&mut lines, r#"{"key":"a:1"}"#);
        assert_eq!(take(&mut lines, r#"{"key":"a"}"#), (None, String::new()));
        take(&mut lines, r#"{"key":"a:2"}"#);
        assert_eq!(lines.under_way().len(), 2);
        let reuse = Problem::new(Code::IdempotencyReuse, "taken").to_json();
        let heard = lines.hear(&answers_text(&[receipt(1), reuse.clone()].join(",")));
        let printed: Vec<&str> = heard.lines.lines().collect();
        assert_eq!((printed[0], printed[2]), (receipt(1).as_str(), reuse.as_str()));
        assert!(printed[1].contains("bad-key"));
        assert_eq!((lines.read, lines.answered, lines.refused), (4, 4, 3));
        assert!(lines.is_done() && heard.broken.is_none());
        assert_eq!(lines.first_refusal.unwrap().0, 1);
    }

    #[test]
    fn a_refusal_that_may_pass_leaves_it_and_what_follows_under_way() {
        let mut lines = Lines::new("k".to_owned());
        for n in 0..3 {
            take(&mut lines, &format!(r#"{{"key":"a:{n}"}}"#));
        }
        let busy = Problem::new(Code::Busy, "later").to_json();
        let heard = lines.hear(&answers_text(&[receipt(1), busy, receipt(2)].join(",")));
        assert_eq!(heard.lines, receipt(1) + "\n");
        assert_eq!(heard.broken.as_deref(), Some("busy: later"));
        let again: Vec<String> = lines.under_way();
        assert_eq!(again.len(), 2);
        assert!(again[0].contains("a:1") && again[1].contains("a:2"));
    }

    #[test]
    fn a_broker_that_answers_an_unasked_line_is_left() {
        let mut lines = Lines::new("k".to_owned());
        assert!(lines.hear(&answers_text(&receipt(1))).broken.is_some());
        take(&mut lines, r#"{"key":"a:1"}"#);
        assert!(lines.hear(&answers_text("{}")).broken.is_some());
        assert_eq!(lines.hear(r#"{"type":"error","code":"x"}"#).lines, "");
        assert!(!lines.is_done());
    }

    #[test]
    fn no_more_is_read_than_the_broker_takes() {
        let mut lines = Lines::new("k".to_owned());
        for n in 0..WINDOW {
            assert!(lines.has_room());
            take(&mut lines, &format!(r#"{{"key":"a:{n}"}}"#));
        }
        assert!(!lines.has_room());
        lines.hear(&answers_text(&receipt(1)));
        assert!(lines.has_room());
    }
}

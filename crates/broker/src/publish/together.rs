//! Publishes with small bodies, which the front door has read: many of them in one call of the object.
//!
//! A call has the heads of its publishes as lines, four for each, and their bodies one after the other. Its answer has a line
//! for each: a receipt, or status, headers and text as JSON after an exclamation mark. `worker/together.js` is the other end.

use std::rc::Rc;

use newsreel_core::access::Grant;
use newsreel_core::follow::hub::PublishOutcome;
use newsreel_core::wire::Problem;
use newsreel_core::wire::publish::check_idempotency_key;

use crate::http::{REPLAYED, header_lines};
use crate::publish::body::is_under_way;
use crate::publish::http::Posted;
use crate::publish::problems::in_flight;
use crate::publish::publishers::outcome_json;
use crate::publish::queue::{Publishing, QueuedPublish};

impl Publishing {
    /// Publishes all of a call at once, in order; returns the lines of its answer.
    pub(crate) async fn publish_together(self: &Rc<Self>, heads: &str, bodies: &[u8]) -> String {
        let publishes = split(heads, bodies).into_iter().map(|posted| self.small(posted)).collect();
        match self.committed(publishes, bodies.len()).await {
            Ok(outcomes) => outcomes.iter().map(line).collect::<Vec<_>>().join("\n"),
            Err(problem) => refused(count(heads), &problem),
        }
    }

    fn small(&self, posted: Posted) -> QueuedPublish {
        posted.idempotency_key.as_deref().map(check_idempotency_key).transpose().map_err(Problem::from)?;
        if is_under_way(&self.bodies, &posted.publisher, &posted.idempotency_key) {
            return Err(in_flight());
        }
        self.alone(posted)
    }
}

/// Returns the answer to a call whose publishes are all refused.
pub(crate) fn refused(publishes: usize, problem: &Problem) -> String {
    vec![problem_line(problem); publishes].join("\n")
}

/// Returns how many publishes the heads of a call are of.
pub(crate) fn count(heads: &str) -> usize {
    heads.split('\n').count() / HEAD_LINES
}

/// How many lines the head of a publish has.
const HEAD_LINES: usize = 4;

/// Splits a call into its publishes.
fn split(heads: &str, mut bodies: &[u8]) -> Vec<Posted> {
    let mut lines = heads.split('\n');
    let mut posted = Vec::with_capacity(count(heads));
    while let Some(length) = lines.next() {
        let length = length.parse().unwrap_or(usize::MAX).min(bodies.len());
        let body = bodies.split_off(..length).unwrap_or_default().to_vec();
        let publisher = lines.next().unwrap_or_default().to_owned();
        let mut header = || lines.next().and_then(|line| line.strip_prefix('='));
        posted.push(Posted {
            publisher,
            grant: Grant::default(),
            idempotency_key: header().map(str::to_owned),
            traceparent: header().and_then(|text| text.parse().ok()),
            body,
        });
    }
    posted
}

fn line(outcome: &PublishOutcome) -> String {
    match outcome {
        PublishOutcome::Committed(_) => outcome_json(outcome),
        PublishOutcome::Repeated(_) => {
            let headers = format!("Content-Type:application/json\nCache-Control:no-store\n{REPLAYED}:true");
            answer_line(200, &headers, &outcome_json(outcome))
        }
        PublishOutcome::Refused(problem) => problem_line(problem),
    }
}

fn problem_line(problem: &Problem) -> String {
    answer_line(problem.status(), &header_lines(problem), &problem.to_json())
}

fn answer_line(status: u16, headers: &str, text: &str) -> String {
    format!("!{}", serde_json::json!([status, headers, text]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::problems::busy;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_call_is_split_into_its_publishes() {
        let posted = split(
            "2\nfeed\n=one\n\n3\nother\n\n=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            b"ababc",
        );
        let heads: Vec<_> = posted
            .iter()
            .map(|one| (one.publisher.as_str(), one.idempotency_key.as_deref(), one.traceparent.is_some()))
            .collect();
        assert_eq!(heads, [("feed", Some("one"), false), ("other", None, true)]);
        assert_eq!(
            posted.iter().map(|one| one.body.as_slice()).collect::<Vec<_>>(),
            [b"ab".as_slice(), b"abc"]
        );
    }

    #[test]
    fn a_refused_call_has_a_line_for_each_publish() {
        let answer = refused(count("2\nfeed\n\n\n3\nfeed\n\n"), &busy());
        assert_eq!(answer.lines().count(), 2);
        assert!(answer.starts_with("![429,\"Content-Type:application/problem+json\\n"), "{answer}");
    }
}

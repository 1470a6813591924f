//! The answers that differ from the origin and are not decided.

use std::collections::HashMap;

use newsreel_core::wire::Key;
use newsreel_core::wire::frame::VersionRow;
use serde_json::Value;

use super::edges::EdgeAnswer;
use super::judge::{Because, Sighting, Suspect, SuspectEnd};
use super::tally::When;
use super::trace::Disagreement;

/// How many differences may be open. Further ones are closed undecided, the oldest first.
const MOST_CASES: usize = 10_000;
/// How many kinds of faults are remembered, so that each is printed once.
const MOST_PRINTED: usize = 10_000;

/// An answer that differs from the origin.
pub(super) struct Case {
    pub(super) key: Key,
    /// The number of the edge.
    pub(super) edge: usize,
    pub(super) when: When,
    pub(super) suspect: Suspect,
    pub(super) answered: EdgeAnswer,
    pub(super) origin: Sighting,
    /// What the edges say of their answers, once they did.
    pub(super) explain: Option<Value>,
}

impl Case {
    /// Returns the trace of the case, which is wrong for this reason.
    pub(super) fn trace<'a>(
        &'a self,
        edge: &'a str,
        because: Because,
        log: Vec<&'a VersionRow>,
    ) -> Disagreement<'a> {
        Disagreement {
            key: &self.key,
            edge,
            when: self.when,
            because,
            answered: &self.answered,
            origin: &self.origin,
            log,
            explain: self.explain.as_ref().unwrap_or(&Value::Null),
        }
    }
}

/// All open cases, by number.
#[derive(Default)]
pub(super) struct Cases {
    open: Vec<(u64, Case)>,
    next: u64,
    /// The faults that were printed: a key at an edge, and why.
    printed: HashMap<(Key, usize), Because>,
}

impl Cases {
    /// Opens a case; returns its number.
    pub(super) fn open(&mut self, case: Case) -> u64 {
        self.next += 1;
        self.open.push((self.next, case));
        if self.open.len() > MOST_CASES {
            self.open.remove(0);
        }
        self.next
    }

    /// Takes what the edges say of the answers of some cases.
    pub(super) fn explain(&mut self, cases: &[u64], explanation: &Value) {
        for (_, case) in self.open.iter_mut().filter(|(number, _)| cases.contains(number)) {
            case.explain = Some(explanation.clone());
        }
    }

    /// Takes out what is explained and settled, the oldest first.
    pub(super) fn settle(&mut self, end: impl Fn(&Case) -> Option<SuspectEnd>) -> Vec<(Case, SuspectEnd)> {
        let mut settled = Vec::new();
        let mut left = Vec::new();
        for (number, case) in self.open.drain(..) {
            match end(&case).filter(|_| case.explain.is_some()) {
                Some(end) => settled.push((case, end)),
                None => left.push((number, case)),
            }
        }
        self.open = left;
        settled
    }

    /// Says whether this fault of this key was not printed before, and remembers it.
    pub(super) fn is_news(&mut self, case: &Case, because: Because) -> bool {
        if self.printed.len() >= MOST_PRINTED {
            self.printed.clear();
        }
        self.printed.insert((case.key.clone(), case.edge), because) != Some(because)
    }

    /// Takes out all cases.
    pub(super) fn take_all(&mut self) -> Vec<Case> {
        self.open.drain(..).map(|(_, case)| case).collect()
    }

    /// Returns how many cases are open.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}

//! The driver's commits: publishes that wait together are written together, and a publish that cannot be
//! written fails alone.

use std::iter::Peekable;
use std::vec::IntoIter;

use super::super::Submission;
use super::{HubDriver, HubInput, Platform, PublishOutcome};
use crate::wire::position::UnixMillis;
use crate::wire::problem::{Code, Problem};

/// How many bytes of changes one transaction of several publishes writes. The rows, the frames and the
/// publishes kept for a second try are several copies of these bytes in memory.
const COMMIT_BYTES: usize = 1 << 20;
/// After so many publishes in a row that could not be written, the rest are not tried: each failure costs a
/// rebuild of the hub, and a full disk fails all publishes.
const FAILURES: u32 = 3;

/// Returns the answer to a publish that could not be written.
#[must_use]
pub fn not_written() -> Problem {
    Problem::new(Code::NotWritten, "the publish could not be written and left nothing behind; try it again")
}

impl HubDriver {
    /// Commits publishes, a transaction's worth at a time, and answers each of them once. Publishes that
    /// cannot be written together are tried one by one.
    pub fn publish<P: Platform>(&mut self, platform: &mut P, now: UnixMillis, submissions: Vec<Submission>) {
        let mut failures = 0;
        let mut left = submissions.into_iter().peekable();
        while left.peek().is_some() && failures < FAILURES {
            let some = together(&mut left);
            let Err(error) = self.commit(platform, now, some.clone()) else { continue };
            platform.report("publishes are written one by one", &error);
            for one in some {
                let ticket = one.ticket;
                let written = failures < FAILURES && self.commit(platform, now, vec![one]).is_ok();
                failures = if written { 0 } else { failures + 1 };
                if !written {
                    platform.answer(ticket, PublishOutcome::Refused(not_written()));
                }
            }
        }
        left.for_each(|one| platform.answer(one.ticket, PublishOutcome::Refused(not_written())));
    }

    /// Decides on publishes and writes them in one step.
    fn commit<P: Platform>(
        &mut self,
        platform: &mut P,
        now: UnixMillis,
        mut submissions: Vec<Submission>,
    ) -> Result<(), P::Error> {
        if now.since(self.checked_silence_at) >= self.limits.look_every() {
            self.close_silent(platform, now)?;
        }
        for submission in &mut submissions {
            if let Some(key) = &submission.idempotency_key {
                submission.remembered = platform.remembered(&submission.publisher, key, now)?;
            }
        }
        let has_new_key = |one: &Submission| one.idempotency_key.is_some() && one.remembered.is_none();
        if submissions.iter().any(has_new_key) && !platform.has_room_for_keys()? {
            // The log is bounded and a day of keys is not: publishes without a new key go on.
            let refused = submissions.extract_if(.., |one| has_new_key(one)).map(|one| one.ticket);
            let refused: Vec<u64> = refused.collect();
            self.step(platform, now, HubInput::Publish(submissions))?;
            refused
                .into_iter()
                .for_each(|ticket| platform.answer(ticket, PublishOutcome::Refused(not_written())));
            return Ok(());
        }
        self.step(platform, now, HubInput::Publish(submissions))
    }
}

/// Takes the publishes that one transaction writes, from the front.
fn together(left: &mut Peekable<IntoIter<Submission>>) -> Vec<Submission> {
    let (mut some, mut bytes) = (Vec::new(), 0);
    while let Some(one) =
        left.next_if(|one| some.is_empty() || bytes + one.publish.changes.len() <= COMMIT_BYTES)
    {
        bytes += one.publish.changes.len();
        some.push(one);
    }
    some
}

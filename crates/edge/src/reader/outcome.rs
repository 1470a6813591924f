//! The outcome of a read for its caller: a value, nothing, or a problem.

use newsreel_core::read::cache::{Answer, ReadFailure};
use newsreel_core::read::sync::MinVersion;
use newsreel_core::wire::{Code, Position, Problem};

use crate::reader::context::ReadContext;
use crate::reader::drive::FinishedRead;
use crate::reader::response::headers::Provenance;

/// The outcome of a read, as the response tells it to the caller.
pub(crate) enum Outcome {
    Value,
    /// The key has no value: the position is that of its removal, or of the fill that found nothing.
    NotFound(Problem, Option<Position>),
    Failed(Problem),
}

pub(crate) fn outcome(
    context: &ReadContext,
    read: &FinishedRead,
    at_least: Option<MinVersion>,
    provenance: &Provenance,
) -> Outcome {
    let at = match read.answer() {
        Answer::Fail(failure) => {
            return Outcome::Failed(failed(context, read, *failure, at_least, provenance));
        }
        Answer::Removed { at, .. } => {
            provenance.position.map(|position| Position { version: *at, ..position })
        }
        Answer::Serve { .. } => match read.entry() {
            Some(entry) if entry.envelope.found => return Outcome::Value,
            entry => entry.map(|entry| entry.envelope.position),
        },
    };
    Outcome::NotFound(Problem::new(Code::NotFound, format!("{} has no {}", context.catalog, read.key())), at)
}

fn failed(
    context: &ReadContext,
    read: &FinishedRead,
    failure: ReadFailure,
    at_least: Option<MinVersion>,
    provenance: &Provenance,
) -> Problem {
    let lag = provenance.lag.map(|lag| lag.as_millis());
    match failure {
        ReadFailure::BoundNotKept => {
            let (class, bound) = (read.key().class(), context.policy(read.key()).lag_bound.as_millis());
            let text = format!("class {class} promises a lag of {bound} ms, which cannot be proved now");
            Problem::new(Code::BoundNotKept, text).with("lag_ms", lag)
        }
        ReadFailure::MinVersion => {
            let wanted = at_least.map(|wanted| format!("{}:{}", wanted.epoch, wanted.version));
            Problem::new(Code::MinVersion, "the version asked for has not been heard here in time")
                .with("wanted", wanted)
                .with("position", provenance.position)
        }
        ReadFailure::Overtaken => {
            let text = "a change was published since the lease: fetch the value again, under a new lease";
            Problem::new(Code::Overtaken, text).with("position", provenance.position)
        }
        ReadFailure::Origin => {
            let why = read.origin_error().unwrap_or_default();
            let text = format!("the origin could not answer, and nothing may be served in its place: {why}");
            Problem::new(Code::OriginFailed, text)
        }
    }
}

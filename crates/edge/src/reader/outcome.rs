//! The outcome of a read for its caller: a value, nothing, or a problem.

use newsreel_core::read::cache::{Answer, ReadFailure};
use newsreel_core::read::sync::MinVersion;
use newsreel_core::wire::{Code, Position, Problem};

use crate::reader::context::Place;
use crate::reader::drive::Walk;
use crate::reader::response::headers::Served;

/// The outcome of a read, as the response tells it to the caller.
pub(crate) enum Outcome {
    Value,
    /// The key has no value: the position is that of its removal, or of the fill that found nothing.
    NotFound(Problem, Option<Position>),
    Failed(Problem),
}

pub(crate) fn outcome(place: &Place, walk: &Walk, at_least: Option<MinVersion>, served: &Served) -> Outcome {
    let at = match walk.answer() {
        Answer::Fail(failure) => return Outcome::Failed(failed(place, walk, *failure, at_least, served)),
        Answer::Removed { at, .. } => served.position.map(|position| Position { version: *at, ..position }),
        Answer::Serve { .. } => match walk.entry() {
            Some(entry) if entry.envelope.found => return Outcome::Value,
            entry => entry.map(|entry| entry.envelope.position),
        },
    };
    Outcome::NotFound(Problem::new(Code::NotFound, format!("{} has no {}", place.catalog, walk.key())), at)
}

fn failed(
    place: &Place,
    walk: &Walk,
    failure: ReadFailure,
    at_least: Option<MinVersion>,
    served: &Served,
) -> Problem {
    let lag = served.lag.map(|lag| lag.as_millis());
    match failure {
        ReadFailure::BoundNotKept => {
            let (class, bound) = (walk.key().class(), place.policy(walk.key()).lag_bound.as_millis());
            let text = format!("class {class} promises a lag of {bound} ms, which cannot be proved now");
            Problem::new(Code::BoundNotKept, text).with("lag_ms", lag)
        }
        ReadFailure::MinVersion => {
            let wanted = at_least.map(|wanted| format!("{}:{}", wanted.epoch, wanted.version));
            Problem::new(Code::MinVersion, "the version asked for has not been heard here in time")
                .with("wanted", wanted)
                .with("position", served.position)
        }
        ReadFailure::Origin => {
            let why = walk.origin_error().unwrap_or_default();
            let text = format!("the origin could not answer, and nothing may be served in its place: {why}");
            Problem::new(Code::OriginFailed, text)
        }
    }
}

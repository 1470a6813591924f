//! The reasons for which a publish is refused before any of it is queued.

use newsreel_core::wire::{Code, Problem};

/// The queue, or the memory for bodies, is full.
pub(crate) fn busy() -> Problem {
    Problem::new(Code::Busy, "too many publishes are waiting; try again in a second")
}

/// A body has more than `most` bytes.
pub(crate) fn too_large(most: usize) -> Problem {
    let text = format!("this body may have at most {most} bytes: publish in several versions");
    Problem::new(Code::BodyTooLarge, text)
}

/// The object failed between the commit and the answer, or before it.
pub(crate) fn unknown() -> Problem {
    let text = "it is not known whether the publish was written; send it again with the same Idempotency-Key";
    Problem::new(Code::Internal, text)
}

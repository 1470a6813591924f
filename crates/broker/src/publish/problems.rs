//! The reasons for which a publish is refused before any of it is queued.

use newsreel_core::wire::{Code, Problem};

/// The queue, or the memory for bodies, is full.
pub(crate) fn busy() -> Problem {
    Problem::new(Code::Busy, "too many publishes are waiting; try again in a second")
}

/// The body of another request with the same idempotency key is being read.
pub(crate) fn in_flight() -> Problem {
    Problem::new(
        Code::IdempotencyInFlight,
        "this Idempotency-Key is being published; ask again for its answer",
    )
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

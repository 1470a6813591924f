//! The version log: append-only, gap-free, hashed, compacted and forgotten from the front. Knows nothing
//! about sockets or storage.

pub mod compaction;
pub mod maintenance;
pub mod schema;

use crate::wire::cause::Cause;
use crate::wire::claim::Claim;
use crate::wire::frame;
use crate::wire::position::{Epoch, Hash, Position, UnixMillis, Version};

/// The ends of a log: all that is needed to append to it and to judge a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    head: Position,
    folded: Position,
}

/// One version as it is stored, hashed and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The position after it.
    pub position: Position,
    /// The row as ASCII JSON: `{"version":…,"at":…,"changes":[…],…cause}`.
    pub text: String,
}

/// How a claimed position relates to a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimStatus {
    /// The claim is the head.
    Current,
    /// The claim is on the log, below the head.
    Behind {
        /// The version that the claim names.
        after: Version,
    },
    /// The claim is not on the log.
    NotOnLog(ResetReason),
}

/// The reason why a position is not on a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetReason {
    /// The position belongs to another epoch.
    Epoch,
    /// The version is above the head.
    Future,
    /// The log has the same version with another hash, so the log was restored.
    Hash,
    /// The version is below everything that the log keeps.
    Forgotten,
}

impl ResetReason {
    /// Returns the text for people that a `reset` carries.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Epoch => "another epoch",
            Self::Future => "ahead of the log",
            Self::Hash => "another history",
            Self::Forgotten => "older than anything kept",
        }
    }

    /// Says whether a refused claim of a trusted replica proves that the log was restored to an older state.
    ///
    /// An *older* epoch is normal: a follower that was offline when a new epoch began still presents the old
    /// one.
    #[must_use]
    pub fn proves_a_restore(self, claimed: Epoch, ours: Epoch) -> bool {
        match self {
            Self::Future | Self::Hash => true,
            Self::Epoch => claimed > ours,
            Self::Forgotten => false,
        }
    }
}

impl Log {
    /// Returns the log that ends at `head`, of which everything up to `folded` is kept only as a fold.
    #[must_use]
    pub fn new(head: Position, folded: Position) -> Self {
        Self { head, folded }
    }

    /// Returns the log that ends at `head` and is kept in full.
    #[must_use]
    pub fn ending_at(head: Position) -> Self {
        Self::new(head, Position::genesis(head.epoch))
    }

    /// Returns an empty log.
    #[must_use]
    pub fn empty(epoch: Epoch) -> Self {
        Self::ending_at(Position::genesis(epoch))
    }

    /// Returns the newest position.
    #[must_use]
    pub fn head(&self) -> Position {
        self.head
    }

    /// Returns the position up to which only a fold is left; that of version 0 while everything is kept in
    /// full.
    #[must_use]
    pub fn folded(&self) -> Position {
        self.folded
    }

    /// Returns the oldest version kept in full; one above the head when there is none.
    #[must_use]
    pub fn tail(&self) -> Version {
        self.folded.version.next()
    }

    /// Notes that everything up to `folded` has been compacted.
    pub fn fold(&mut self, folded: Position) {
        self.folded = folded;
    }

    /// Appends a version. `changes` is the canonical JSON array of [`crate::wire::Written::changes`].
    pub fn append(&mut self, at: UnixMillis, changes: &str, cause: &Cause) -> Row {
        let text = frame::row_text(self.head.version.next(), at, changes, cause);
        self.head = self.head.then(text.as_bytes());
        Row { position: self.head, text }
    }

    /// Judges a claim. `logged` is the log's own hash at the claimed version, if that is still known.
    #[must_use]
    pub fn claim_status(&self, claim: Claim, logged: Option<Hash>) -> ClaimStatus {
        let after = claim.version();
        if let Claim::Held { epoch, version, hash } = claim {
            if epoch != self.head.epoch {
                return ClaimStatus::NotOnLog(ResetReason::Epoch);
            }
            if version > self.head.version {
                return ClaimStatus::NotOnLog(ResetReason::Future);
            }
            match (hash, logged) {
                (Some(claimed), Some(logged)) if claimed != logged => {
                    return ClaimStatus::NotOnLog(ResetReason::Hash);
                }
                (_, None) => {
                    return ClaimStatus::NotOnLog(ResetReason::Forgotten);
                }
                (_, _) => {}
            }
        }
        if after == self.head.version { ClaimStatus::Current } else { ClaimStatus::Behind { after } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn log(versions: usize) -> (Log, Vec<Position>) {
        let mut log = Log::ending_at(Position::genesis(Epoch::new(UnixMillis(1), [0; 10])));
        let mut positions = vec![log.head()];
        for at in 0..versions {
            positions
                .push(log.append(UnixMillis(at as u64), r#"[{"key":"a:1"}]"#, &Cause::default()).position);
        }
        (log, positions)
    }

    #[test]
    fn versions_have_no_gap_and_rows_are_what_goes_on_the_wire() {
        let (mut log, positions) = log(2);
        assert_eq!(positions.iter().map(|at| at.version.number()).collect::<Vec<_>>(), [0, 1, 2]);
        let row = log.append(UnixMillis(9), r#"[{"all":true}]"#, &Cause::default());
        assert_eq!(row.text, r#"{"version":3,"at":9,"changes":[{"all":true}]}"#);
        assert_eq!(row.position, log.head());
        assert_eq!(row.position.hash, positions[2].hash.then(row.text.as_bytes()));
    }

    #[test]
    fn g5_any_position_ever_held_is_resumed() {
        let (log, positions) = log(3);
        for at in &positions[..3] {
            assert_eq!(
                log.claim_status((*at).into(), Some(at.hash)),
                ClaimStatus::Behind { after: at.version }
            );
        }
        assert_eq!(log.claim_status(positions[3].into(), Some(positions[3].hash)), ClaimStatus::Current);
        assert_eq!(log.claim_status(Claim::Nothing, None), ClaimStatus::Behind { after: Version::ZERO });
    }

    #[test]
    fn g7_a_position_that_is_not_on_the_log_is_told_so() {
        let (log, positions) = log(3);
        let Position { epoch, version, hash } = positions[2];
        let other = Epoch::new(UnixMillis(2), [0; 10]);
        let claim = |epoch, version, hash| Claim::Held { epoch, version, hash: Some(hash) };
        let standing = |claim, logged| log.claim_status(claim, logged);
        assert_eq!(
            standing(claim(other, version, hash), Some(hash)),
            ClaimStatus::NotOnLog(ResetReason::Epoch)
        );
        assert_eq!(
            standing(claim(epoch, Version::new(4).unwrap(), hash), None),
            ClaimStatus::NotOnLog(ResetReason::Future)
        );
        let foreign = hash.then(b"x");
        assert_eq!(
            standing(claim(epoch, version, foreign), Some(hash)),
            ClaimStatus::NotOnLog(ResetReason::Hash)
        );
        assert_eq!(
            standing(claim(epoch, version, hash), None),
            ClaimStatus::NotOnLog(ResetReason::Forgotten)
        );
    }
    #[test]
    fn only_a_claim_from_another_history_proves_a_restore() {
        let (older, newer) = (Epoch::new(UnixMillis(1), [0; 10]), Epoch::new(UnixMillis(2), [0; 10]));
        assert!(ResetReason::Hash.proves_a_restore(older, older));
        assert!(ResetReason::Future.proves_a_restore(older, older));
        assert!(ResetReason::Epoch.proves_a_restore(newer, older));
        assert!(!ResetReason::Epoch.proves_a_restore(older, newer), "it was away while the epoch began");
        assert!(!ResetReason::Epoch.proves_a_restore(older, older));
        assert!(!ResetReason::Forgotten.proves_a_restore(older, older));
    }

    #[test]
    fn the_tail_is_the_oldest_version_kept_in_full() {
        let (mut log, positions) = log(3);
        assert_eq!(log.tail().number(), 1);
        log.fold(positions[2]);
        assert_eq!(log.tail().number(), 3);
        assert_eq!(log.folded(), positions[2]);
    }
}

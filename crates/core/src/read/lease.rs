//! Leases: what a caller needs who fetches a value itself and hands it in afterwards.
//!
//! A lease is the reader's position from before the fetch begins. The value is stored under that position, so a change
//! that is published during the fetch refuses it, as it refuses a late answer of the origin
//! ([`ReadMachine::landing`](super::cache::ReadMachine::landing)). Nothing is kept for a lease: it can be lost, used
//! twice or handed in at another edge, and no answer becomes wrong.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::read::sync::MinVersion;
use crate::wire::position::{Position, PositionError, UnixMillis};

/// How long after its beginning a fetch may be handed in. A caller that needs longer begins anew.
pub const LEASE_FOR: Duration = Duration::from_secs(600);

/// The reader's position when a fetch began, and that time. Its text is `<position>@<Unix milliseconds>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The position of the reader from before the fetch.
    pub position: Position,
    /// When the lease was given, by the clock of the reader that gave it. The entry's time to live counts from here.
    pub began_at: UnixMillis,
}

/// Why a text is not a lease.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// There is no `@` between position and time.
    #[error("a lease is <position>@<time>, as it was given")]
    Shape,
    /// The part before the `@` is not a position.
    #[error("the position of the lease: {0}")]
    Position(#[from] PositionError),
    /// The part after the `@` is not a time.
    #[error("the time of the lease is not a number of milliseconds")]
    Time,
}

impl Lease {
    /// Returns when the lease ends.
    #[must_use]
    pub fn expires_at(&self) -> UnixMillis {
        self.began_at.plus(LEASE_FOR)
    }

    /// Returns the version that a reader must have heard before it judges a value of this lease.
    #[must_use]
    pub fn at_least(&self) -> MinVersion {
        MinVersion { epoch: self.position.epoch, version: self.position.version }
    }
}

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.position, self.began_at.0)
    }
}

impl FromStr for Lease {
    type Err = LeaseError;

    fn from_str(text: &str) -> Result<Self, LeaseError> {
        let (position, began_at) = text.trim().split_once('@').ok_or(LeaseError::Shape)?;
        let began_at = began_at.parse().map_err(|_| LeaseError::Time)?;
        Ok(Self { position: position.parse()?, began_at: UnixMillis(began_at) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const TEXT: &str = "01ARYZ6S410000000000000000:7:7ae264e1fd7e3c55@1764510000000";

    #[test]
    fn a_lease_survives_its_text() {
        let lease: Lease = TEXT.parse().unwrap();
        assert_eq!(lease.to_string(), TEXT);
        assert_eq!(lease.position.version.number(), 7);
        assert_eq!(lease.expires_at(), UnixMillis(1_764_510_600_000));
    }

    #[test]
    fn a_text_that_is_no_lease_is_told_what_is_wrong_with_it() {
        let position = TEXT.split('@').next().unwrap();
        assert_eq!(position.parse::<Lease>(), Err(LeaseError::Shape));
        assert_eq!(format!("{position}@soon").parse::<Lease>(), Err(LeaseError::Time));
        assert!(matches!("x@1".parse::<Lease>(), Err(LeaseError::Position(_))));
    }
}

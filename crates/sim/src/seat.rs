//! A follower as its machine has it: the state machine of the core, its clock and its connection.

use std::time::Duration;

use newsreel_core::follow::follower::{Cursor, Follower, FollowerConfig, Phase};
use newsreel_core::follow::topics::Topics;
use newsreel_core::wire::Position;
use newsreel_core::wire::frame::FoldedChange;

use crate::machine::Clock;

/// A follower and its connection.
#[derive(Debug)]
pub(crate) struct FollowerSeat {
    pub(crate) follower: Follower,
    pub(crate) clock: Clock,
    pub(crate) topics: Topics,
    /// The number of the attempt to connect; news of an older one is of a socket that was given up.
    pub(crate) link: u64,
    pub(crate) socket: Option<u64>,
    /// The moment at which the armed timer fires.
    pub(crate) timer: Option<u64>,
    /// The parts of the current fold that have arrived.
    pub(crate) fold: Vec<FoldedChange>,
    /// The position of the last reset.
    pub(crate) reset_to: Option<Position>,
}

impl FollowerSeat {
    pub(crate) fn new(cursor: Cursor, topics: Topics, clock: Clock, seed: u64) -> Self {
        let config = FollowerConfig {
            backoff_cap: Duration::from_secs(5),
            filtered: !topics.is_everything(),
            ..FollowerConfig::default()
        };
        let follower = Follower::new(config, cursor, seed);
        let (fold, reset_to) = (Vec::new(), None);
        Self { follower, clock, topics, link: 0, socket: None, timer: None, fold, reset_to }
    }

    /// Replaces the process, which died, by one that begins at the stored position.
    pub(crate) fn begin_again(&mut self, cursor: Cursor, seed: u64) {
        let (link, clock, topics) = (self.link + 1, self.clock.clone(), self.topics.clone());
        let fold = std::mem::take(&mut self.fold);
        *self = Self { link, fold, ..Self::new(cursor, topics, clock, seed) };
    }

    pub(crate) fn socket(&self) -> Option<u64> {
        self.socket
    }

    pub(crate) fn phase(&self) -> Phase {
        self.follower.phase()
    }
}

/// A follower that is no replica, and stores its position at once.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) seat: FollowerSeat,
    pub(crate) stored: Cursor,
}

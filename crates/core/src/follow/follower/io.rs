//! The inputs and effects of a follower, its configuration, and its cursor.

use std::time::Duration;

use crate::wire::claim::{Claim, Start};
use crate::wire::frame::{FoldedChange, VersionRow};
use crate::wire::position::Position;

/// How the follower behaves; the defaults suit a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerConfig {
    /// How long dialing and greeting may take.
    pub connect_timeout: Duration,
    /// How often the head is asked for when nothing else asks.
    pub ping_every: Duration,
    /// How long a pong may take before the socket counts as dead.
    pub pong_timeout: Duration,
    /// How long the frame of a version may lag behind the pong that told of the version.
    pub behind_grace: Duration,
    /// How long catching up may go without a page. A broker that died between two pages sends no more of
    /// them.
    pub page_timeout: Duration,
    /// The longest time between a live change and its ack.
    pub ack_every: Duration,
    /// The first ceiling of the wait between attempts; it doubles from there.
    pub backoff_base: Duration,
    /// The ceiling at which the doubling ends.
    pub backoff_cap: Duration,
    /// Whether topics hide changes from the follower. A pong ahead of the position is then no sign of a gap.
    pub filtered: bool,
}

impl Default for FollowerConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            ping_every: Duration::from_secs(15),
            pong_timeout: Duration::from_secs(5),
            behind_grace: Duration::from_secs(1),
            page_timeout: Duration::from_secs(30),
            ack_every: Duration::from_secs(10),
            backoff_base: Duration::from_millis(250),
            backoff_cap: Duration::from_secs(15),
            filtered: false,
        }
    }
}

/// The phase of a follower, for display.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not started, or stopped.
    Idle,
    /// Until the next attempt.
    Waiting,
    /// A socket is opening, or open and not greeted.
    Connecting,
    /// The versions that were missed are arriving.
    CatchingUp,
    /// Every version up to the head has arrived.
    Live,
    /// The broker said not to come back.
    Closed,
}

/// An event that the shell reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowerInput {
    /// The shell asks the follower to begin.
    Start,
    /// The socket that [`FollowerEffect::Dial`] asked for is open.
    Opened,
    /// The socket received a text.
    Text(String),
    /// The socket closed, or did not open (then the code is 1006).
    Closed {
        /// The close code of RFC 6455.
        code: u16,
    },
    /// The time of [`Follower::poll_timeout`](super::Follower::poll_timeout) has come.
    Timer,
    /// A reader needs a proof that begins now.
    Prove,
    /// The shell asks the follower to end.
    Stop,
}

/// An action that the shell must carry out, in the order of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowerEffect {
    /// Open a socket with this start.
    Dial(Start),
    /// Send a text over the socket.
    Send(String),
    /// Close the socket; no `Closed` need follow.
    Hangup {
        /// The close code of RFC 6455.
        code: u16,
        /// The reason that the Close frame carries.
        reason: &'static str,
    },
    /// Apply versions and the position after them, in one transaction.
    Apply {
        /// The position after these versions.
        position: Position,
        /// The versions in order; empty when topics hide all of them.
        versions: Vec<VersionRow>,
    },
    /// Apply a part of a fold; the position, if given, with it.
    ApplyFold {
        /// The position after the fold; present with the last part only.
        position: Option<Position>,
        /// The changes, ordered by version.
        changes: Vec<FoldedChange>,
    },
    /// Forget everything; continue from here.
    Reset {
        /// The position from which the follower continues.
        position: Position,
        /// The reason that the broker gives.
        reason: String,
    },
    /// Show the new phase.
    Phase(Phase),
    /// Show an error that the broker reported; a close follows.
    ServerError {
        /// The code of PROTOCOL.md.
        code: String,
        /// The text for people.
        message: String,
    },
}

/// The place from which the follower resumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// No position; the follower wants only versions that are yet to come.
    Head,
    /// No position; the follower wants everything that the broker keeps.
    Beginning,
    /// The position that the follower holds.
    At(Position),
}

impl Cursor {
    pub(super) fn start(self) -> Start {
        match self {
            Self::Head => Start::Head,
            Self::Beginning => Start::At(Claim::Nothing),
            Self::At(position) => Start::At(position.into()),
        }
    }
}

//! What goes into a follower and what comes out of it.

use std::time::Duration;

use crate::wire::claim::{Claim, Start};
use crate::wire::frame::{FoldedChange, VersionRow};
use crate::wire::position::Position;

/// How the follower behaves; the defaults suit a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// How long dialing and greeting may take.
    pub connect_timeout: Duration,
    /// How often the head is asked for when nothing else asks.
    pub ping_every: Duration,
    /// How long a pong may take before the socket counts as dead.
    pub pong_timeout: Duration,
    /// How long a frame may lag behind the pong that told of it.
    pub behind_grace: Duration,
    /// How long catching up may go without a page. A broker that died between two pages sends no other.
    pub page_timeout: Duration,
    /// The longest time between a live change and its ack.
    pub ack_every: Duration,
    /// The first ceiling of the wait between attempts; it doubles from there.
    pub backoff_base: Duration,
    /// The last ceiling.
    pub backoff_cap: Duration,
    /// Whether the follower hears only some of the changes, and so may not take a pong for a gap.
    pub filtered: bool,
}

impl Default for Config {
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

/// Where the follower is in its life, for those who watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not started, or stopped.
    Idle,
    /// Until the next attempt.
    Waiting,
    /// A socket is opening, or open and not greeted.
    Connecting,
    /// What was missed is arriving.
    CatchingUp,
    /// Everything has arrived.
    Live,
    /// The broker said not to come back.
    Closed,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Begin.
    Start,
    /// The socket that [`Effect::Dial`] asked for is open.
    Opened,
    /// It sent a text.
    Text(String),
    /// It closed, or did not open (then the code is 1006).
    Closed {
        /// The close code.
        code: u16,
    },
    /// The time of [`Follower::poll_timeout`] has come.
    Timer,
    /// Somebody needs a proof that begins now.
    Prove,
    /// End.
    Stop,
}

/// What the shell must do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Open a socket with this start.
    Dial(Start),
    /// Send a text.
    Send(String),
    /// Close the socket; no `Closed` need follow.
    Hangup {
        /// The close code.
        code: u16,
        /// The reason.
        reason: &'static str,
    },
    /// Apply versions and the position after them, in one transaction.
    Apply {
        /// What the follower has when all is applied.
        position: Position,
        /// In order; may be empty, when a filter hid them.
        versions: Vec<VersionRow>,
    },
    /// Apply a part of a fold; the position, if given, with it.
    ApplyFold {
        /// Present with the last part.
        position: Option<Position>,
        /// In order.
        changes: Vec<FoldedChange>,
    },
    /// Forget everything; continue from here.
    Reset {
        /// The new position.
        position: Position,
        /// Why.
        reason: String,
    },
    /// The phase changed.
    Phase(Phase),
    /// The broker said something is wrong.
    Complaint {
        /// The stable code.
        code: String,
        /// For people.
        message: String,
    },
}

/// What is held between connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// Nothing, and nothing is wanted but what comes.
    Head,
    /// Nothing: everything kept is wanted.
    Nothing,
    /// This.
    At(Position),
}

impl Cursor {
    pub(super) fn start(self) -> Start {
        match self {
            Self::Head => Start::Head,
            Self::Nothing => Start::At(Claim::Nothing),
            Self::At(position) => Start::At(position.into()),
        }
    }
}

//! The network between followers and the broker: sockets that keep their order until something goes wrong.

use std::fmt;
use std::rc::Rc;

use newsreel_core::follow::hub::SessionId;

/// A follower: the replica of an edge, or another client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Edge(usize),
    Client(usize),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edge(number) => write!(f, "replica {number}"),
            Self::Client(number) => write!(f, "client {number}"),
        }
    }
}

/// One socket, from both ends.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) who: Who,
    /// The follower's number of the attempt that opened it.
    pub(crate) link: u64,
    /// The broker's object at its other end, and the session there.
    pub(crate) object: u64,
    pub(crate) session: SessionId,
    /// The socket looks open, and swallows every message.
    pub(crate) half_open: bool,
    /// When the last message each way arrives.
    pub(crate) last_up: u64,
    pub(crate) last_down: u64,
}

/// An event of a socket at the follower's end.
#[derive(Debug, Clone)]
pub(crate) enum Down {
    Opened,
    Text(Rc<str>),
    Closed(u16),
}

/// An event of a socket at the broker's end.
#[derive(Debug, Clone)]
pub(crate) enum Up {
    Text(Rc<str>),
    Closed,
}

//! The events of a run: everything that happens at a moment of the simulated clock, as data.

use newsreel_core::follow::hub::PublishOutcome;
use newsreel_core::read::drive::TierQuestion;
use newsreel_core::read::lease::Lease;
use newsreel_core::read::sync::{SyncRequest, SyncResponse};
use newsreel_core::wire::UnixMillis;
use newsreel_core::wire::claim::Start;

use crate::network::{Down, Up, Who};
use crate::tiers::{Entry, Name};

/// An event, and the data that belong to it.
#[derive(Debug)]
pub(crate) enum Event {
    /// Events of the world: the origin commits, readers read, chaos strikes.
    Commits {
        publisher: usize,
    },
    Reads {
        slot: usize,
    },
    Chaos,
    Snapshots,
    /// Events of publishers and of the broker.
    PublishArrives {
        publisher: usize,
        request: u64,
        ids: Vec<u64>,
    },
    PublishGivenUp {
        publisher: usize,
        request: u64,
    },
    PublishAnswered {
        publisher: usize,
        request: u64,
        outcomes: Vec<(u64, PublishOutcome)>,
    },
    Flush {
        object: u64,
    },
    BrokerSettles {
        life: u64,
    },
    BrokerAlarm {
        due: u64,
    },
    GhostEnds {
        object: u64,
    },
    BeginsEpoch,
    /// Events of followers and their sockets.
    Dialed {
        who: Who,
        link: u64,
        start: Start,
    },
    Undialed {
        who: Who,
        link: u64,
    },
    Arrives {
        socket: u64,
        up: Up,
    },
    Hears {
        socket: u64,
        down: Down,
    },
    FollowerTimer {
        who: Who,
        due: u64,
    },
    Returns {
        who: Who,
    },
    /// The replica's writes become durable. This event and those down to `Asked` concern replicas.
    ReplicaSettles {
        edge: usize,
        life: u64,
    },
    ReplicaAlarm {
        edge: usize,
        life: u64,
    },
    Proves {
        edge: usize,
        life: u64,
    },
    AskingEnds {
        edge: usize,
    },
    Asked {
        edge: usize,
        isolate: u64,
        ticket: u64,
        ask: SyncRequest,
        window: bool,
    },
    /// The replica's reply to a sync, or none in time. This event and those after it concern readers.
    Replied {
        isolate: u64,
        ticket: u64,
        reply: Option<Box<(SyncResponse, bool)>>,
    },
    WindowSaid {
        isolate: u64,
        window: u64,
        said_at: UnixMillis,
        reply: Box<SyncResponse>,
    },
    WindowClosed {
        isolate: u64,
        window: u64,
    },
    TierAsked {
        isolate: u64,
        request: u64,
        question: TierQuestion,
    },
    OriginReads {
        isolate: u64,
        request: u64,
        read: usize,
    },
    OriginSaid {
        isolate: u64,
        request: u64,
        read: usize,
        entry: Option<Entry>,
    },
    /// A caller with a lease: the origin reads the value for it, then the caller hands the value in.
    LeaseReads {
        key: usize,
        lease: Lease,
    },
    LeaseLands {
        key: usize,
        lease: Lease,
        entry: Entry,
    },
    KvPut {
        location: usize,
        name: Name,
        entry: Option<Entry>,
    },
    R2Put {
        key: usize,
        entry: Entry,
        seen: Option<Option<(u64, Entry)>>,
        tries: u32,
    },
}

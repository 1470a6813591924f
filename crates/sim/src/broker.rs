//! The state of the broker's machine: queue, sockets, storage and alarm around the driver of the hub.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use newsreel_core::follow::hub::{Hub, HubDriver, PublishOutcome, Session, SessionId, Submission};
use newsreel_core::log::maintenance::RetentionLimits;
use newsreel_core::wire::UnixMillis;

use crate::machine::{Clock, Storage};
use crate::network::Down;
use crate::rows::Rows;

/// How much of the log is kept: little, so that short runs seal, fold and forget.
pub(crate) const UPKEEP: RetentionLimits =
    RetentionLimits { segment_bytes: 500, keep_bytes: 1_200, forget_after: Duration::from_secs(600) };
/// How far clocks disagree at most, in milliseconds: two that are set by two minutes, and the time a step
/// takes.
pub(crate) const DISAGREE: u64 = 250_000;

/// An output of the broker, which the output gate of its storage holds back until earlier writes are durable.
#[derive(Debug)]
pub(crate) enum Output {
    Down { socket: u64, down: Down },
    PublishOutcome { ticket: u64, outcome: PublishOutcome },
}

/// One object: what the platform keeps of it, and what is in memory while it is awake.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) id: u64,
    /// The sockets by session: the socket's number and its attachment, which is empty until it is first
    /// saved.
    pub(crate) attached: BTreeMap<SessionId, (u64, String)>,
    pub(crate) pong: Option<String>,
    pub(crate) pings: BTreeMap<SessionId, UnixMillis>,
    /// The driver while the object is in memory; absent during a step, which takes it out.
    pub(crate) driver: Option<HubDriver>,
    pub(crate) queue: Vec<Submission>,
    pub(crate) flushing: bool,
}

/// A request under way: how many outcomes are still missing, and the outcomes so far.
type Pending = (usize, Vec<(u64, PublishOutcome)>);

/// The broker of the catalog.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) storage: Storage<Rows, Output>,
    /// Counts the crashes of the storage: a `BrokerSettles` event of an earlier life concerns writes that
    /// were lost.
    pub(crate) life: u64,
    pub(crate) object: Object,
    /// A replaced object that has not ended yet: all its writes fail.
    pub(crate) ghost: Option<Object>,
    pub(crate) clock: Clock,
    pub(crate) alarm: Option<u64>,
    pub(crate) away_until: u64,
    /// Copies of the durable state, taken every 7 s, the oldest first: a restore picks one of them.
    pub(crate) snapshots: VecDeque<Rows>,
    next_object: u64,
    pub(crate) next_ticket: u64,
    /// By ticket, where its outcome goes: the publisher, its request and the publish.
    pub(crate) tickets: BTreeMap<u64, (usize, u64, u64)>,
    /// The requests under way, by publisher and request.
    pub(crate) requests: BTreeMap<(usize, u64), Pending>,
}

impl Object {
    fn new(id: u64) -> Self {
        let (attached, pings) = (BTreeMap::new(), BTreeMap::new());
        Self { id, attached, pong: None, pings, driver: None, queue: Vec::new(), flushing: false }
    }

    pub(crate) fn sessions(&self) -> BTreeMap<SessionId, Session> {
        let read = |json: &str| serde_json::from_str(json).expect("what was attached");
        // A step that opened one may have ended before it was saved.
        let saved = self.attached.iter().filter(|(_, (_, json))| !json.is_empty());
        saved.map(|(id, (_, json))| (*id, read(json))).collect()
    }

    /// Says whether nothing is under way, so that it can be taken out of memory.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && !self.flushing
    }

    /// Takes it out of memory.
    pub(crate) fn sleep(&mut self) {
        self.driver = None;
    }

    /// Drops the publishes that wait for a commit, as they are lost with the object's memory.
    pub(crate) fn drop_queue(&mut self) {
        self.queue.clear();
        self.flushing = false;
    }

    pub(crate) fn is_awake(&self) -> bool {
        self.driver.is_some()
    }

    pub(crate) fn sockets(&self) -> Vec<u64> {
        self.attached.values().map(|(socket, _)| *socket).collect()
    }

    pub(crate) fn hub(&self) -> &Hub {
        self.driver.as_ref().expect("it was woken").hub()
    }
}

impl Broker {
    pub(crate) fn new(rows: Rows, clock: Clock) -> Self {
        Self {
            snapshots: VecDeque::from([rows.clone()]),
            storage: Storage::new(rows),
            life: 0,
            object: Object::new(1),
            ghost: None,
            clock,
            alarm: None,
            away_until: 0,
            next_object: 2,
            next_ticket: 0,
            tickets: BTreeMap::new(),
            requests: BTreeMap::new(),
        }
    }

    pub(crate) fn object(&mut self, id: u64) -> Option<&mut Object> {
        let ghost = self.ghost.as_mut().filter(|ghost| ghost.id == id);
        if self.object.id == id { Some(&mut self.object) } else { ghost }
    }

    /// Puts a new object in the place of the one there is, which is returned.
    pub(crate) fn replace_object(&mut self) -> Object {
        let id = self.next_object;
        self.next_object += 1;
        std::mem::replace(&mut self.object, Object::new(id))
    }

    /// Forgets the requests under way, so that their publishers get no answer.
    pub(crate) fn drop_requests(&mut self) {
        self.tickets.clear();
        self.requests.clear();
    }
}

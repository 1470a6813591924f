//! The kinds of faults and their rates. Each place where a fault could happen asks for it by its kind.
//!
//! Whether the n-th one of a kind strikes depends on the seed, the kind and n alone, so that leaving one out
//! moves no other: shrinking a failing run depends on that.

use std::collections::BTreeSet;
use std::str::FromStr;

use newsreel_core::rng::mix;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident $text:literal $rate:literal,)*) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault {
            $($(#[$doc])* $name,)*
        }

        impl Fault {
            /// Every kind of fault, in the order of the counts in [`crate::Outcome::faults`].
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the name of the kind, as `--faults` and `--only` take it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// Returns how often it strikes in a storm, of a million times that it could.
            fn rate(self) -> u64 {
                match self {
                    $(Self::$name => $rate,)*
                }
            }
        }
    };
}

faults! {
    /// A frame is lost, and the socket goes on.
    FrameLost "frame-lost" 8_000,
    /// A frame comes twice.
    FrameDoubled "frame-doubled" 20_000,
    /// A frame takes seconds, and all after it.
    FrameDelayed "frame-delayed" 20_000,
    /// A frame is overtaken by later ones.
    FrameReordered "frame-reordered" 10_000,
    /// A socket is cut; both ends hear of it.
    SocketCut "socket-cut" 4_000,
    /// A socket goes on to look open, and swallows everything.
    HalfOpen "half-open" 2_000,
    /// A socket does not open.
    DialFails "dial-fails" 100_000,
    /// A request is lost on its way to the broker.
    PublishLost "publish-lost" 60_000,
    /// An answer is lost: the publish was committed, and its publisher does not learn of it.
    AnswerLost "answer-lost" 60_000,
    /// A request arrives twice.
    PublishDoubled "publish-doubled" 30_000,
    /// A transaction of the broker fails.
    BrokerWriteFails "broker-write-fails" 20_000,
    /// A step of the broker ends half-way, after its commit: a panic.
    BrokerPanics "broker-panics" 50_000,
    /// The broker's process dies: its sockets and every write that was not durable are gone.
    BrokerDies "broker-dies" 60_000,
    /// The broker loses its memory and every write that was not durable; its sockets stay.
    BrokerLosesTail "broker-loses-tail" 60_000,
    /// The broker is evicted while idle, and its sockets hibernate.
    BrokerEvicted "broker-evicted" 250_000,
    /// The broker runs twice for a moment.
    BrokerTwice "broker-twice" 30_000,
    /// The broker is away for up to minutes.
    BrokerAway "broker-away" 15_000,
    /// The broker's storage is restored to an older state.
    Restored "restored" 8_000,
    /// An operator begins a new epoch.
    NewEpoch "new-epoch" 8_000,
    /// A deploy cuts everything at once.
    Deployed "deployed" 15_000,
    /// A replica's process dies.
    ReplicaDies "replica-dies" 80_000,
    /// A replica's storage is restored to an older state.
    ReplicaRestored "replica-restored" 15_000,
    /// A transaction of a replica fails.
    ReplicaWriteFails "replica-write-fails" 15_000,
    /// A transaction of a replica is written, and reported as failed.
    ReplicaWriteUnacked "replica-write-unacked" 15_000,
    /// A client dies and begins again from what it stored.
    ClientDies "client-dies" 60_000,
    /// A client is away, for up to a quarter of an hour.
    ClientAway "client-away" 25_000,
    /// An isolate is gone, and another takes its place.
    IsolateDies "isolate-dies" 120_000,
    /// A machine's clock is set, by up to two minutes, either way.
    ClockSet "clock-set" 60_000,
    /// A reader's question, or its answer, is lost.
    SyncLost "sync-lost" 30_000,
    /// The answer to a reader's question takes seconds.
    SyncSlow "sync-slow" 20_000,
    /// A message of a window is lost.
    WindowLost "window-lost" 10_000,
    /// A window is cut.
    WindowCut "window-cut" 10_000,
    /// KV does not answer.
    KvFails "kv-fails" 30_000,
    /// A write to KV is seen elsewhere only after minutes.
    KvLags "kv-lags" 100_000,
    /// R2 does not answer.
    R2Fails "r2-fails" 30_000,
    /// R2 has written, and says that it failed.
    R2Unacked "r2-unacked" 50_000,
    /// A tier takes seconds.
    TierSlow "tier-slow" 30_000,
    /// The origin answers with an error.
    OriginFails "origin-fails" 60_000,
    /// The origin takes seconds: between reading its value and answering, too.
    OriginSlow "origin-slow" 80_000,
    /// The origin is gone for up to minutes.
    OriginAway "origin-away" 20_000,
}

/// A text that names no fault.
#[derive(Debug, thiserror::Error)]
#[error("no fault is called {0:?}; --list-faults lists them")]
pub struct UnknownFault(String);

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        let known = Self::ALL.iter().find(|fault| fault.name() == text);
        known.copied().ok_or_else(|| UnknownFault(text.to_owned()))
    }
}

/// One fault that could strike: its kind and which of them it is. Shrinking a run yields a list of these.
pub type Strike = (Fault, u64);

/// The faults of a run.
#[derive(Debug, Clone)]
pub(crate) struct Faults {
    seed: u64,
    enabled: BTreeSet<Fault>,
    only: Option<BTreeSet<Strike>>,
    /// Whether `struck` is filled.
    pub(crate) listing: bool,
    pub(crate) struck: Vec<Strike>,
    asked: Vec<u64>,
    pub(crate) counts: Vec<u64>,
    total: u64,
    /// Whether the weather is calm: then no fault strikes.
    pub(crate) calm: bool,
}

impl Faults {
    pub(crate) fn new(seed: u64, enabled: BTreeSet<Fault>, only: Option<BTreeSet<Strike>>) -> Self {
        let none = vec![0; Fault::ALL.len()];
        Self {
            seed,
            enabled,
            only,
            listing: false,
            struck: Vec::new(),
            asked: none.clone(),
            counts: none,
            total: 0,
            calm: false,
        }
    }

    /// Says whether this fault strikes here.
    pub(crate) fn strikes(&mut self, fault: Fault) -> bool {
        if self.calm || !self.enabled.contains(&fault) {
            return false;
        }
        let kind = fault as usize;
        self.asked[kind] += 1;
        let number = self.asked[kind];
        let drawn = mix(self.seed ^ mix(kind as u64 + 1) ^ mix(number << 8)) % 1_000_000;
        let strikes =
            drawn < fault.rate() && self.only.as_ref().is_none_or(|only| only.contains(&(fault, number)));
        if strikes {
            self.counts[kind] += 1;
            self.total += 1;
            if self.listing {
                self.struck.push((fault, number));
            }
        }
        strikes
    }

    /// Returns how many struck.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }
}

//! Pings and what their pongs prove: a pong tells a version, and proves that everything committed before the
//! ping was sent is applied, as soon as that version is.

use std::collections::VecDeque;
use std::time::Duration;

use super::io::FollowerConfig;
use crate::wire::position::{UnixMillis, Version};

/// How many pongs that ran ahead are remembered. Past it the newest takes the place of the one before it.
const MAX_PENDING: usize = 16;

/// A pong that told of a version which has not arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PendingProof {
    version: Version,
    asked_at: UnixMillis,
    deadline: UnixMillis,
}

/// The open pings of one follower, the versions it waits for, and the latest proof.
#[derive(Debug, Clone)]
pub(super) struct Proofs {
    ping_every: Duration,
    pong_timeout: Duration,
    behind_grace: Duration,
    /// When each unanswered ping was sent, oldest first.
    pings: VecDeque<UnixMillis>,
    next_ping: UnixMillis,
    /// Oldest first. Each entry proves a moment of its own, so a follower gets proofs even where every pong
    /// runs ahead of the frames.
    pending: VecDeque<PendingProof>,
    proved_at: Option<UnixMillis>,
}

impl Proofs {
    pub(super) fn new(config: &FollowerConfig) -> Self {
        let FollowerConfig { ping_every, pong_timeout, behind_grace, .. } = *config;
        Self {
            ping_every,
            pong_timeout,
            behind_grace,
            pings: VecDeque::new(),
            next_ping: UnixMillis(0),
            pending: VecDeque::new(),
            proved_at: None,
        }
    }

    /// Returns the latest moment that is proved.
    pub(super) fn proved_at(&self) -> Option<UnixMillis> {
        self.proved_at
    }

    /// Remembers a ping that is sent now.
    pub(super) fn ping(&mut self, now: UnixMillis) {
        self.pings.push_back(now);
        self.next_ping = now.plus(self.ping_every);
    }

    /// Returns when the ping was sent that a pong answers; `None` when none is open.
    pub(super) fn answered(&mut self) -> Option<UnixMillis> {
        self.pings.pop_front()
    }

    /// Takes note that all versions committed before `asked_at` are applied.
    pub(super) fn prove(&mut self, asked_at: UnixMillis) {
        self.proved_at = self.proved_at.max(Some(asked_at));
    }

    /// Keeps a proof that holds once `version` has come. Of one version the earliest deadline stands.
    pub(super) fn await_version(&mut self, now: UnixMillis, version: Version, asked_at: UnixMillis) {
        let full = self.pending.len() >= MAX_PENDING;
        let same = self.pending.pop_back_if(|last| full || last.version == version);
        let deadline = same.map_or(now.plus(self.behind_grace), |last| last.deadline);
        self.pending.push_back(PendingProof { version, asked_at, deadline });
    }

    /// Settles the proofs that waited for a version up to this one, which is applied.
    pub(super) fn arrived(&mut self, version: Version) {
        while let Some(pending) = self.pending.pop_front_if(|pending| pending.version <= version) {
            self.prove(pending.asked_at);
        }
    }

    /// Restarts the deadline of every version that a pong told of.
    pub(super) fn extend_deadlines(&mut self, now: UnixMillis) {
        for pending in &mut self.pending {
            pending.deadline = now.plus(self.behind_grace);
        }
    }

    /// Forgets the versions that pongs told of: the log begins anew.
    pub(super) fn forget_pending(&mut self) {
        self.pending.clear();
    }

    /// Forgets the pings and the pending proofs of the connection. The latest proof stays.
    pub(super) fn disconnect(&mut self) {
        self.pings.clear();
        self.pending.clear();
    }

    /// Returns when the next ping, the next late pong or the next late version is due.
    pub(super) fn timeout(&self) -> UnixMillis {
        let pong = self.pings.front().map(|sent| sent.plus(self.pong_timeout));
        let version = self.pending.iter().map(|pending| pending.deadline).min();
        [pong, version].into_iter().flatten().fold(self.next_ping, UnixMillis::min)
    }

    pub(super) fn is_pong_late(&self, now: UnixMillis) -> bool {
        self.pings.front().is_some_and(|sent| now >= sent.plus(self.pong_timeout))
    }

    pub(super) fn is_version_late(&self, now: UnixMillis) -> bool {
        self.pending.iter().any(|pending| now >= pending.deadline)
    }

    pub(super) fn is_ping_due(&self, now: UnixMillis) -> bool {
        now >= self.next_ping
    }

    #[cfg(test)]
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }
}

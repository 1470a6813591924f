//! Taking the frames of the broker: what each brings, and whether it fits what is held.

use super::io::{Cursor, FollowerEffect};
use super::machine::{Follower, State};
use crate::wire::frame::{self, Fold, Frame, Resume, VersionRow, close};
use crate::wire::position::{Epoch, Hash, Position, UnixMillis, Version};

/// How the versions of a frame overlap those that the follower holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RangeOverlap {
    /// The frame has versions above the position.
    New,
    /// All versions of the frame are held already.
    Duplicate,
    /// A version before the frame is missing.
    Gap,
}

impl Follower {
    pub(super) fn frame(&mut self, now: UnixMillis, frame: Frame) {
        match (self.state, frame) {
            (State::Greeting { .. }, Frame::Welcome { epoch, head, hash, resume }) => {
                self.welcome(now, epoch, head, hash, resume);
            }
            (State::CatchingUp { epoch, .. } | State::Live { epoch }, frame) => {
                self.follow(now, epoch, frame)
            }
            (_, Frame::Error { code, message, retry_after_ms }) => {
                self.server_error(code, message, retry_after_ms)
            }
            (_, Frame::Pong(_) | Frame::Unknown(_)) => {}
            (_, _) => self.hang_up(now, close::RESYNC, "a frame before the welcome"),
        }
    }

    fn welcome(&mut self, now: UnixMillis, epoch: Epoch, head: Version, hash: Option<Hash>, resume: Resume) {
        if let (Cursor::Head, Some(hash)) = (self.cursor, hash) {
            let position = Position { epoch, version: head, hash };
            self.cursor = Cursor::At(position);
            self.effects.push_back(FollowerEffect::Apply { position, versions: Vec::new() });
        }
        if self.cursor == Cursor::Beginning && self.half_folded.is_some_and(|half| half != epoch) {
            // Nothing is carried across epochs: a follower without a position must not keep the part of an
            // old fold.
            let position = Position::genesis(epoch);
            self.cursor = Cursor::At(position);
            self.effects.push_back(FollowerEffect::Reset { position, reason: "another epoch".to_owned() });
        }
        // An empty log has nothing to replay, but it is a position all the same.
        if let (Cursor::Beginning, Resume::Live, Some(hash)) = (self.cursor, resume, hash) {
            let position = Position { epoch, version: head, hash };
            self.cursor = Cursor::At(position);
            self.effects.push_back(FollowerEffect::Apply { position, versions: Vec::new() });
        }
        self.reset_announced = resume == Resume::Reset;
        self.catch_up(now, epoch);
        self.ping(now);
    }

    pub(super) fn catch_up(&mut self, now: UnixMillis, epoch: Epoch) {
        self.state = State::CatchingUp { epoch, deadline: now.plus(self.config.page_timeout) };
    }

    /// Takes a frame of a log that has been greeted.
    fn follow(&mut self, now: UnixMillis, epoch: Epoch, frame: Frame) {
        let elsewhere = self.position().is_some_and(|held| held.epoch != epoch);
        match frame {
            Frame::Changes { .. } | Frame::Fold(_) | Frame::Head { .. } | Frame::Live { .. } if elsewhere => {
                self.hang_up(now, close::RESYNC, "a frame of another log before its reset");
            }
            Frame::Changes { .. } | Frame::Fold(_) | Frame::Head { .. } | Frame::Live { .. }
                if self.reset_announced =>
            {
                self.hang_up(now, close::RESYNC, "a frame before the reset that was announced");
            }
            Frame::Changes { from, to, hash, versions, ack } => match self.classify(now, from, to) {
                RangeOverlap::New => {
                    let held = self.version();
                    let new = |row: &VersionRow| row.version > held;
                    let versions = versions.into_iter().filter(new).collect();
                    let position = Position { epoch, version: to, hash };
                    self.cursor = Cursor::At(position);
                    self.effects.push_back(FollowerEffect::Apply { position, versions });
                    self.applied(now, ack);
                }
                RangeOverlap::Duplicate => self.applied(now, ack),
                RangeOverlap::Gap => {}
            },
            Frame::Fold(fold) => self.fold(now, epoch, fold),
            Frame::Head { from, version, hash } => {
                if self.classify(now, from.unwrap_or(self.version()), version) == RangeOverlap::New {
                    let position = Position { epoch, version, hash };
                    self.cursor = Cursor::At(position);
                    self.effects.push_back(FollowerEffect::Apply { position, versions: Vec::new() });
                    self.applied(now, false);
                }
            }
            Frame::Live { version } if version <= self.version() || self.config.filtered => {
                self.state = State::Live { epoch };
                self.backoff.succeeded();
                self.proofs.extend_deadlines(now);
            }
            Frame::Live { .. } => self.hang_up(now, close::RESYNC, "live before everything came"),
            Frame::Reset { position, reason } => self.reset(now, position, reason),
            Frame::Error { code, message, retry_after_ms } => {
                self.server_error(code, message, retry_after_ms)
            }
            Frame::Pong(head) => self.pong(now, head),
            Frame::Welcome { .. } => self.hang_up(now, close::RESYNC, "a second welcome"),
            Frame::Unknown(_) => {}
        }
    }

    /// Returns how a frame that covers `(from, to]` overlaps the versions held; a gap ends the connection.
    fn classify(&mut self, now: UnixMillis, from: Version, to: Version) -> RangeOverlap {
        let held = self.version();
        if from > held {
            self.hang_up(now, close::RESYNC, "a gap");
            RangeOverlap::Gap
        } else if to > held || self.cursor == Cursor::Beginning {
            RangeOverlap::New
        } else {
            RangeOverlap::Duplicate
        }
    }

    fn fold(&mut self, now: UnixMillis, epoch: Epoch, fold: Fold) {
        if fold.part.is_some_and(|part| part > self.next_part) {
            return self.hang_up(now, close::RESYNC, "a part of a fold is missing");
        }
        // Part 0 comes again when the broker restarts the fold. Any other repeated part is a duplicate.
        if fold.part.is_some_and(|part| part > 0 && part < self.next_part) {
            return;
        }
        let brings = self.classify(now, fold.from, fold.to);
        self.next_part = fold.part.filter(|_| fold.more).map_or(0, |part| part.saturating_add(1));
        let position = (!fold.more).then_some(Position { epoch, version: fold.to, hash: fold.hash });
        if brings == RangeOverlap::New {
            match position {
                Some(position) => self.cursor = Cursor::At(position),
                None => self.half_folded = Some(epoch),
            }
            self.effects.push_back(FollowerEffect::ApplyFold { position, changes: fold.changes });
        }
        // The position does not move before the last part, but a part that has arrived makes room for the
        // next.
        if brings != RangeOverlap::Gap {
            self.applied(now, fold.more);
        }
    }

    fn reset(&mut self, now: UnixMillis, position: Position, reason: String) {
        if self.position().is_some_and(|held| position.epoch < held.epoch) {
            // The greater epoch is the newer, so this broker is a ghost of the past.
            return self.hang_up(now, close::RESYNC, "a reset to an older epoch");
        }
        let goes_back = self.position().is_some_and(|held| {
            held.epoch == position.epoch && held.version >= position.version && held != position
        });
        if goes_back && !self.reset_announced {
            return self.hang_up(now, close::RESYNC, "a reset that was not announced");
        }
        self.reset_announced = false;
        self.cursor = Cursor::At(position);
        self.catch_up(now, position.epoch);
        self.proofs.forget_pending();
        self.effects.push_back(FollowerEffect::Reset { position, reason });
        self.ack();
    }

    /// Ends the handling of a frame that was applied or was a duplicate. Acknowledges the version held, at
    /// once while catching up or when the frame asked for it, and settles the proofs that waited for the
    /// version.
    fn applied(&mut self, now: UnixMillis, asked: bool) {
        let version = self.version();
        if let State::CatchingUp { epoch, .. } = self.state {
            self.catch_up(now, epoch);
            self.ack();
        } else if asked {
            self.ack();
        } else if self.unacked_since.is_none() {
            self.unacked_since = Some(now);
        }
        self.proofs.arrived(version);
    }

    pub(super) fn ack(&mut self) {
        self.unacked_since = None;
        self.effects.push_back(FollowerEffect::Send(frame::ack(self.version())));
    }

    fn pong(&mut self, now: UnixMillis, head: Position) {
        let Some(asked_at) = self.proofs.answered() else { return };
        let Some(held) = self.position() else { return };
        let elsewhere = head.epoch != held.epoch || (head.version == held.version && head.hash != held.hash);
        if elsewhere {
            return self.hang_up(now, close::RESYNC, "the pong tells of another log");
        }
        if head.version <= held.version {
            self.proofs.prove(asked_at);
        } else if !self.config.filtered {
            self.proofs.await_version(now, head.version, asked_at);
        }
    }
}

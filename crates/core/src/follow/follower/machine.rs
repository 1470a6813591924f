//! The state machine of one subscription.

use std::collections::VecDeque;
use std::time::Duration;

use super::backoff::Backoff;
use super::io::{Cursor, FollowerConfig, FollowerEffect, FollowerInput, Phase};
use super::proof::Proofs;
use crate::wire::frame::{self, Frame, close};
use crate::wire::position::{Epoch, Position, UnixMillis, Version};

/// The state of a follower, named for the event that it awaits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Idle,
    Waiting { until: UnixMillis },
    Dialing { deadline: UnixMillis },
    Greeting { deadline: UnixMillis },
    CatchingUp { epoch: Epoch, deadline: UnixMillis },
    Live { epoch: Epoch },
    Closed,
}

/// The state machine of one subscription.
#[derive(Debug, Clone)]
pub struct Follower {
    pub(super) config: FollowerConfig,
    pub(super) state: State,
    pub(super) cursor: Cursor,
    pub(super) proofs: Proofs,
    pub(super) backoff: Backoff,
    /// When the oldest change not acknowledged was applied.
    pub(super) unacked_since: Option<UnixMillis>,
    /// The epoch of the last part of a fold that was applied, which matters while the follower holds no
    /// position.
    pub(super) half_folded: Option<Epoch>,
    /// The number of the next part of a fold on this connection.
    pub(super) next_part: u32,
    /// Whether the welcome announced a reset that has not come.
    pub(super) reset_announced: bool,
    pub(super) effects: VecDeque<FollowerEffect>,
}

impl Follower {
    /// Returns a follower that holds `cursor`. `seed` feeds the jitter of its backoff.
    #[must_use]
    pub fn new(config: FollowerConfig, cursor: Cursor, seed: u64) -> Self {
        Self {
            config,
            state: State::Idle,
            cursor,
            proofs: Proofs::new(&config),
            backoff: Backoff::new(&config, seed),
            unacked_since: None,
            half_folded: None,
            next_part: 0,
            reset_announced: false,
            effects: VecDeque::new(),
        }
    }

    /// Begins anew from the stored cursor, after effects that the shell could not carry out, or carried out
    /// in part.
    ///
    /// The follower forgets everything since, the proof too, and drops the effects that are still queued. A
    /// follower that was not at rest dials again after a wait that grows, so that a frame that can never be
    /// stored makes no storm.
    pub fn start_again(&mut self, now: UnixMillis, stored: Cursor) {
        let before = self.phase();
        let mut backoff = self.backoff.clone();
        backoff.request(None);
        *self = Self { state: self.state, backoff, ..Self::new(self.config, stored, 0) };
        // Also at rest: the last step may have died on its way to hanging up.
        self.effects.push_back(FollowerEffect::Hangup { code: close::RESYNC, reason: "starting again" });
        if !matches!(self.state, State::Idle | State::Closed) {
            self.wait(now);
        }
        if self.phase() != before {
            self.effects.push_back(FollowerEffect::Phase(self.phase()));
        }
    }

    /// Makes the next wait at least so long, as an `error` frame would: the broker asked for it outside of a
    /// frame.
    pub fn delay_reconnect(&mut self, least: Duration) {
        self.backoff.request(Some(least));
    }

    /// Reports that the last frame is still being applied, or was applied only now. Nothing more is due from
    /// the broker before that frame is acknowledged, so all deadlines begin anew.
    pub fn still_applying(&mut self, now: UnixMillis) {
        if let State::CatchingUp { epoch, .. } = self.state {
            self.catch_up(now, epoch);
        }
        self.proofs.extend_deadlines(now);
    }

    /// Returns the next thing to do.
    pub fn poll_effect(&mut self) -> Option<FollowerEffect> {
        self.effects.pop_front()
    }

    /// Returns when to hand in [`FollowerInput::Timer`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<UnixMillis> {
        match self.state {
            State::Idle | State::Closed => None,
            State::Waiting { until } => Some(until),
            State::Dialing { deadline } | State::Greeting { deadline } => Some(deadline),
            State::CatchingUp { deadline, .. } => Some(deadline.min(self.live_timeout())),
            State::Live { .. } => Some(self.live_timeout()),
        }
    }

    fn live_timeout(&self) -> UnixMillis {
        let ack = self.unacked_since.map(|since| since.plus(self.config.ack_every));
        ack.into_iter().fold(self.proofs.timeout(), UnixMillis::min)
    }

    /// Returns the cursor after every queued effect; the cursor that the shell stored may still be behind.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Returns the position held, once there is one.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        match self.cursor {
            Cursor::At(position) => Some(position),
            Cursor::Head | Cursor::Beginning => None,
        }
    }

    /// Returns the phase of the state.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Idle => Phase::Idle,
            State::Waiting { .. } => Phase::Waiting,
            State::Dialing { .. } | State::Greeting { .. } => Phase::Connecting,
            State::CatchingUp { .. } => Phase::CatchingUp,
            State::Live { .. } => Phase::Live,
            State::Closed => Phase::Closed,
        }
    }

    /// Returns the latest moment of which it is proved that everything committed before is applied.
    ///
    /// The moment is the one at which the ping was sent; its pong told a version that the follower holds by
    /// now. An open socket proves nothing.
    #[must_use]
    pub fn proved_at(&self) -> Option<UnixMillis> {
        self.proofs.proved_at()
    }

    /// Takes one input, and queues the effects that follow from it.
    #[expect(clippy::too_many_lines, reason = "the table of states and inputs, read as one")]
    pub fn handle(&mut self, now: UnixMillis, input: FollowerInput) {
        let before = self.phase();
        match (self.state, input) {
            (State::Idle | State::Closed | State::Waiting { .. }, FollowerInput::Start) => self.dial(now),
            (State::Waiting { until }, FollowerInput::Timer) if now >= until => self.dial(now),

            (State::Dialing { .. }, FollowerInput::Opened) => {
                self.state = State::Greeting { deadline: now.plus(self.config.connect_timeout) };
            }
            (State::Dialing { deadline } | State::Greeting { deadline }, FollowerInput::Timer)
                if now >= deadline =>
            {
                self.hang_up(now, close::RESYNC, "no greeting in time");
            }
            (
                State::Greeting { .. } | State::CatchingUp { .. } | State::Live { .. },
                FollowerInput::Text(text),
            ) => match Frame::parse(&text) {
                Ok(frame) => self.frame(now, frame),
                Err(_) => self.hang_up(now, close::RESYNC, "a frame that cannot be read"),
            },
            (State::CatchingUp { .. } | State::Live { .. }, FollowerInput::Timer) => self.tick(now),
            (State::CatchingUp { .. } | State::Live { .. }, FollowerInput::Prove) => self.ping(now),
            (
                State::Dialing { .. }
                | State::Greeting { .. }
                | State::CatchingUp { .. }
                | State::Live { .. },
                FollowerInput::Closed { code },
            ) => {
                if close::may_reconnect(code) {
                    self.wait(now);
                } else {
                    self.disconnect();
                    self.state = State::Closed;
                }
            }

            (
                State::Dialing { .. }
                | State::Greeting { .. }
                | State::CatchingUp { .. }
                | State::Live { .. },
                FollowerInput::Stop,
            ) => {
                self.disconnect();
                // The next start is a new wish of the shell, so the wait of this connection does not count.
                self.backoff.request(None);
                self.effects.push_back(FollowerEffect::Hangup { code: 1000, reason: "done" });
                self.state = State::Idle;
            }
            (State::Idle | State::Waiting { .. } | State::Closed, FollowerInput::Stop) => {
                self.state = State::Idle
            }

            // Late news of a socket that was given up, a timer that came early, a wish already being met.
            (
                State::Idle | State::Closed | State::Waiting { .. },
                FollowerInput::Opened
                | FollowerInput::Text(_)
                | FollowerInput::Closed { .. }
                | FollowerInput::Timer
                | FollowerInput::Prove,
            )
            | (
                State::Dialing { .. },
                FollowerInput::Start | FollowerInput::Text(_) | FollowerInput::Timer | FollowerInput::Prove,
            )
            | (
                State::Greeting { .. },
                FollowerInput::Start | FollowerInput::Opened | FollowerInput::Timer | FollowerInput::Prove,
            )
            | (State::CatchingUp { .. } | State::Live { .. }, FollowerInput::Start | FollowerInput::Opened) =>
                {}
        }
        if self.phase() != before {
            self.effects.push_back(FollowerEffect::Phase(self.phase()));
        }
    }

    fn tick(&mut self, now: UnixMillis) {
        if matches!(self.state, State::CatchingUp { deadline, .. } if now >= deadline) {
            return self.hang_up(now, close::RESYNC, "no page in time");
        }
        if self.proofs.is_pong_late(now) {
            return self.hang_up(now, close::RESYNC, "no pong in time");
        }
        if self.proofs.is_version_late(now) {
            if matches!(self.state, State::Live { .. }) {
                return self.hang_up(now, close::RESYNC, "the pong told of a version that did not come");
            }
            // While catching up the pages come in their own time.
            self.proofs.extend_deadlines(now);
        }
        if self.unacked_since.is_some_and(|since| now >= since.plus(self.config.ack_every)) {
            self.ack();
        }
        if self.proofs.is_ping_due(now) {
            self.ping(now);
        }
    }

    pub(super) fn ping(&mut self, now: UnixMillis) {
        self.proofs.ping(now);
        self.effects.push_back(FollowerEffect::Send(frame::PING.to_owned()));
    }

    pub(super) fn server_error(&mut self, code: String, message: String, retry_after_ms: Option<u64>) {
        self.backoff.request(retry_after_ms.map(Duration::from_millis));
        self.effects.push_back(FollowerEffect::ServerError { code, message });
    }

    fn dial(&mut self, now: UnixMillis) {
        self.state = State::Dialing { deadline: now.plus(self.config.connect_timeout) };
        self.effects.push_back(FollowerEffect::Dial(self.cursor.start()));
    }

    pub(super) fn hang_up(&mut self, now: UnixMillis, code: u16, reason: &'static str) {
        self.effects.push_back(FollowerEffect::Hangup { code, reason });
        self.wait(now);
    }

    fn wait(&mut self, now: UnixMillis) {
        self.disconnect();
        self.state = State::Waiting { until: self.backoff.until(now) };
    }

    /// Forgets the state of the connection: its pings, its pending ack, its part of a fold.
    fn disconnect(&mut self) {
        self.proofs.disconnect();
        self.unacked_since = None;
        self.next_part = 0;
    }

    pub(super) fn version(&self) -> Version {
        self.position().map_or(Version::ZERO, |position| position.version)
    }
}

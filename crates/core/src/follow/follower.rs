//! Drives one subscription: dial, greet, catch up, stay live, notice when that stops, come back.
//!
//! Does no I/O and reads no clock. Call [`Follower::handle`], carry out [`Follower::poll_effect`] until `None`,
//! then arm a timer for [`Follower::poll_timeout`] and hand in [`Input::Timer`] when it fires. An `Apply` stands
//! before the ack it justifies: carry effects out in order, and if one fails, or it is not known how far that went,
//! [`Follower::start_again`] from what is stored.

use std::collections::VecDeque;
use std::time::Duration;

use crate::wire::frame::{self, Fold, FoldedChange, Frame, Resume, VersionRow, close};
use crate::wire::position::{Epoch, Hash, Position, UnixMillis, Version};
use crate::wire::claim::{Claim, Start};

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
    fn start(self) -> Start {
        match self {
            Self::Head => Start::Head,
            Self::Nothing => Start::At(Claim::Nothing),
            Self::At(position) => Start::At(position.into()),
        }
    }
}

/// What is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Waiting { until: UnixMillis },
    Dialing { deadline: UnixMillis },
    Greeting { deadline: UnixMillis },
    CatchingUp { epoch: Epoch, deadline: UnixMillis },
    Live { epoch: Epoch },
    Closed,
}

/// What a frame brings to whoever holds a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Brings {
    News,
    /// It is all held already.
    Nothing,
    /// Something before it is missing.
    Gap,
}

/// The longest that a follower stays away because it was asked to.
pub const LONGEST_RETRY: Duration = Duration::from_secs(3_600);

/// How many pongs that ran ahead are remembered. Past it the newest takes the place of the one before it.
const MAX_OWED: usize = 16;

/// A pong that told of a version which has not arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owed {
    version: Version,
    asked_at: UnixMillis,
    deadline: UnixMillis,
}

/// One subscription.
#[derive(Debug, Clone)]
pub struct Follower {
    config: Config,
    state: State,
    cursor: Cursor,
    /// When each unanswered ping was sent, oldest first.
    pings: VecDeque<UnixMillis>,
    next_ping: UnixMillis,
    /// Oldest first. Each proves something of its own, so that a log which is always ahead of its pongs does too.
    owed: VecDeque<Owed>,
    proved_at: Option<UnixMillis>,
    /// When the oldest change not acknowledged was applied.
    unacked_since: Option<UnixMillis>,
    /// The log of which a part of a fold was applied last. It counts while nothing is held.
    half_folded: Option<Epoch>,
    /// Which part of a fold comes next on this connection.
    next_part: u32,
    /// The welcome told of a reset that has not come.
    reset_announced: bool,
    failures: u32,
    retry_after: Option<Duration>,
    random: u64,
    effects: VecDeque<Effect>,
}

impl Follower {
    /// Returns a follower that holds `cursor`. `seed` feeds the jitter of its backoff.
    #[must_use]
    pub fn new(config: Config, cursor: Cursor, seed: u64) -> Self {
        Self {
            config,
            state: State::Idle,
            cursor,
            pings: VecDeque::new(),
            next_ping: UnixMillis(0),
            owed: VecDeque::new(),
            proved_at: None,
            unacked_since: None,
            half_folded: None,
            next_part: 0,
            reset_announced: false,
            failures: 0,
            retry_after: None,
            random: seed,
            effects: VecDeque::new(),
        }
    }

    /// Begins anew from what is stored: after effects that were not carried out, or nobody knows how far.
    ///
    /// All that was believed since is forgotten, the proof too, and what is left of the effects is not to be done.
    /// Who was not at rest dials again after a wait that grows, so that what can never be stored makes no storm.
    pub fn start_again(&mut self, now: UnixMillis, stored: Cursor) {
        let before = self.phase();
        let anew = Self::new(self.config, stored, self.random);
        *self = Self { state: self.state, failures: self.failures, ..anew };
        // Also at rest: the last step may have died on its way to hanging up.
        self.effects.push_back(Effect::Hangup { code: close::RESYNC, reason: "starting again" });
        if !matches!(self.state, State::Idle | State::Closed) {
            self.wait(now);
        }
        if self.phase() != before {
            self.effects.push_back(Effect::Phase(self.phase()));
        }
    }

    /// Makes the next wait at least so long, as an `error` frame would: the broker asked for it outside of a frame.
    pub fn stay_away(&mut self, least: Duration) {
        self.retry_after = Some(least.min(LONGEST_RETRY));
    }

    /// Says that what came is still being applied, or only now was: whatever is to come is not due before that is
    /// acknowledged.
    pub fn still_applying(&mut self, now: UnixMillis) {
        if let State::CatchingUp { epoch, .. } = self.state {
            self.catch_up(now, epoch);
        }
        self.grant(now);
    }

    /// Returns the next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Returns when to hand in [`Input::Timer`].
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
        let pong = self.pings.front().map(|sent| sent.plus(self.config.pong_timeout));
        let ack = self.unacked_since.map(|since| since.plus(self.config.ack_every));
        let owed = self.owed.iter().map(|owed| owed.deadline).min();
        [pong, ack, owed].into_iter().flatten().fold(self.next_ping, UnixMillis::min)
    }

    /// Returns what is held.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Returns the position held, once there is one.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        match self.cursor {
            Cursor::At(position) => Some(position),
            Cursor::Head | Cursor::Nothing => None,
        }
    }

    /// Returns the phase.
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
    /// It is when the ping was sent whose pong told a position that is held; an open socket proves nothing.
    #[must_use]
    pub fn proved_at(&self) -> Option<UnixMillis> {
        self.proved_at
    }

    /// Takes one input; the effects tell what follows from it.
    #[expect(clippy::too_many_lines, reason = "the table of states and inputs, read as one")]
    pub fn handle(&mut self, now: UnixMillis, input: Input) {
        let before = self.phase();
        match (self.state, input) {
            (State::Idle | State::Closed, Input::Start) => self.dial(now),
            (State::Waiting { .. }, Input::Start) => self.dial(now),
            (State::Waiting { until }, Input::Timer) if now >= until => self.dial(now),

            (State::Dialing { .. }, Input::Opened) => {
                self.state = State::Greeting { deadline: now.plus(self.config.connect_timeout) };
            }
            (State::Dialing { deadline } | State::Greeting { deadline }, Input::Timer) if now >= deadline => {
                self.hang_up(now, close::RESYNC, "no greeting in time");
            }
            (State::Greeting { .. } | State::CatchingUp { .. } | State::Live { .. }, Input::Text(text)) => {
                match Frame::parse(&text) {
                    Ok(frame) => self.frame(now, frame),
                    Err(_) => self.hang_up(now, close::RESYNC, "a frame that cannot be read"),
                }
            }
            (State::CatchingUp { .. } | State::Live { .. }, Input::Timer) => self.tick(now),
            (State::CatchingUp { .. } | State::Live { .. }, Input::Prove) => self.ping(now),
            (
                State::Dialing { .. }
                | State::Greeting { .. }
                | State::CatchingUp { .. }
                | State::Live { .. },
                Input::Closed { code },
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
                Input::Stop,
            ) => {
                self.disconnect();
                // Who starts again was asked to, and has heard of no wait.
                self.retry_after = None;
                self.effects.push_back(Effect::Hangup { code: 1000, reason: "done" });
                self.state = State::Idle;
            }
            (State::Idle | State::Waiting { .. } | State::Closed, Input::Stop) => self.state = State::Idle,

            // Late news of a socket that was given up, a timer that came early, a wish already being met.
            (
                State::Idle | State::Closed,
                Input::Opened | Input::Text(_) | Input::Closed { .. } | Input::Timer | Input::Prove,
            )
            | (
                State::Waiting { .. },
                Input::Opened | Input::Text(_) | Input::Closed { .. } | Input::Timer | Input::Prove,
            )
            | (State::Dialing { .. }, Input::Start | Input::Text(_) | Input::Timer | Input::Prove)
            | (State::Greeting { .. }, Input::Start | Input::Opened | Input::Timer | Input::Prove)
            | (State::CatchingUp { .. } | State::Live { .. }, Input::Start | Input::Opened) => {}
        }
        if self.phase() != before {
            self.effects.push_back(Effect::Phase(self.phase()));
        }
    }

    fn frame(&mut self, now: UnixMillis, frame: Frame) {
        match (self.state, frame) {
            (State::Greeting { .. }, Frame::Welcome { epoch, head, hash, resume }) => {
                self.welcome(now, epoch, head, hash, resume);
            }
            (State::CatchingUp { epoch, .. } | State::Live { epoch }, frame) => {
                self.follow(now, epoch, frame)
            }
            (_, Frame::Error { code, message, retry_after_ms }) => {
                self.complaint(code, message, retry_after_ms)
            }
            (_, Frame::Pong(_) | Frame::Unknown(_)) => {}
            (_, _) => self.hang_up(now, close::RESYNC, "a frame before the welcome"),
        }
    }

    fn welcome(&mut self, now: UnixMillis, epoch: Epoch, head: Version, hash: Option<Hash>, resume: Resume) {
        if let (Cursor::Head, Some(hash)) = (self.cursor, hash) {
            let position = Position { epoch, version: head, hash };
            self.cursor = Cursor::At(position);
            self.effects.push_back(Effect::Apply { position, versions: Vec::new() });
        }
        if self.cursor == Cursor::Nothing && self.half_folded.is_some_and(|half| half != epoch) {
            // Nothing is carried across epochs, and who holds nothing is not told that it holds something.
            let position = Position::genesis(epoch);
            self.cursor = Cursor::At(position);
            self.effects.push_back(Effect::Reset { position, reason: "another epoch".to_owned() });
        }
        // An empty log has nothing to replay, but it is a position all the same.
        if let (Cursor::Nothing, Resume::Live, Some(hash)) = (self.cursor, resume, hash) {
            let position = Position { epoch, version: head, hash };
            self.cursor = Cursor::At(position);
            self.effects.push_back(Effect::Apply { position, versions: Vec::new() });
        }
        self.reset_announced = resume == Resume::Reset;
        self.catch_up(now, epoch);
        self.ping(now);
    }

    fn catch_up(&mut self, now: UnixMillis, epoch: Epoch) {
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
            Frame::Changes { from, to, hash, versions, ack } => match self.judge(now, from, to) {
                Brings::News => {
                    let held = self.version();
                    let new = |row: &VersionRow| row.version > held;
                    let versions = versions.into_iter().filter(new).collect();
                    let position = Position { epoch, version: to, hash };
                    self.cursor = Cursor::At(position);
                    self.effects.push_back(Effect::Apply { position, versions });
                    self.applied(now, ack);
                }
                Brings::Nothing => self.applied(now, ack),
                Brings::Gap => {}
            },
            Frame::Fold(fold) => self.fold(now, epoch, fold),
            Frame::Head { from, version, hash } => {
                if self.judge(now, from.unwrap_or(self.version()), version) == Brings::News {
                    let position = Position { epoch, version, hash };
                    self.cursor = Cursor::At(position);
                    self.effects.push_back(Effect::Apply { position, versions: Vec::new() });
                    self.applied(now, false);
                }
            }
            Frame::Live { version } if version <= self.version() || self.config.filtered => {
                self.state = State::Live { epoch };
                self.failures = 0;
                self.grant(now);
            }
            Frame::Live { .. } => self.hang_up(now, close::RESYNC, "live before everything came"),
            Frame::Reset { position, reason } => self.reset(now, position, reason),
            Frame::Error { code, message, retry_after_ms } => self.complaint(code, message, retry_after_ms),
            Frame::Pong(head) => self.pong(now, head),
            Frame::Welcome { .. } => self.hang_up(now, close::RESYNC, "a second welcome"),
            Frame::Unknown(_) => {}
        }
    }

    /// Says what a frame that covers `(from, to]` brings; a gap ends the connection.
    fn judge(&mut self, now: UnixMillis, from: Version, to: Version) -> Brings {
        let held = self.version();
        if from > held {
            self.hang_up(now, close::RESYNC, "a gap");
            Brings::Gap
        } else if to > held || self.cursor == Cursor::Nothing {
            Brings::News
        } else {
            Brings::Nothing
        }
    }

    fn fold(&mut self, now: UnixMillis, epoch: Epoch, fold: Fold) {
        if fold.part.is_some_and(|part| part > self.next_part) {
            return self.hang_up(now, close::RESYNC, "a part of a fold is missing");
        }
        // The first comes again when the broker begins anew; another one that does was doubled.
        if fold.part.is_some_and(|part| part > 0 && part < self.next_part) {
            return;
        }
        let brings = self.judge(now, fold.from, fold.to);
        self.next_part = fold.part.filter(|_| fold.more).map_or(0, |part| part.saturating_add(1));
        let position = (!fold.more).then_some(Position { epoch, version: fold.to, hash: fold.hash });
        if brings == Brings::News {
            match position {
                Some(position) => self.cursor = Cursor::At(position),
                None => self.half_folded = Some(epoch),
            }
            self.effects.push_back(Effect::ApplyFold { position, changes: fold.changes });
        }
        // The position does not move before the last part, but a part that has arrived makes room for the next.
        if brings != Brings::Gap {
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
        self.owed.clear();
        self.effects.push_back(Effect::Reset { position, reason });
        self.ack();
    }

    /// After a frame was applied, or found to bring nothing new: acknowledges what is held, at once where that is
    /// wanted, and settles what is owed.
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
        while let Some(owed) = self.owed.pop_front_if(|owed| owed.version <= version) {
            self.proved_at = self.proved_at.max(Some(owed.asked_at));
        }
    }

    fn ack(&mut self) {
        self.unacked_since = None;
        self.effects.push_back(Effect::Send(frame::ack(self.version())));
    }

    fn pong(&mut self, now: UnixMillis, head: Position) {
        let Some(asked_at) = self.pings.pop_front() else { return };
        let Some(held) = self.position() else { return };
        let elsewhere = head.epoch != held.epoch || (head.version == held.version && head.hash != held.hash);
        if elsewhere {
            return self.hang_up(now, close::RESYNC, "the pong tells of another log");
        }
        if head.version <= held.version {
            self.proved_at = self.proved_at.max(Some(asked_at));
        } else if !self.config.filtered {
            self.owe(now, head.version, asked_at);
        }
    }

    /// Remembers what will be proved once `version` has come. Of one version the earliest deadline stands.
    fn owe(&mut self, now: UnixMillis, version: Version, asked_at: UnixMillis) {
        let full = self.owed.len() >= MAX_OWED;
        let same = self.owed.pop_back_if(|last| full || last.version == version);
        let deadline = same.map_or(now.plus(self.config.behind_grace), |last| last.deadline);
        self.owed.push_back(Owed { version, asked_at, deadline });
    }

    /// Gives what pongs told of all its time again.
    fn grant(&mut self, now: UnixMillis) {
        for owed in &mut self.owed {
            owed.deadline = now.plus(self.config.behind_grace);
        }
    }

    fn tick(&mut self, now: UnixMillis) {
        if matches!(self.state, State::CatchingUp { deadline, .. } if now >= deadline) {
            return self.hang_up(now, close::RESYNC, "no page in time");
        }
        if self.pings.front().is_some_and(|sent| now >= sent.plus(self.config.pong_timeout)) {
            return self.hang_up(now, close::RESYNC, "no pong in time");
        }
        if self.owed.iter().any(|owed| now >= owed.deadline) {
            if matches!(self.state, State::Live { .. }) {
                return self.hang_up(now, close::RESYNC, "the pong told of a version that did not come");
            }
            // While catching up the pages come in their own time.
            self.grant(now);
        }
        if self.unacked_since.is_some_and(|since| now >= since.plus(self.config.ack_every)) {
            self.ack();
        }
        if now >= self.next_ping {
            self.ping(now);
        }
    }

    fn ping(&mut self, now: UnixMillis) {
        self.pings.push_back(now);
        self.next_ping = now.plus(self.config.ping_every);
        self.effects.push_back(Effect::Send(frame::PING.to_owned()));
    }

    fn complaint(&mut self, code: String, message: String, retry_after_ms: Option<u64>) {
        self.retry_after = retry_after_ms.map(|ms| Duration::from_millis(ms).min(LONGEST_RETRY));
        self.effects.push_back(Effect::Complaint { code, message });
    }

    fn dial(&mut self, now: UnixMillis) {
        self.state = State::Dialing { deadline: now.plus(self.config.connect_timeout) };
        self.effects.push_back(Effect::Dial(self.cursor.start()));
    }

    fn hang_up(&mut self, now: UnixMillis, code: u16, reason: &'static str) {
        self.effects.push_back(Effect::Hangup { code, reason });
        self.wait(now);
    }

    /// Waits before the next attempt: anything up to a ceiling that doubles (full jitter), so that a fleet
    /// which lost its broker does not come back in step.
    fn wait(&mut self, now: UnixMillis) {
        self.disconnect();
        let doubled = self.config.backoff_base.saturating_mul(1 << self.failures.min(16));
        let ceiling = doubled.min(self.config.backoff_cap);
        let spread = ceiling.mul_f64(self.unit());
        let least = self.retry_after.take().unwrap_or_default();
        self.failures = self.failures.saturating_add(1);
        self.state = State::Waiting { until: now.plus(least).plus(spread) };
    }

    /// Forgets what belonged to the connection.
    fn disconnect(&mut self) {
        self.pings.clear();
        self.owed.clear();
        self.unacked_since = None;
        self.next_part = 0;
    }

    fn version(&self) -> Version {
        self.position().map_or(Version::ZERO, |position| position.version)
    }

    /// Returns the next random number in [0, 1): splitmix64.
    fn unit(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        f64::from(u32::try_from(z >> 32).unwrap_or(u32::MAX)) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests;

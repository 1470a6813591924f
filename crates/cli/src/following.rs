//! A follower of one catalog's log over a socket: dials, keeps the connection alive, and hands on what is to be applied.
//!
//! `core::follow::follower` decides; this module carries out what concerns the socket. The caller carries out the rest
//! before it asks for the next event, so an acknowledgement never goes before what it acknowledges.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use newsreel_core::follow::follower::{
    Cursor, Follower, FollowerConfig, FollowerEffect, FollowerInput, Phase,
};
use newsreel_core::wire::claim::Start;
use newsreel_core::wire::frame::{FoldedChange, Frame, VersionRow};
use newsreel_core::wire::query::FollowQuery;
use newsreel_core::wire::{Position, UnixMillis, Version};

use crate::broker::BrokerOptions;
use crate::exit::Failure;
use crate::link::{Link, SocketEvent};

/// A follower with its socket.
pub(crate) struct Following {
    at: BrokerOptions,
    name: String,
    topics: Vec<String>,
    follower: Follower,
    link: Link,
    clock: SteadyClock,
    /// The head of the log in the last welcome.
    head: Version,
    /// The reason of the last disconnection.
    last_error: String,
    proofs: ProofWatch,
    /// A proof of which an event is left to hand on.
    due_proof: Option<UnixMillis>,
}

/// The latest moment of which it is proved that everything acknowledged before has been handed on, for other tasks to look
/// at.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProofWatch(Arc<AtomicU64>);

impl ProofWatch {
    /// Returns the moment, by the follower's clock; `None` before the first proof.
    pub(crate) fn latest(&self) -> Option<UnixMillis> {
        Some(UnixMillis(self.0.load(Ordering::Relaxed))).filter(|at| at.0 > 0)
    }
}

/// What the caller of a [`Following`] carries out.
pub(crate) enum LogEvent {
    /// Versions, and the position after them.
    Apply(Position, Vec<VersionRow>),
    /// A part of a fold; the position, if given, with it.
    ApplyFold(Option<Position>, Vec<FoldedChange>),
    /// Forget everything; the log continues from this position, for this reason.
    Reset(Position, String),
    /// The follower has a new phase.
    Phase(Phase),
    /// The broker reported an error with this code and message; a close follows.
    ServerError(String, String),
}

impl Following {
    /// Returns a follower that has not dialed yet. `name` is the one that the broker lists.
    pub(crate) fn new(
        at: BrokerOptions,
        config: FollowerConfig,
        cursor: Cursor,
        name: String,
        topics: Vec<String>,
    ) -> Self {
        let config = FollowerConfig { filtered: !topics.is_empty(), ..config };
        let seed = getrandom::u64().expect("the system has randomness");
        Self {
            at,
            name,
            topics,
            follower: Follower::new(config, cursor, seed),
            link: Link::Down,
            clock: SteadyClock::start(),
            head: Version::ZERO,
            last_error: String::new(),
            proofs: ProofWatch::default(),
            due_proof: None,
        }
    }

    /// Returns the next event. Must be called again until the follower is done: acknowledgements and pings are sent here.
    ///
    /// # Errors
    /// If the broker refuses the socket for good.
    pub(crate) async fn next(&mut self) -> Result<LogEvent, Failure> {
        if self.follower.phase() == Phase::Idle {
            self.hand_in(FollowerInput::Start);
        }
        loop {
            while let Some(effect) = self.follower.poll_effect() {
                if let Some(event) = self.carry_out(effect).await? {
                    return Ok(event);
                }
            }
            if let Some(at) = self.due_proof.take() {
                self.proofs.0.store(at.0, Ordering::Relaxed);
            }
            let input = self.input().await?;
            self.hand_in(input);
        }
    }

    /// Takes leave of the broker. Events that are left are dropped.
    pub(crate) async fn stop(&mut self) -> Result<(), Failure> {
        self.hand_in(FollowerInput::Stop);
        while let Some(effect) = self.follower.poll_effect() {
            self.carry_out(effect).await?;
        }
        Ok(())
    }

    /// Returns the follower's phase.
    pub(crate) fn phase(&self) -> Phase {
        self.follower.phase()
    }

    /// Returns the position that the follower holds.
    pub(crate) fn position(&self) -> Option<Position> {
        self.follower.position()
    }

    /// Returns where the latest proof is noted.
    pub(crate) fn proofs(&self) -> ProofWatch {
        self.proofs.clone()
    }

    /// Returns the clock that the follower goes by.
    pub(crate) fn clock(&self) -> SteadyClock {
        self.clock
    }

    /// Returns the head of the log in the last welcome.
    pub(crate) fn head(&self) -> Version {
        self.head
    }

    /// Returns the reason of the last disconnection.
    pub(crate) fn last_error(&self) -> &str {
        &self.last_error
    }

    fn hand_in(&mut self, input: FollowerInput) {
        self.follower.handle(self.clock.now(), input);
        // A proof may come with the frame that it waited for, which has not been handed on yet; only then is it noted.
        if let Some(at) = self.follower.proved_at() {
            self.due_proof = Some(at);
        }
    }

    /// Waits for the next input: one of the socket, or the follower's own timer.
    async fn input(&mut self) -> Result<FollowerInput, Failure> {
        let timeout = self.follower.poll_timeout().map(|at| at.since(self.clock.now()));
        let timer = async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            () = timer => return Ok(FollowerInput::Timer),
            event = self.link.next() => event,
        };
        Ok(match event {
            SocketEvent::Opened => FollowerInput::Opened,
            SocketEvent::Text(text) => {
                // The follower does not tell how much it will have to catch up; the welcome does.
                if let (false, Ok(Frame::Welcome { head, .. })) = (self.is_following(), Frame::parse(&text)) {
                    self.head = head;
                }
                FollowerInput::Text(text)
            }
            SocketEvent::Closed(code, why) => {
                self.last_error = if why.is_empty() { format!("closed with {code}") } else { why };
                FollowerInput::Closed { code }
            }
            SocketEvent::Refused(failure) => return Err(failure),
        })
    }

    fn is_following(&self) -> bool {
        matches!(self.follower.phase(), Phase::CatchingUp | Phase::Live)
    }

    /// Carries out what concerns the socket, and returns the rest.
    async fn carry_out(&mut self, effect: FollowerEffect) -> Result<Option<LogEvent>, Failure> {
        Ok(match effect {
            FollowerEffect::Dial(from) => {
                self.dial(from)?;
                None
            }
            FollowerEffect::Send(text) => {
                self.link.send(text).await;
                None
            }
            FollowerEffect::Hangup { code, reason } => {
                self.last_error = reason.to_owned();
                self.link.hang_up(code, reason).await;
                None
            }
            FollowerEffect::Apply { position, versions } => Some(LogEvent::Apply(position, versions)),
            FollowerEffect::ApplyFold { position, changes } => Some(LogEvent::ApplyFold(position, changes)),
            FollowerEffect::Reset { position, reason } => Some(LogEvent::Reset(position, reason)),
            FollowerEffect::Phase(phase) => Some(LogEvent::Phase(phase)),
            FollowerEffect::ServerError { code, message } => {
                self.last_error = format!("{code}: {message}");
                Some(LogEvent::ServerError(code, message))
            }
        })
    }

    fn dial(&mut self, from: Start) -> Result<(), Failure> {
        let (name, topics) = (self.name.clone(), self.topics.clone());
        let query = FollowQuery { from, name, topics }.to_query();
        self.link = Link::dial(&self.at, &format!("/follow{query}"))?;
        Ok(())
    }
}

/// A clock that never goes back, in the follower's unit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SteadyClock {
    began: Instant,
    at: UnixMillis,
}

impl SteadyClock {
    /// Returns a clock that begins with the system's time.
    pub(crate) fn start() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { began: Instant::now(), at: UnixMillis(0).plus(since_1970) }
    }

    /// Returns the time.
    pub(crate) fn now(&self) -> UnixMillis {
        self.at.plus(self.elapsed())
    }

    /// Returns the time since the clock was started.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

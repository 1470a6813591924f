//! A follower with any texts, closes and timers: its position goes back only by a reset.

use std::time::Duration;

use newsreel_core::follow::follower::{
    Cursor, Follower, FollowerConfig, FollowerEffect, FollowerInput, Phase,
};
use newsreel_core::wire::Version;
use newsreel_core::wire::frame::{Fold, FollowerFrame, Frame};
use newsreel_core::wire::position::{Position, UnixMillis};

use crate::first_lines;

/// The first line is the position held (`h` the head, nothing at all: nothing), after a `~` if the follower hears
/// only some; each other is a step, told by its first letter:
/// `S`tart, `O`pened, `T`ext, `C`losed with a code, `P`rove, `X` stop, `W`ait for the timer, `+` so many
/// milliseconds, `!` start again from what is held, `A` stay away for so many milliseconds, `.` still applying.
pub(crate) fn steps(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let ([held], steps) = first_lines(text);
    let filtered = held.starts_with('~');
    let cursor = match held.trim_start_matches('~') {
        "h" => Cursor::Head,
        held => held.parse().map_or(Cursor::Beginning, Cursor::At),
    };
    let follower = Follower::new(FollowerConfig { filtered, ..FollowerConfig::default() }, cursor, 7);
    let mut story = Story { follower, now: UnixMillis(1_000), proved: None, phase: Phase::Idle };
    steps.lines().take(200).for_each(|step| story.step(step));
}

struct Story {
    follower: Follower,
    now: UnixMillis,
    proved: Option<UnixMillis>,
    phase: Phase,
}

impl Story {
    fn step(&mut self, step: &str) {
        let (kind, rest) = step.split_at_checked(1).unwrap_or_default();
        let number = rest.parse::<u64>();
        let input = match kind {
            "S" => FollowerInput::Start,
            "O" => FollowerInput::Opened,
            "T" => FollowerInput::Text(rest.to_owned()),
            "C" => FollowerInput::Closed { code: rest.parse().unwrap_or(1006) },
            "P" => FollowerInput::Prove,
            "X" => FollowerInput::Stop,
            "W" => return self.wait(),
            "+" => return self.now = UnixMillis(self.now.0.saturating_add(number.unwrap_or(1).min(1 << 40))),
            "!" => {
                let before = self.follower.cursor();
                self.follower.start_again(self.now, before);
                self.proved = None;
                return self.effects(before);
            }
            "A" => return self.follower.delay_reconnect(Duration::from_millis(number.unwrap_or(0))),
            "." => return self.follower.still_applying(self.now),
            _ => return,
        };
        let before = self.follower.cursor();
        let begins = begins(&input);
        self.follower.handle(self.now, input);
        let moved = self.follower.cursor() != before;
        assert!(!moved || begins <= version_of(before), "nothing is applied after a gap");
        self.effects(before);
    }

    fn wait(&mut self) {
        let Some(due) = self.follower.poll_timeout() else { return };
        self.now = self.now.max(due);
        let before = self.follower.cursor();
        self.follower.handle(self.now, FollowerInput::Timer);
        self.effects(before);
        let next = self.follower.poll_timeout();
        assert!(
            next.is_none_or(|next| next > self.now || self.now.0 == u64::MAX),
            "a timer that fires does something"
        );
    }

    /// Carries the effects out, and checks that they lead from what was held to what is.
    fn effects(&mut self, before: Cursor) {
        let mut held = before;
        let mut phase = self.phase;
        while let Some(effect) = self.follower.poll_effect() {
            match effect {
                FollowerEffect::Apply { position, versions } => {
                    assert!(versions.is_sorted_by(|one, next| one.version < next.version));
                    let new = |version: Version| version > version_of(held) && version <= position.version;
                    assert!(versions.iter().all(|row| new(row.version)), "nothing is applied twice");
                    held = forward(held, position);
                }
                FollowerEffect::ApplyFold { position, changes } => {
                    assert!(changes.is_sorted_by(|one, next| one.version <= next.version));
                    held = position.map_or(held, |position| forward(held, position));
                }
                FollowerEffect::Reset { position, .. } => {
                    let older = matches!(held, Cursor::At(held) if position.epoch < held.epoch);
                    assert!(!older, "no reset leads to an older log");
                    held = Cursor::At(position);
                }
                FollowerEffect::Send(text) => {
                    match FollowerFrame::parse(&text).expect("a follower's text is a frame") {
                        FollowerFrame::Ack { version } => {
                            assert_eq!(version, version_of(held), "what is held is said")
                        }
                        FollowerFrame::Ping => {}
                    }
                }
                FollowerEffect::Phase(next) => {
                    assert_ne!(next, phase);
                    phase = next;
                }
                FollowerEffect::Dial(_)
                | FollowerEffect::Hangup { .. }
                | FollowerEffect::ServerError { .. } => {}
            }
        }
        assert_eq!(held, self.follower.cursor(), "what is held is what was applied");
        assert_eq!(phase, self.follower.phase());
        self.phase = phase;
        let resting = matches!(phase, Phase::Idle | Phase::Closed);
        assert_eq!(
            self.follower.poll_timeout().is_none(),
            resting,
            "who is not at rest has something to wait for"
        );
        let proved = self.follower.proved_at();
        assert!(proved >= self.proved && proved <= Some(self.now), "a proof does not age by itself");
        self.proved = proved;
    }
}

/// Returns the version that must be held for a text to be applied.
fn begins(input: &FollowerInput) -> Version {
    let FollowerInput::Text(text) = input else { return Version::ZERO };
    match Frame::parse(text) {
        Ok(Frame::Changes { from, .. } | Frame::Fold(Fold { from, .. })) => from,
        Ok(_) | Err(_) => Version::ZERO,
    }
}

fn forward(held: Cursor, position: Position) -> Cursor {
    if let Cursor::At(held) = held {
        assert_eq!(held.epoch, position.epoch, "only a reset leads to another log");
        assert!(position.version >= held.version, "only a reset leads back");
    }
    Cursor::At(position)
}

fn version_of(cursor: Cursor) -> Version {
    match cursor {
        Cursor::At(position) => position.version,
        Cursor::Head | Cursor::Beginning => Version::ZERO,
    }
}

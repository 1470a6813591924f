//! The follower: its tables in the document are run, cell by cell.

use std::time::Duration;

use newsreel_core::follow::follower::{self, Cursor, Follower, FollowerEffect, FollowerInput, Phase};
use newsreel_core::wire::frame::{self, Resume, close};
use newsreel_core::wire::{Cause, Position, UnixMillis, Version};

use crate::document::table;

const EPOCH: &str = "01ARYZ6S410000000000000000";
const NOW: UnixMillis = UnixMillis(1_000_000);

fn version(number: u64) -> Version {
    Version::new(number).expect("a small number")
}

fn position(epoch: &str, number: u64) -> Position {
    let hash = format!("{number:016x}").parse().expect("a hash");
    Position { epoch: epoch.parse().expect("an epoch"), version: version(number), hash }
}

fn at(number: u64) -> Position {
    position(EPOCH, number)
}

fn changes(from: u64, to: u64, ack: bool) -> String {
    let row = |number| frame::row_text(version(number), NOW, r#"[{"all":true}]"#, &Cause::default());
    let rows: Vec<String> = (from + 1..=to).map(row).collect();
    frame::changes_text(version(from), &at(to), ack, &rows.join(","))
}

fn fold_part(from: u64, to: u64, more: bool) -> String {
    frame::fold_text(version(from), &at(to), 0, "", more)
}

/// A follower that was driven into a state of the table, and the effects of its last input.
struct Driven {
    follower: Follower,
    now: UnixMillis,
}

impl Driven {
    fn new(filtered: bool, cursor: Cursor) -> Self {
        let config = follower::FollowerConfig { filtered, ..follower::FollowerConfig::default() };
        Self { follower: Follower::new(config, cursor, 1), now: NOW }
    }

    /// One that holds version 5.
    fn into_state(state: &str) -> Self {
        Self::filtered_into_state(state, false)
    }

    fn filtered_into_state(state: &str, filtered: bool) -> Self {
        let mut driven = Self::new(filtered, Cursor::At(at(5)));
        let welcome = FollowerInput::Text(frame::welcome(&at(9), Resume::Replay));
        let live = FollowerInput::Text(frame::live(version(5)));
        let way = [FollowerInput::Start, FollowerInput::Opened, welcome, live];
        let (steps, last) = match state {
            "Idle" => (0, None),
            "Dialing" => (1, None),
            "Waiting" => (1, Some(FollowerInput::Closed { code: 1006 })),
            "Closed" => (1, Some(FollowerInput::Closed { code: close::BAD_FRAME })),
            "Greeting" => (2, None),
            "CatchingUp" => (3, None),
            "Live" => (4, None),
            other => panic!("no state is called {other}"),
        };
        for input in way.into_iter().take(steps).chain(last) {
            driven.tell(input);
        }
        driven
    }

    fn open(&mut self) {
        self.tell(FollowerInput::Start);
        self.tell(FollowerInput::Opened);
    }

    fn tell(&mut self, input: FollowerInput) -> Vec<FollowerEffect> {
        self.follower.handle(self.now, input);
        let effects = std::iter::from_fn(|| self.follower.poll_effect());
        effects.filter(|effect| !matches!(effect, FollowerEffect::Phase(_))).collect()
    }

    fn acks_within_10_s(&mut self) -> bool {
        self.hear(frame::pong(&at(5)));
        self.now = NOW.plus(Duration::from_secs(10));
        self.tell(FollowerInput::Timer)
            .iter()
            .any(|effect| *effect == FollowerEffect::Send(frame::ack(version(5))))
    }

    fn hear(&mut self, text: String) -> Vec<FollowerEffect> {
        self.tell(FollowerInput::Text(text))
    }
}

fn hangs_up(effects: &[FollowerEffect]) -> bool {
    matches!(effects, [FollowerEffect::Hangup { code: close::RESYNC, .. }])
}

/// Hands in the input of a cell of the first table, and checks the outcome that the cell names.
#[track_caller]
fn check_input(state: &str, input: &str, cell: &str) {
    let mut driven = Driven::into_state(state);
    let before = driven.follower.phase();
    let sent = match input {
        "start" => FollowerInput::Start,
        "opened" => FollowerInput::Opened,
        "closed" => FollowerInput::Closed { code: 1006 },
        "timer" => FollowerInput::Timer,
        "prove" => FollowerInput::Prove,
        "stop" => FollowerInput::Stop,
        other => panic!("no input is called {other}"),
    };
    let due = driven.follower.poll_timeout();
    if input == "timer" && cell.contains("when due") {
        assert_eq!(driven.tell(FollowerInput::Timer), [], "{state}: not before it is due");
        driven.now = due.expect("it is due some time");
    }
    let effects = driven.tell(sent);
    let phase = driven.follower.phase();
    let met = match cell {
        "—" => effects.is_empty() && phase == before,
        "dial" | "dial when due" => {
            matches!(effects.as_slice(), [FollowerEffect::Dial(_)]) && phase == Phase::Connecting
        }
        "Greeting" => effects.is_empty() && !driven.hear(frame::welcome(&at(5), Resume::Live)).is_empty(),
        "Idle" => effects.is_empty() && phase == Phase::Idle,
        "leave, Idle" => {
            matches!(effects.as_slice(), [FollowerEffect::Hangup { code: 1000, .. }]) && phase == Phase::Idle
        }
        "hang up when due (10 s)" => {
            let waited = due.map(|due| due.since(NOW)) == Some(Duration::from_secs(10));
            waited && hangs_up(&effects) && phase == Phase::Waiting
        }
        "wait, or Closed" => {
            let mut other = Driven::into_state(state);
            let nothing = effects.is_empty() && other.tell(FollowerInput::Closed { code: 4_999 }).is_empty();
            nothing && phase == Phase::Waiting && other.follower.phase() == Phase::Closed
        }
        "ping" => effects == [FollowerEffect::Send(frame::PING.to_owned())] && phase == before,
        other => panic!("a cell that nobody checks: {other}"),
    };
    assert!(met, "{state}, {input}: {cell:?}, and {effects:?}");
}

#[test]
fn the_follower_does_what_the_table_of_its_states_says() {
    let inputs = ["start", "opened", "text", "closed", "timer", "prove", "stop"];
    let rows = table("| state | start | opened |");
    let states: Vec<&str> = rows.iter().map(|row| row[0].split(' ').next().unwrap_or_default()).collect();
    assert_eq!(states, ["Idle", "Waiting", "Dialing", "Greeting", "CatchingUp", "Live", "Closed"]);
    for (state, row) in states.iter().zip(&rows) {
        for (input, cell) in inputs.iter().zip(&row[1..]) {
            match (*input, *cell) {
                (_, "see below") => {}
                ("text", "—") => {
                    assert_eq!(Driven::into_state(state).hear(frame::live(version(5))), [], "{state}")
                }
                (input, cell) => check_input(state, input, cell),
            }
        }
    }
}

/// Returns the frames that a row of the second table is about, for a follower at version 5.
fn frames_of(row: &str) -> Vec<String> {
    let older = "01ARYZ6S400000000000000000";
    match row {
        "`welcome`" => vec![frame::welcome(&at(5), Resume::Live)],
        "`changes`, `fold`, `head`: `from` above its own" => {
            vec![changes(6, 7, false), fold_part(6, 7, false), frame::head(version(6), &at(7))]
        }
        "`fold`: a `part` after one that has not come" => {
            vec![frame::fold_text(version(5), &at(7), 1, "", false)]
        }
        "`changes` that asks, `fold` with `more`: `to` at or below its own" => {
            vec![changes(3, 5, true), changes(5, 5, true), fold_part(3, 5, true)]
        }
        "`changes`, `fold`: `to` at or below its own" => vec![changes(3, 5, false), fold_part(3, 5, false)],
        "`head`: at or below its own" => vec![frame::head(version(5), &at(5))],
        "`changes`, `head`: anything new" => vec![changes(3, 7, false), frame::head(version(5), &at(7))],
        "`fold` with `more`" => vec![fold_part(5, 7, true)],
        "`fold`, the last part" => vec![fold_part(5, 7, false)],
        "`live`" => vec![frame::live(version(5))],
        "`reset` to an older epoch than the one held" => vec![frame::reset(&position(older, 9), "")],
        "`reset` back on the log held, where the `welcome` told of none, or that has come" => {
            vec![frame::reset(&at(3), "")]
        }
        "`reset`" => vec![frame::reset(&at(9), "")],
        "`error`" => vec![frame::error("busy", "later", Some(1))],
        "`pong` of another epoch, or of the version held with another hash" => {
            let other = Position { hash: at(6).hash, ..at(5) };
            vec![frame::pong(&position(older, 5)), frame::pong(&other)]
        }
        "`pong` at or below its own version" => vec![frame::pong(&at(5)), frame::pong(&at(4))],
        "`pong` above it" => vec![frame::pong(&at(7))],
        "an unknown type" => vec![r#"{"type":"weather"}"#.to_owned()],
        "what is no frame" => vec!["hello".to_owned(), "pong 5".to_owned()],
        // The rows that need another beginning have tests of their own.
        "`changes`, `fold`, `head`, `live` of another epoch than the one held"
        | "`pong`: no ping is open, or nothing is held" => Vec::new(),
        other => panic!("no frames are known for {other}"),
    }
}

/// Checks the outcome of a frame against its cell.
#[track_caller]
fn check_frame(driven: &mut Driven, cell: &str, effects: &[FollowerEffect]) {
    let holds = driven.follower.position();
    let phase = driven.follower.phase();
    let acks = |number| FollowerEffect::Send(frame::ack(version(number)));
    let met = match cell.split_once(':').map_or(cell, |(first, _)| first) {
        "hang up" => hangs_up(effects) && holds == Some(at(5)),
        "nothing new; ack" => effects == [acks(5)],
        "nothing new; ack within 10 s" => effects.is_empty() && driven.acks_within_10_s(),
        "ignored" | "ignored; but who holds nothing takes the position" | "owed, if it has no topics" => {
            effects.is_empty() && driven.follower.proved_at().is_none()
        }
        "CatchingUp, and a ping" => {
            effects == [FollowerEffect::Send(frame::PING.to_owned())] && phase == Phase::CatchingUp
        }
        "applied without what it has; ack" => {
            matches!(effects, [FollowerEffect::Apply { position, versions }, ack]
                if *position == at(7) && *ack == acks(7) && versions.iter().all(|row| row.version > version(5)))
        }
        "applied; ack if asked, else within 10 s" => {
            let asked = driven.hear(changes(7, 8, true));
            matches!(effects, [FollowerEffect::Apply { .. }]) && asked.last() == Some(&acks(8))
        }
        "changes applied; ack of the version held" => {
            matches!(effects, [FollowerEffect::ApplyFold { position: None, .. }, ack] if *ack == acks(5))
        }
        "changes and position applied; ack" => {
            matches!(effects, [FollowerEffect::ApplyFold { position: Some(_), .. }, ack] if *ack == acks(7))
        }
        "changes and position applied; ack within 10 s" => {
            matches!(effects, [FollowerEffect::ApplyFold { position: Some(_), .. }]) && holds == Some(at(7))
        }
        "Live; hang up if something is missing and it has no topics" => {
            let missing = driven.hear(frame::live(version(6)));
            effects.is_empty() && phase == Phase::Live && hangs_up(&missing)
        }
        "forget, CatchingUp from there; ack" => {
            let forgets = matches!(effects, [FollowerEffect::Reset { position, .. }, ack]
                if *position == at(9) && *ack == acks(9));
            forgets && phase == Phase::CatchingUp
        }
        "told to whoever watches" => matches!(effects, [FollowerEffect::ServerError { .. }]),
        "a proof" => effects.is_empty() && driven.follower.proved_at() == Some(NOW),
        other => panic!("a cell that nobody checks: {other}"),
    };
    assert!(met, "{cell:?}, and {effects:?}");
}

#[test]
fn the_follower_does_what_the_table_of_frames_says() {
    for row in table("| frame | Greeting | CatchingUp | Live |") {
        let mut said = "";
        for (state, cell) in ["Greeting", "CatchingUp", "Live"].iter().zip(&row[1..]) {
            if *cell != "the same" {
                said = cell;
            }
            for text in frames_of(row[0]) {
                let mut driven = Driven::into_state(state);
                println!("{state}, {}: {text}", row[0]);
                let effects = driven.hear(text);
                check_frame(&mut driven, said, &effects);
            }
        }
    }
}

#[test]
fn the_rows_that_need_another_beginning_hold_too() {
    // Of another epoch than the one held.
    for text in [
        changes(0, 1, false),
        fold_part(0, 1, true),
        frame::head(version(1), &at(1)),
        frame::live(version(0)),
    ] {
        let mut driven = Driven::new(false, Cursor::At(position("01ARYZ6S400000000000000000", 5)));
        driven.open();
        driven.hear(frame::welcome(&at(9), Resume::Reset));
        assert!(hangs_up(&driven.hear(text)));
    }
    // No ping is open.
    let mut driven = Driven::into_state("Live");
    driven.hear(frame::pong(&at(5)));
    assert_eq!(driven.hear(frame::pong(&position("01ARYZ6S400000000000000000", 5))), []);
    // A follower without a position takes any frame that says where it ends.
    for text in [changes(0, 0, false), fold_part(0, 0, false), frame::head(version(0), &at(0))] {
        let mut driven = Driven::new(false, Cursor::Beginning);
        driven.open();
        driven.hear(frame::welcome(&at(9), Resume::Replay));
        assert_eq!(driven.hear(frame::pong(&at(9))), [], "a pong proves nothing to it");
        let effects = driven.hear(text);
        assert_eq!(effects.last(), Some(&FollowerEffect::Send(frame::ack(Version::ZERO))));
        assert_eq!(driven.follower.position(), Some(at(0)));
    }
    // With topics a pong above its own is no promise, and `live` may come before the bookmark.
    let mut driven = Driven::filtered_into_state("CatchingUp", true);
    assert_eq!(driven.hear(frame::live(version(9))), []);
    assert_eq!(driven.follower.phase(), Phase::Live);
    driven.hear(frame::pong(&at(9)));
    driven.now = NOW.plus(Duration::from_secs(2));
    assert_eq!(driven.tell(FollowerInput::Timer), []);
}

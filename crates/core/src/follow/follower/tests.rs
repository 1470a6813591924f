//! Stories of one follower, each step asserting all effects.

use std::time::Duration;

use super::machine::State;
use super::*;
use crate::wire::claim::{Claim, Start};
use crate::wire::frame::{self, FoldedChange, Resume, close};
use crate::wire::position::{Epoch, Position, UnixMillis};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn epoch() -> Epoch {
    Epoch::new(UnixMillis(1), [0; 10])
}

/// The log of the stories: version v holds one change of `title:v`.
fn at(version: u64) -> Position {
    (1..=version).fold(Position::genesis(epoch()), |position, v| position.then(row(v).as_bytes()))
}

fn row(version: u64) -> String {
    format!(r#"{{"version":{version},"at":{version},"changes":[{{"key":"title:{version}"}}]}}"#)
}

fn changes(from: u64, to: u64) -> FollowerInput {
    let rows: Vec<String> = (from + 1..=to).map(row).collect();
    FollowerInput::Text(frame::changes_text(at(from).version, &at(to), false, &rows.join(",")))
}

fn apply(after: u64, to: u64) -> FollowerEffect {
    let versions = (after + 1..=to).map(|v| serde_json::from_str(&row(v)).unwrap()).collect();
    FollowerEffect::Apply { position: at(to), versions }
}

fn ack(version: u64) -> FollowerEffect {
    FollowerEffect::Send(frame::ack(at(version).version))
}

fn ack_of(position: Position) -> FollowerEffect {
    FollowerEffect::Send(frame::ack(position.version))
}

fn ping() -> FollowerEffect {
    FollowerEffect::Send("ping".into())
}

fn pong(version: u64) -> FollowerInput {
    FollowerInput::Text(frame::pong(&at(version)))
}

fn welcome(head: u64, resume: Resume) -> FollowerInput {
    FollowerInput::Text(frame::welcome(&at(head), resume))
}

fn live(version: u64) -> FollowerInput {
    FollowerInput::Text(frame::live(at(version).version))
}

fn hang_up(reason: &'static str) -> [FollowerEffect; 2] {
    [FollowerEffect::Hangup { code: close::RESYNC, reason }, FollowerEffect::Phase(Phase::Waiting)]
}

/// A follower and its clock.
struct Story {
    follower: Follower,
    now: UnixMillis,
}

impl Story {
    fn new(cursor: Cursor) -> Self {
        Self::with(FollowerConfig::default(), cursor)
    }

    fn with(config: FollowerConfig, cursor: Cursor) -> Self {
        Self { follower: Follower::new(config, cursor, 7), now: UnixMillis(1_000) }
    }

    fn live_at(version: u64) -> Self {
        Self::new(Cursor::At(at(version))).greeted_live(version)
    }

    fn filtered_at(version: u64) -> Self {
        Self::with(FollowerConfig { filtered: true, ..FollowerConfig::default() }, Cursor::At(at(version)))
            .greeted_live(version)
    }

    fn greeted_live(mut self, version: u64) -> Self {
        let story = &mut self;
        story.expect(
            FollowerInput::Start,
            &[FollowerEffect::Dial(Start::At(at(version).into())), FollowerEffect::Phase(Phase::Connecting)],
        );
        story.expect(FollowerInput::Opened, &[]);
        story.expect(welcome(version, Resume::Live), &[ping(), FollowerEffect::Phase(Phase::CatchingUp)]);
        story.expect(live(version), &[FollowerEffect::Phase(Phase::Live)]);
        story.expect(pong(version), &[]);
        self
    }

    /// A follower at `version` that was told to expect a replay up to `head`.
    fn catching_up(version: u64, head: u64) -> Self {
        let mut story = Self::new(Cursor::At(at(version)));
        story.follower.handle(story.now, FollowerInput::Start);
        story.follower.handle(story.now, FollowerInput::Opened);
        story.follower.handle(story.now, welcome(head, Resume::Replay));
        while story.follower.poll_effect().is_some() {}
        story
    }

    #[track_caller]
    fn expect(&mut self, input: FollowerInput, effects: &[FollowerEffect]) {
        self.follower.handle(self.now, input);
        let seen: Vec<FollowerEffect> = std::iter::from_fn(|| self.follower.poll_effect()).collect();
        assert_eq!(seen, effects);
    }

    /// Moves the clock to the next timeout, which lies `after` from here.
    #[track_caller]
    fn wait(&mut self, after: Duration) {
        let timeout = self.follower.poll_timeout().expect("a timer");
        assert_eq!(timeout.since(self.now), after);
        self.now = timeout;
    }
}

#[test]
fn g1_g2_live_versions_are_applied_once_and_in_order() {
    let mut story = Story::live_at(7);
    story.expect(changes(7, 8), &[apply(7, 8)]);
    story.expect(changes(7, 8), &[]);
    story.expect(changes(6, 9), &[apply(8, 9)]);
    assert_eq!(story.follower.position(), Some(at(9)));
}

#[test]
fn g3_a_gap_makes_the_follower_resync() {
    let mut story = Story::live_at(7);
    story.expect(changes(8, 9), &hang_up("a gap"));
    assert_eq!(story.follower.position(), Some(at(7)));
}

#[test]
fn g5_a_replay_is_acknowledged_page_by_page() {
    let mut story = Story::new(Cursor::At(at(2)));
    story.expect(
        FollowerInput::Start,
        &[FollowerEffect::Dial(Start::At(at(2).into())), FollowerEffect::Phase(Phase::Connecting)],
    );
    story.expect(FollowerInput::Opened, &[]);
    story.expect(welcome(6, Resume::Replay), &[ping(), FollowerEffect::Phase(Phase::CatchingUp)]);
    story.expect(changes(2, 4), &[apply(2, 4), ack(4)]);
    story.expect(changes(4, 6), &[apply(4, 6), ack(6)]);
    story.expect(live(6), &[FollowerEffect::Phase(Phase::Live)]);
}

#[test]
fn live_before_everything_came_is_a_gap() {
    let mut story = Story::catching_up(2, 6);
    story.expect(live(6), &hang_up("live before everything came"));
}

#[test]
fn g7_a_reset_forgets_everything_and_continues() {
    let mut story = Story::live_at(7);
    let position = Position::genesis(Epoch::new(UnixMillis(2), [0; 10]));
    let reason = "another epoch".to_owned();
    story.expect(
        FollowerInput::Text(frame::reset(&position, &reason)),
        &[
            FollowerEffect::Reset { position, reason },
            ack_of(position),
            FollowerEffect::Phase(Phase::CatchingUp),
        ],
    );
    assert_eq!(story.follower.cursor(), Cursor::At(position));
}

#[test]
fn g7_a_reset_within_the_epoch_is_taken_also_to_an_older_version() {
    let mut story = Story::new(Cursor::At(at(7)));
    story.follower.handle(story.now, FollowerInput::Start);
    story.follower.handle(story.now, FollowerInput::Opened);
    story.follower.handle(story.now, welcome(3, Resume::Reset));
    while story.follower.poll_effect().is_some() {}
    let reset = FollowerEffect::Reset { position: at(3), reason: "older than anything kept".into() };
    story.expect(FollowerInput::Text(frame::reset(&at(3), "older than anything kept")), &[reset, ack(3)]);
    assert_eq!(story.follower.position(), Some(at(3)));
}

#[test]
fn e1_a_reset_to_an_older_epoch_is_refused() {
    let mut story = Story::live_at(7);
    let older = Position::genesis(Epoch::new(UnixMillis(0), [0; 10]));
    story.expect(FollowerInput::Text(frame::reset(&older, "")), &hang_up("a reset to an older epoch"));
    assert_eq!(story.follower.position(), Some(at(7)));
}

#[test]
fn a_follower_without_a_position_takes_the_one_it_is_welcomed_with() {
    let mut story = Story::new(Cursor::Head);
    story.expect(
        FollowerInput::Start,
        &[FollowerEffect::Dial(Start::Head), FollowerEffect::Phase(Phase::Connecting)],
    );
    story.expect(FollowerInput::Opened, &[]);
    story.expect(
        welcome(7, Resume::Live),
        &[
            FollowerEffect::Apply { position: at(7), versions: vec![] },
            ping(),
            FollowerEffect::Phase(Phase::CatchingUp),
        ],
    );
}

#[test]
fn a_follower_that_wants_everything_starts_from_nothing_until_it_has_something() {
    let mut story = Story::new(Cursor::Beginning);
    let dial = [FollowerEffect::Dial(Start::At(Claim::Nothing)), FollowerEffect::Phase(Phase::Connecting)];
    story.expect(FollowerInput::Start, &dial);
    story.expect(FollowerInput::Closed { code: 1006 }, &[FollowerEffect::Phase(Phase::Waiting)]);
    story.now = story.follower.poll_timeout().unwrap();
    story.expect(FollowerInput::Timer, &dial);
    story.expect(FollowerInput::Opened, &[]);
    story.expect(welcome(2, Resume::Replay), &[ping(), FollowerEffect::Phase(Phase::CatchingUp)]);
    story.expect(changes(0, 2), &[apply(0, 2), ack(2)]);
}

#[test]
fn an_interrupted_fold_does_not_move_the_position() {
    let mut story = Story::new(Cursor::Beginning);
    story.follower.handle(story.now, FollowerInput::Start);
    story.follower.handle(story.now, FollowerInput::Opened);
    story.follower.handle(story.now, welcome(9, Resume::Replay));
    while story.follower.poll_effect().is_some() {}
    let fold = |more| {
        let (to, hash) = (at(5).version, at(5).hash);
        FollowerInput::Text(format!(
            r#"{{"type":"fold","from":0,"to":{to},"hash":"{hash}","changes":[{{"version":3,"key":"title:3"}}],"more":{more}}}"#
        ))
    };
    let changes: Vec<FoldedChange> = vec![serde_json::from_str(r#"{"version":3,"key":"title:3"}"#).unwrap()];
    // The part is acknowledged, with the version still held.
    story.expect(
        fold(true),
        &[FollowerEffect::ApplyFold { position: None, changes: changes.clone() }, ack(0)],
    );
    assert_eq!(story.follower.cursor(), Cursor::Beginning);
    story.expect(fold(false), &[FollowerEffect::ApplyFold { position: Some(at(5)), changes }, ack(5)]);
    assert_eq!(story.follower.cursor(), Cursor::At(at(5)));
}

#[test]
fn live_changes_are_acknowledged_when_asked_or_after_ten_seconds() {
    let mut story = Story::live_at(7);
    story.now = story.now.plus(Duration::from_secs(1));
    story.expect(changes(7, 8), &[apply(7, 8)]);
    story.wait(Duration::from_secs(10));
    story.expect(FollowerInput::Timer, &[ack(8)]);
    let FollowerInput::Text(asking) = changes(8, 9) else { unreachable!() };
    let asking = asking.replacen(",\"versions\"", ",\"ack\":true,\"versions\"", 1);
    story.expect(FollowerInput::Text(asking), &[apply(8, 9), ack(9)]);
}

#[test]
fn s1_only_a_pong_whose_version_is_held_proves_anything() {
    let mut story = Story::live_at(7);
    assert_eq!(story.follower.proved_at(), Some(story.now));
    let asked = story.now.plus(Duration::from_secs(3));
    story.now = asked;
    story.expect(FollowerInput::Prove, &[ping()]);
    story.now = story.now.plus(Duration::from_millis(30));
    story.expect(pong(8), &[]);
    assert!(story.follower.proved_at() < Some(asked), "version 8 has not come");
    story.expect(changes(7, 8), &[apply(7, 8)]);
    assert_eq!(story.follower.proved_at(), Some(asked), "the proof is of when the ping was sent");
}

#[test]
fn s1_pongs_that_run_ahead_of_a_busy_log_prove_what_has_come() {
    let mut story = Story::live_at(7);
    let first = story.now.plus(Duration::from_millis(100));
    for version in 8..=40 {
        // The pong may overtake the frame, since only the frame waits for the disk, so a pong is always
        // ahead.
        story.now = first.plus(Duration::from_millis(100 * (version - 8)));
        story.expect(FollowerInput::Prove, &[ping()]);
        story.expect(pong(version), &[]);
        if version > 8 {
            story.expect(changes(version - 2, version - 1), &[apply(version - 2, version - 1)]);
            let proved = first.plus(Duration::from_millis(100 * (version - 9)));
            assert_eq!(story.follower.proved_at(), Some(proved), "version {version}");
        }
        if story.follower.poll_timeout() <= Some(story.now) {
            story.expect(FollowerInput::Timer, &[]);
        }
    }
}

#[test]
fn s1_only_so_many_promises_of_pongs_are_kept_and_the_last_is_among_them() {
    let mut story = Story::catching_up(2, 1_000);
    story.expect(pong(900), &[]);
    for version in 901..=1_000 {
        story.now = story.now.plus(Duration::from_millis(1));
        story.expect(FollowerInput::Prove, &[ping()]);
        story.expect(pong(version), &[]);
    }
    assert!(story.follower.proofs.pending() <= 16, "{}", story.follower.proofs.pending());
    story.expect(changes(2, 1_000), &[apply(2, 1_000), ack(1_000)]);
    assert_eq!(story.follower.proved_at(), Some(story.now));
}

#[test]
fn g3_catching_up_without_pages_is_noticed() {
    let mut story = Story::catching_up(2, 6);
    let begun = story.now;
    story.expect(pong(6), &[]);
    story.now = begun.plus(Duration::from_secs(25));
    story.expect(changes(2, 4), &[apply(2, 4), ack(4)]);
    story.now = begun.plus(Duration::from_secs(31));
    story.expect(FollowerInput::Timer, &[ping()]);
    story.expect(pong(6), &[]);
    story.now = begun.plus(Duration::from_secs(55));
    story.expect(FollowerInput::Timer, &hang_up("no page in time"));
    assert_eq!(story.follower.position(), Some(at(4)));
}

#[test]
fn the_timer_of_a_stalled_replay_does_not_hang_on_pings() {
    let quiet = FollowerConfig { ping_every: Duration::from_secs(600), ..FollowerConfig::default() };
    let mut story = Story::with(quiet, Cursor::Beginning);
    story.follower.handle(story.now, FollowerInput::Start);
    story.follower.handle(story.now, FollowerInput::Opened);
    story.follower.handle(story.now, welcome(6, Resume::Replay));
    while story.follower.poll_effect().is_some() {}
    story.expect(pong(6), &[]);
    story.wait(Duration::from_secs(30));
    story.expect(FollowerInput::Timer, &hang_up("no page in time"));
}

#[test]
fn e1_frames_of_another_log_are_refused_until_its_reset() {
    let other = Position::genesis(Epoch::new(UnixMillis(2), [0; 10]));
    let reason = "a frame of another log before its reset";
    for resume in [Resume::Live, Resume::Replay, Resume::Reset] {
        for frame in [
            frame::changes_text(at(0).version, &Position { version: at(8).version, ..other }, false, ""),
            frame::live(at(0).version),
            frame::head(at(9).version, &Position { version: at(9).version, ..other }),
        ] {
            let mut story = Story::new(Cursor::At(at(7)));
            story.follower.handle(story.now, FollowerInput::Start);
            story.follower.handle(story.now, FollowerInput::Opened);
            story.follower.handle(story.now, FollowerInput::Text(frame::welcome(&other, resume)));
            while story.follower.poll_effect().is_some() {}
            story.expect(FollowerInput::Text(frame), &hang_up(reason));
            assert_eq!(story.follower.position(), Some(at(7)));
        }
    }
}

#[test]
fn g6_a_filtered_follower_learns_how_far_it_has_got_and_takes_no_pong_for_a_gap() {
    let mut story = Story::filtered_at(7);
    story.expect(FollowerInput::Prove, &[ping()]);
    story.expect(pong(9), &[]);
    story.expect(
        FollowerInput::Text(frame::head(at(5).version, &at(9))),
        &[FollowerEffect::Apply { position: at(9), versions: Vec::new() }],
    );
    story.expect(FollowerInput::Text(frame::head(at(5).version, &at(9))), &[]);
    let matching = frame::changes_text(at(9).version, &at(11), false, &row(11));
    let versions = vec![serde_json::from_str(&row(11)).unwrap()];
    story.expect(FollowerInput::Text(matching), &[FollowerEffect::Apply { position: at(11), versions }]);
    story.expect(changes(12, 13), &hang_up("a gap"));
}

#[test]
fn g6_a_filter_may_hide_everything_up_to_live_and_the_bookmark_follows() {
    let mut story =
        Story::with(FollowerConfig { filtered: true, ..FollowerConfig::default() }, Cursor::At(at(2)));
    story.follower.handle(story.now, FollowerInput::Start);
    story.follower.handle(story.now, FollowerInput::Opened);
    story.follower.handle(story.now, welcome(6, Resume::Replay));
    while story.follower.poll_effect().is_some() {}
    story.expect(live(6), &[FollowerEffect::Phase(Phase::Live)]);
    // An older broker leaves out `from`, the version after which the bookmark applies.
    let bookmark = frame::head(at(2).version, &at(6)).replace(r#""from":2,"#, "");
    story.expect(
        FollowerInput::Text(bookmark),
        &[FollowerEffect::Apply { position: at(6), versions: Vec::new() }],
    );
}

#[test]
fn e1_a_pong_of_another_epoch_proves_nothing_to_a_filtered_follower_either() {
    let mut story = Story::filtered_at(7);
    let proved = story.follower.proved_at();
    story.now = story.now.plus(Duration::from_secs(1));
    story.expect(FollowerInput::Prove, &[ping()]);
    let other = Position::genesis(Epoch::new(UnixMillis(2), [0; 10]));
    story.expect(FollowerInput::Text(frame::pong(&other)), &hang_up("the pong tells of another log"));
    assert_eq!(story.follower.proved_at(), proved);
}

#[test]
fn a_fan_out_that_died_half_way_is_found_by_the_next_ping() {
    let mut story = Story::live_at(7);
    story.wait(Duration::from_secs(15));
    story.expect(FollowerInput::Timer, &[ping()]);
    story.expect(pong(8), &[]);
    story.wait(Duration::from_secs(1));
    story.expect(FollowerInput::Timer, &hang_up("the pong told of a version that did not come"));
}

#[test]
fn a_pong_of_another_log_makes_the_follower_resync() {
    let mut story = Story::live_at(7);
    story.expect(FollowerInput::Prove, &[ping()]);
    let mut other = at(7);
    other.hash = other.hash.then(b"other");
    story.expect(FollowerInput::Text(frame::pong(&other)), &hang_up("the pong tells of another log"));
}

#[test]
fn a_socket_without_pongs_is_dead() {
    let mut story = Story::live_at(7);
    story.wait(Duration::from_secs(15));
    story.expect(FollowerInput::Timer, &[ping()]);
    story.wait(Duration::from_secs(5));
    story.expect(FollowerInput::Timer, &hang_up("no pong in time"));
}

#[test]
fn the_wait_between_attempts_grows_with_full_jitter_and_keeps_retry_after() {
    let mut ceilings = Vec::new();
    for seed in 0..200 {
        let mut follower = Follower::new(FollowerConfig::default(), Cursor::Beginning, seed);
        let mut now = UnixMillis(0);
        follower.handle(now, FollowerInput::Start);
        for attempt in 0..9 {
            follower.handle(now, FollowerInput::Closed { code: 1006 });
            let until = follower.poll_timeout().unwrap();
            if ceilings.len() <= attempt {
                ceilings.push(Duration::ZERO);
            }
            ceilings[attempt] = ceilings[attempt].max(until.since(now));
            now = until;
            follower.handle(now, FollowerInput::Timer);
        }
    }
    assert!(ceilings[0] <= Duration::from_millis(250) && ceilings[0] > Duration::from_millis(200));
    assert!(ceilings[8] <= Duration::from_secs(15) && ceilings[8] > Duration::from_secs(13));

    let mut story = Story::live_at(7);
    story.expect(
        FollowerInput::Text(frame::error("busy", "later", Some(3_000))),
        &[FollowerEffect::ServerError { code: "busy".into(), message: "later".into() }],
    );
    story.expect(FollowerInput::Closed { code: 4001 }, &[FollowerEffect::Phase(Phase::Waiting)]);
    let wait = story.follower.poll_timeout().unwrap().since(story.now);
    assert!(wait >= Duration::from_secs(3) && wait <= Duration::from_millis(3_250), "{wait:?}");
}

#[test]
fn a_follower_stays_away_for_an_hour_at_most_and_an_answer_over_http_counts_like_a_frame() {
    let waited = |story: &mut Story| {
        story.expect(FollowerInput::Closed { code: 1006 }, &[FollowerEffect::Phase(Phase::Waiting)]);
        story.follower.poll_timeout().unwrap().since(story.now)
    };
    let mut story = Story::live_at(7);
    let complaint = FollowerEffect::ServerError { code: "busy".into(), message: "later".into() };
    story.expect(FollowerInput::Text(frame::error("busy", "later", Some(u64::MAX))), &[complaint]);
    let wait = waited(&mut story);
    assert!(wait >= LONGEST_RETRY && wait <= LONGEST_RETRY + Duration::from_millis(250), "{wait:?}");

    let mut story = Story::live_at(7);
    story.follower.delay_reconnect(Duration::from_secs(4));
    let wait = waited(&mut story);
    assert!(wait >= Duration::from_secs(4) && wait <= Duration::from_millis(4_250), "{wait:?}");
}

#[test]
fn a_page_that_takes_long_to_apply_is_no_broker_that_sends_none() {
    let mut story = Story::catching_up(2, 4);
    story.expect(pong(2), &[]);
    for _ in 0..10 {
        story.now = story.now.plus(Duration::from_secs(14));
        story.follower.still_applying(story.now);
    }
    story.expect(FollowerInput::Timer, &[ping()]);
    story.expect(pong(2), &[]);
    story.now = story.now.plus(Duration::from_secs(30));
    story.expect(FollowerInput::Timer, &hang_up("no page in time"));
}

#[test]
fn what_a_pong_told_of_is_not_due_while_what_came_is_applied() {
    let mut story = Story::live_at(7);
    story.expect(FollowerInput::Prove, &[ping()]);
    story.expect(pong(8), &[]);
    for _ in 0..10 {
        story.now = story.now.plus(Duration::from_millis(900));
        story.follower.still_applying(story.now);
    }
    story.now = story.now.plus(Duration::from_millis(999));
    assert!(story.follower.poll_timeout().unwrap() > story.now);
    story.now = story.now.plus(Duration::from_millis(1));
    story.expect(FollowerInput::Timer, &hang_up("the pong told of a version that did not come"));
}

#[test]
fn what_a_pong_told_of_while_catching_up_has_its_time_from_live_on() {
    let mut story = Story::catching_up(2, 4);
    story.expect(pong(5), &[]);
    story.now = story.now.plus(Duration::from_millis(999));
    story.follower.handle(story.now, changes(2, 4));
    story.follower.handle(story.now, live(4));
    while story.follower.poll_effect().is_some() {}
    story.now = story.now.plus(Duration::from_millis(999));
    story.expect(FollowerInput::Timer, &[]);
    story.now = story.now.plus(Duration::from_millis(1));
    story.expect(FollowerInput::Timer, &hang_up("the pong told of a version that did not come"));
}

#[test]
fn a_code_that_says_stay_away_is_obeyed() {
    let mut story = Story::live_at(7);
    story
        .expect(FollowerInput::Closed { code: close::UNAUTHORIZED }, &[FollowerEffect::Phase(Phase::Closed)]);
    assert_eq!(story.follower.poll_timeout(), None);
    story.expect(FollowerInput::Timer, &[]);
}

#[test]
fn every_state_answers_every_input() {
    let states = [
        State::Idle,
        State::Waiting { until: UnixMillis(5) },
        State::Dialing { deadline: UnixMillis(5) },
        State::Greeting { deadline: UnixMillis(5) },
        State::CatchingUp { epoch: epoch(), deadline: UnixMillis(5) },
        State::Live { epoch: epoch() },
        State::Closed,
    ];
    let texts =
        ["nonsense", "{}", "pong x", r#"{"type":"later"}"#].map(|text| FollowerInput::Text(text.into()));
    let frames =
        [welcome(3, Resume::Live), changes(7, 8), changes(9, 10), live(7), live(9), pong(7), pong(9)];
    let plain = [
        FollowerInput::Start,
        FollowerInput::Opened,
        FollowerInput::Timer,
        FollowerInput::Prove,
        FollowerInput::Stop,
    ];
    let closes = [FollowerInput::Closed { code: 1006 }, FollowerInput::Closed { code: 4500 }];
    for state in states {
        for input in texts.iter().chain(&frames).chain(&plain).chain(&closes) {
            let mut follower = Follower::new(FollowerConfig::default(), Cursor::At(at(7)), 1);
            follower.state = state;
            follower.handle(UnixMillis(10), input.clone());
            let applied = std::iter::from_fn(|| follower.poll_effect())
                .any(|effect| matches!(effect, FollowerEffect::Apply { .. }));
            let greeted = matches!(state, State::CatchingUp { .. } | State::Live { .. });
            assert!(!applied || greeted, "{state:?} applied {input:?}");
            let resting = matches!(follower.state, State::Idle | State::Closed);
            assert!(resting || follower.poll_timeout().is_some(), "{state:?} hangs after {input:?}");
        }
    }
}

#[test]
fn a_live_follower_acknowledges_every_part_of_a_fold_and_questions_that_bring_nothing() {
    let mut story = Story::live_at(3);
    let tail = frame::fold_tail(true);
    let part = format!("{}{tail}", frame::fold_head(at(3).version, &at(5), 0));
    let fold = FollowerEffect::ApplyFold { position: None, changes: Vec::new() };
    for _ in 0..5 {
        story.expect(FollowerInput::Text(part.clone()), &[fold.clone(), ack(3)]);
    }
    let question = frame::changes_text(at(3).version, &at(3), true, "");
    story.expect(FollowerInput::Text(question), &[ack(3)]);
    story.expect(FollowerInput::Text(frame::changes_text(at(3).version, &at(3), false, "")), &[]);
}

#[test]
fn g3_a_lost_part_of_a_fold_is_noticed() {
    let part = |number, more| FollowerInput::Text(frame::fold_text(at(3).version, &at(5), number, "", more));
    let mut story = Story::live_at(3);
    let fold = |position| FollowerEffect::ApplyFold { position, changes: Vec::new() };
    story.expect(part(0, true), &[fold(None), ack(3)]);
    story.expect(part(1, true), &[fold(None), ack(3)]);
    story.expect(part(1, true), &[]);
    let mut other = Story { follower: story.follower.clone(), ..Story::live_at(3) };
    other.expect(part(3, false), &hang_up("a part of a fold is missing"));
    // The broker died in between, so it restarts the fold.
    story.expect(part(0, true), &[fold(None), ack(3)]);
    story.expect(part(1, false), &[fold(Some(at(5)))]);
    // Of the next fold the first two parts are lost.
    let next = FollowerInput::Text(frame::fold_text(at(5).version, &at(9), 2, "", false));
    story.expect(next, &hang_up("a part of a fold is missing"));
}

#[test]
fn g2_a_reset_that_comes_twice_does_not_make_it_forget_what_came_since() {
    let mut story = Story::with(FollowerConfig::default(), Cursor::At(at(7)));
    story.follower.handle(story.now, FollowerInput::Start);
    story.follower.handle(story.now, FollowerInput::Opened);
    story.follower.handle(story.now, welcome(3, Resume::Reset));
    while story.follower.poll_effect().is_some() {}
    let reset = || FollowerInput::Text(frame::reset(&at(3), "ahead of the log"));
    let forgets = FollowerEffect::Reset { position: at(3), reason: "ahead of the log".into() };
    story.expect(reset(), &[forgets, ack(3)]);
    story.expect(live(3), &[FollowerEffect::Phase(Phase::Live)]);
    let versions = vec![serde_json::from_str(&row(4)).unwrap()];
    story.expect(changes(3, 4), &[FollowerEffect::Apply { position: at(4), versions }]);
    story.expect(reset(), &hang_up("a reset that was not announced"));
    assert_eq!(story.follower.position(), Some(at(4)));
}

#[test]
fn g7_a_reset_that_was_announced_and_is_lost_is_noticed() {
    let mut story = Story::new(Cursor::At(at(7)));
    story.follower.handle(story.now, FollowerInput::Start);
    story.follower.handle(story.now, FollowerInput::Opened);
    story.follower.handle(story.now, welcome(3, Resume::Reset));
    while story.follower.poll_effect().is_some() {}
    story.expect(live(3), &hang_up("a frame before the reset that was announced"));
    assert_eq!(story.follower.position(), Some(at(7)));
}

#[test]
fn g6_a_bookmark_after_a_lost_frame_is_a_gap() {
    let mut story = Story::live_at(3);
    story.expect(FollowerInput::Text(frame::head(at(5).version, &at(9))), &hang_up("a gap"));
}

#[test]
fn a_follower_stopped_and_started_again_has_heard_of_no_wait() {
    let mut story = Story::live_at(7);
    let busy = FollowerEffect::ServerError { code: "busy".into(), message: "later".into() };
    story.expect(FollowerInput::Text(frame::error("busy", "later", Some(60_000))), &[busy]);
    story.follower.handle(story.now, FollowerInput::Stop);
    story.follower.handle(story.now, FollowerInput::Start);
    story.follower.handle(story.now, FollowerInput::Closed { code: 1006 });
    let until = story.follower.poll_timeout().expect("it tries again");
    assert!(until.since(story.now) <= Duration::from_millis(250), "{until:?}");
}

#[test]
fn s2_a_follower_that_starts_again_holds_the_stored_position_and_hears_the_rest_once_more() {
    let mut story = Story::live_at(7);
    // The shell could not write version 8; its ack is still queued.
    story.follower.handle(story.now, changes(7, 8));
    assert_eq!(story.follower.poll_effect(), Some(apply(7, 8)));
    story.follower.start_again(story.now, Cursor::At(at(7)));
    assert_eq!((story.follower.position(), story.follower.proved_at()), (Some(at(7)), None));
    // The socket's late news changes nothing, and no ack goes out.
    story.expect(changes(8, 9), &hang_up("starting again"));
    story.expect(FollowerInput::Closed { code: 1006 }, &[]);
    story.now = story.follower.poll_timeout().expect("it comes back by itself");
    story.expect(
        FollowerInput::Timer,
        &[FollowerEffect::Dial(Start::At(at(7).into())), FollowerEffect::Phase(Phase::Connecting)],
    );
    story.expect(FollowerInput::Opened, &[]);
    story.expect(welcome(8, Resume::Replay), &[ping(), FollowerEffect::Phase(Phase::CatchingUp)]);
    story.expect(changes(7, 8), &[apply(7, 8), ack(8)]);
}

#[test]
fn a_follower_that_starts_again_and_again_waits_longer() {
    let mut longest = Duration::ZERO;
    for seed in 0..50 {
        let mut follower = Follower::new(FollowerConfig::default(), Cursor::Beginning, seed);
        follower.handle(UnixMillis(0), FollowerInput::Start);
        for _ in 0..5 {
            follower.start_again(UnixMillis(0), Cursor::Beginning);
            longest = longest.max(follower.poll_timeout().expect("a wait").since(UnixMillis(0)));
        }
    }
    assert!(longest > Duration::from_secs(3) && longest <= Duration::from_secs(4), "{longest:?}");
}

#[test]
fn a_follower_that_starts_again_at_rest_hangs_up_and_stays_at_rest() {
    let mut story = Story::live_at(7);
    story.follower.handle(story.now, FollowerInput::Stop);
    story.follower.start_again(story.now, Cursor::At(at(7)));
    story.expect(
        FollowerInput::Timer,
        &[FollowerEffect::Hangup { code: close::RESYNC, reason: "starting again" }],
    );
    assert_eq!((story.follower.phase(), story.follower.poll_timeout()), (Phase::Idle, None));
}

#[test]
fn a_timer_that_comes_early_changes_nothing() {
    let mut story = Story::new(Cursor::Beginning);
    story.follower.handle(story.now, FollowerInput::Start);
    while story.follower.poll_effect().is_some() {}
    for opened in [false, true] {
        if opened {
            story.expect(FollowerInput::Opened, &[]);
        }
        let due = story.follower.poll_timeout().unwrap();
        assert_eq!(due.since(story.now), Duration::from_secs(10));
        story.now = UnixMillis(due.0 - 1);
        story.expect(FollowerInput::Timer, &[]);
        story.now = due;
        story.expect(FollowerInput::Timer, &hang_up("no greeting in time"));

        let due = story.follower.poll_timeout().unwrap();
        story.now = UnixMillis(due.0 - 1);
        story.expect(FollowerInput::Timer, &[]);
        story.now = due;
        let dial = FollowerEffect::Dial(Start::At(Claim::Nothing));
        story.expect(FollowerInput::Timer, &[dial, FollowerEffect::Phase(Phase::Connecting)]);
    }
}

//! Stories of live followers: when the hub asks for acks, and which followers are too slow.

use std::time::Duration;

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const SLOW: &str = "no ack in time; resume from the position held";

/// A hub with so many live followers without topics, at version 7, that has not asked for an ack yet.
fn hub_with(followers: u32) -> Story {
    let mut story = Story {
        hub: Hub::new(
            tv(),
            Persisted { last_ack_request: None, ..persisted(7) },
            BTreeMap::new(),
            Limits::default(),
        ),
    };
    story.effects();
    for id in 1..=followers {
        story.expect(resume(id, 7, &[]), &greeted_live(id, 7));
    }
    story
}

fn asking(from: u64, to: u64) -> String {
    changes(from, to, &[to]).replacen(",\"versions\"", ",\"ack\":true,\"versions\"", 1)
}

fn noted(version: u64, at: UnixMillis) -> HubEffect {
    HubEffect::Write(HubWrite::NoteAckRequest(AckRequest { version: v(version), at }))
}

/// Hands in an input some time after the stories' clock.
fn later(story: &mut Story, seconds: u64, input: HubInput) -> Vec<HubEffect> {
    story.hub.handle(NOW.plus(Duration::from_secs(seconds)), input);
    story.effects()
}

/// A publish of one version too large for anything else to share its frame.
fn large(version: u64, kib: usize) -> HubInput {
    let tags = vec!["x".repeat(250); 1];
    let changes: Vec<String> = (0..kib * 3)
        .map(|n| format!(r#"{{"key":"title:{n}-{}","tags":["{}"]}}"#, "y".repeat(60), tags[0]))
        .collect();
    let body = format!(r#"{{"changes":[{}]}}"#, changes.join(","));
    let publish = Publish::parse(body.as_bytes()).unwrap();
    HubInput::Publish(vec![Submission { publish: publish.written(), ..submission(version) }])
}

#[test]
fn everyone_is_asked_at_first_and_then_every_ten_seconds() {
    let mut story = hub_with(2);
    story.expect(
        publish(8),
        &[persist(8), pong(8), noted(8, NOW), broadcast(&[1, 2], asking(7, 8)), committed(8, 8)],
    );
    story
        .expect(publish(9), &[persist(9), pong(9), broadcast(&[1, 2], changes(8, 9, &[9])), committed(9, 9)]);
    let after = later(&mut story, 10, publish(10));
    assert!(after.contains(&noted(10, NOW.plus(Duration::from_secs(10)))), "{after:?}");
}

#[test]
fn a_follower_that_does_not_ack_is_closed_and_the_others_never_notice() {
    let mut story = hub_with(200);
    story.hub.handle(NOW, publish(8));
    story.effects();
    assert_eq!(story.hub.poll_timeout(), Some(NOW.plus(Duration::from_secs(30))));
    for id in (1..=200).filter(|id| *id != 77) {
        story.expect(ack(id, 8), &[save(id)]);
    }
    assert_eq!(later(&mut story, 29, HubInput::Timer), [], "not a moment too early");
    assert_eq!(later(&mut story, 30, HubInput::Timer), [close(77, close::TOO_SLOW, SLOW)]);
    assert_eq!(story.hub.sessions().len(), 199);
    assert_eq!(story.hub.poll_timeout(), None, "nothing to wait for");
}

#[test]
fn a_filtered_follower_that_never_answers_is_closed_while_more_comes() {
    let mut story = hub_with(0);
    story.hub.handle(NOW, open(1, Start::At(at(7).into()), Some(at(7).hash), &["live:", "title:"]));
    let mut closed = Vec::new();
    for second in 0..100 {
        let mut effects = later(&mut story, second, publish(8 + second));
        if story.hub.poll_timeout().is_some_and(|due| due <= NOW.plus(Duration::from_secs(second))) {
            effects.extend(later(&mut story, second, HubInput::Timer));
        }
        if effects.contains(&close(1, close::TOO_SLOW, SLOW)) {
            closed.push(second);
        }
    }
    assert_eq!(closed, [30], "as anybody who was asked at second 0");
}

#[test]
fn a_waiting_publisher_is_told_how_many_have_acknowledged() {
    let mut story = hub_with(3);
    story.hub.handle(NOW, open(4, Start::At(at(7).into()), Some(at(7).hash), &["live:"]));
    story.hub.handle(NOW, resume(5, 4, &[]));
    story.hub.handle(NOW, publish(8));
    story.effects();
    let counts = |story: &Story| {
        let Applied { acked, unacked, .. } = story.hub.applied(epoch(1), v(8));
        (acked, unacked)
    };
    assert_eq!(counts(&story), (0, 3), "of the live ones that nothing is hidden from");
    story.hub.handle(NOW, ack(2, 8));
    assert_eq!(counts(&story), (1, 2));
    for id in [1, 3] {
        story.hub.handle(NOW, ack(id, 8));
    }
    assert!(story.hub.applied(epoch(1), v(8)).is_complete());
}

#[test]
fn a_publish_waits_no_longer_once_no_replica_is_pending_and_no_follower_silent() {
    assert!(Applied { applied: vec!["berlin".into()], acked: 2, ..Applied::default() }.is_complete());
    assert!(!Applied { pending: vec!["berlin".into()], ..Applied::default() }.is_complete());
    assert!(!Applied { unacked: 1, ..Applied::default() }.is_complete());
}

#[test]
fn a_follower_that_stopped_to_ping_is_closed_and_one_that_never_pinged_is_not() {
    let mut story = hub_with(3);
    let pings = |ids: &[u32]| HubInput::Pinged(ids.iter().map(|id| (SessionId(*id), NOW)).collect());
    assert_eq!(later(&mut story, 299, pings(&[1, 9])), []);
    let silent = "no ping in time; resume from the position held";
    assert_eq!(later(&mut story, 300, pings(&[1, 9])), [close(1, close::TOO_SLOW, silent)]);
    assert_eq!(story.hub.sessions().len(), 2);
}

#[test]
fn a_slow_follower_is_found_after_a_sleep_too() {
    let mut story = hub_with(1);
    story.hub.handle(NOW, publish(8));
    story.effects();
    let (sessions, ack_requested) =
        (story.hub.sessions().clone(), Some(AckRequest { version: v(8), at: NOW }));
    story.hub = Hub::new(
        tv(),
        Persisted { last_ack_request: ack_requested, ..persisted(8) },
        sessions,
        Limits::default(),
    );
    assert_eq!(story.effects(), [pong(8)]);
    assert_eq!(story.hub.poll_timeout(), Some(NOW.plus(Duration::from_secs(30))));
    assert_eq!(later(&mut story, 30, HubInput::Timer), [close(1, close::TOO_SLOW, SLOW)]);
}

#[test]
fn a_follower_that_came_after_the_ack_request_is_not_measured_by_it() {
    let mut story = hub_with(1);
    story.hub.handle(NOW, publish(8));
    story.effects();
    story.hub.handle(NOW.plus(Duration::from_secs(29)), resume(2, 8, &[]));
    story.effects();
    assert_eq!(later(&mut story, 30, HubInput::Timer), [close(1, close::TOO_SLOW, SLOW)]);
}

#[test]
fn a_filtered_follower_answers_only_for_what_it_was_asked() {
    let mut story = hub_with(0);
    story.hub.handle(NOW, resume(1, 7, &["live:"]));
    story.effects();
    // The filter hides version 9 from the follower, so the request for an ack does not reach it.
    story.hub.handle(NOW, publish(9));
    assert!(!story.effects().iter().any(|effect| matches!(effect, HubEffect::Tell(Tell::Broadcast { .. }))));
    assert_eq!(later(&mut story, 60, HubInput::Timer), []);
    story.hub.handle(NOW.plus(Duration::from_secs(61)), publish(10));
    let ack_requested = story.effects();
    assert!(ack_requested.iter().any(
        |effect| matches!(effect, HubEffect::Tell(Tell::Broadcast { text, .. }) if text.contains("ack"))
    ));
    assert_eq!(later(&mut story, 91, HubInput::Timer), [close(1, close::TOO_SLOW, SLOW)]);
}

#[test]
fn a_megabyte_asks_and_four_unanswered_are_too_many() {
    let mut story = hub_with(2);
    let mut closed = Vec::new();
    for version in 8..24 {
        let seconds = (version - 8) * 2;
        let effects = later(&mut story, seconds, large(version, 333));
        assert!(
            effects.iter().any(|effect| matches!(effect, HubEffect::Write(HubWrite::NoteAckRequest(_))))
                || version > 8
        );
        closed.extend(
            effects.into_iter().filter(|effect| matches!(effect, HubEffect::Tell(Tell::Close { .. }))),
        );
        let at = NOW.plus(Duration::from_secs(seconds));
        let head = story.hub.head().version.number();
        story.hub.handle(at, ack(2, head));
        story.effects();
    }
    let reason = "too much is unacknowledged; resume from the position held";
    assert_eq!(closed, [close(1, close::TOO_SLOW, reason)], "only who did not answer");
}

#[test]
fn a_burst_in_one_commit_closes_no_follower() {
    let mut story = hub_with(1);
    for version in 8..24 {
        story.hub.handle(NOW, large(version, 333));
    }
    assert!(!story.effects().iter().any(|effect| matches!(effect, HubEffect::Tell(Tell::Close { .. }))));
}

#[test]
fn a_follower_that_sends_too_much_is_closed() {
    let mut story = hub_with(2);
    for _ in 0..200 {
        story.expect(text(1, "ping"), &[send(1, frame::pong(&at(7)))]);
    }
    let message = "too many frames that nobody asked for";
    story.expect(
        text(1, "ping"),
        &[send(1, frame::error("busy", message, Some(1_000))), close(1, close::TOO_CHATTY, message)],
    );
    story.expect(text(2, "ping"), &[send(2, frame::pong(&at(7)))]);
}

#[test]
fn a_frame_that_is_too_large_closes_only_its_follower() {
    let mut story = hub_with(2);
    let effects = later(&mut story, 0, text(1, &" ".repeat(4_097)));
    assert_eq!(effects[1], close(1, close::BAD_FRAME, "a frame that is too large"));
    assert_eq!(story.hub.sessions().len(), 1);
}

#[test]
fn a_frame_of_the_most_bytes_is_read() {
    let mut story = Story::live_at(7);
    let ack = frame::ack(v(7));
    let padded = ack + &" ".repeat(MAX_FOLLOWER_FRAME_BYTES);
    story.expect(text(1, &padded[..MAX_FOLLOWER_FRAME_BYTES]), &[save(1)]);
    story.hub.handle(NOW, text(1, &padded[..=MAX_FOLLOWER_FRAME_BYTES]));
    assert!(story.effects().contains(&close(1, close::BAD_FRAME, "a frame that is too large")));
}

#[test]
fn somebody_looks_again_after_every_fan_out_to_a_filtered_follower() {
    let mut story = hub_with(0);
    story.hub.handle(NOW, resume(1, 7, &["live:"]));
    story.effects();
    // The hub asked for acks a moment ago, so this publish asks for none, and the filter hides it.
    story.hub.handle(NOW, publish(9));
    story.effects();
    story.hub.handle(NOW, HubInput::Timer);
    story.hub.handle(NOW.plus(Duration::from_secs(1)), publish(10));
    story.effects();
    let due = story.hub.poll_timeout().expect("a fan-out that dies here is looked after");
    assert!(due <= NOW.plus(Duration::from_secs(31)), "{due:?}");
}

#[test]
fn a_follower_in_doubt_is_settled_at_once_though_nothing_is_published() {
    // The hub dies after version 8 is written and before the follower is sent that version.
    let sessions = Story::filtered_at(7).hub.sessions().clone();
    let mut story = Story { hub: hub(8, sessions) };
    story.effects();
    assert_eq!(story.hub.poll_timeout(), Some(UnixMillis::default()), "it may lack version 8");
    story.expect(HubInput::Timer, &[page(1, 7)]);
    story.hub.handle(NOW, sent(1, 8));
    assert_eq!(
        story.effects(),
        [send(1, frame::live(v(8))), send(1, frame::head(v(8), &story.hub.head())), save(1)]
    );
    assert_ne!(story.hub.poll_timeout(), Some(UnixMillis::default()));
}

#[test]
fn a_repeated_publish_that_waits_asks_the_followers_that_have_not_acked() {
    let mut story = hub_with(2);
    story.hub.handle(NOW, HubInput::Publish(vec![keyed(8, "k")]));
    story.effects();
    story.expect(ack(1, 8), &[save(1)]);
    let again = Submission { remembered: Some(remembered(8)), wants_acks: true, ..keyed(8, "k") };
    story.expect(
        HubInput::Publish(vec![again]),
        &[broadcast(&[2], frame::changes_text(v(8), &at(8), true, "")), repeated(8, 8)],
    );
}

#[test]
fn silence_is_looked_for_ten_times_before_it_counts() {
    assert_eq!(Limits::default().look_every(), Duration::from_secs(30));
}

#[test]
fn a_new_epoch_forgets_what_was_asked_before() {
    let mut story = hub_with(1);
    story.hub.handle(NOW, publish(8));
    story.effects();
    story.expect(ack(1, 8), &[save(1)]);
    later(&mut story, 1, HubInput::NewEpoch { random: [1; 10] });
    story.expect(ack(1, 0), &[save(1)]);
    assert_eq!(later(&mut story, 60, HubInput::Timer), [], "version 8 is of another log");
    assert_eq!(story.hub.poll_timeout(), None);
    let ack_requested = later(&mut story, 61, publish(8));
    assert!(ack_requested.contains(&noted(1, NOW.plus(Duration::from_secs(61)))), "{ack_requested:?}");
}

#[test]
fn a_filtered_follower_owes_no_answer_for_what_it_was_sent_unasked() {
    let mut story = hub_with(0);
    story.hub.handle(NOW, resume(1, 7, &["live:"]));
    story.hub.handle(NOW, publish(8));
    story.effects();
    story.expect(ack(1, 8), &[save(1)]);
    later(&mut story, 1, publish(9));
    let sent = later(&mut story, 2, publish(10));
    let unasked = |effect: &HubEffect| matches!(effect, HubEffect::Tell(Tell::Broadcast { text, .. }) if !text.contains("ack"));
    assert!(sent.iter().any(unasked), "{sent:?}");
    // The filter hides this request for an ack from the follower.
    let ack_requested = later(&mut story, 20, publish(11));
    assert!(ack_requested.contains(&noted(11, NOW.plus(Duration::from_secs(20)))), "{ack_requested:?}");
    assert_eq!(later(&mut story, 60, HubInput::Timer), []);
}

#[test]
fn what_was_sent_before_a_question_does_not_bring_the_next_one_nearer() {
    let mut story = hub_with(1);
    let should_request_ack = |effects: &[HubEffect]| {
        effects.iter().any(|effect| matches!(effect, HubEffect::Write(HubWrite::NoteAckRequest(_))))
    };
    assert!(should_request_ack(&later(&mut story, 0, large(8, 333))), "the first always does");
    let next = (9..20).find(|version| should_request_ack(&later(&mut story, 1, large(*version, 333))));
    assert!(next.is_some_and(|version| version >= 11), "a megabyte does: {next:?}");
    assert!(!should_request_ack(&later(&mut story, 2, publish(20))));
}

#[test]
fn megabytes_within_a_second_ask_once_until_they_are_more_than_a_follower_may_owe() {
    let asked = |effects: &[HubEffect]| {
        effects.iter().any(|effect| matches!(effect, HubEffect::Write(HubWrite::NoteAckRequest(_))))
    };
    let mut story = hub_with(1);
    let mut at_once = (8..30).filter(|version| asked(&later(&mut story, 0, large(*version, 333))));
    assert_eq!(at_once.next(), Some(8), "the first always does");
    let next = at_once.next().expect("a follower cannot owe more and more unasked");
    assert!((21..=23).contains(&next), "after 4 MiB, of a third each: {next}");
    for version in 30..34 {
        later(&mut story, 0, large(version, 333));
    }
    assert!(asked(&later(&mut story, 1, publish(34))), "a second later a megabyte is enough");
}

#[test]
fn bytes_sent_before_an_ack_request_exceed_no_backlog() {
    let limits = Limits { slow_bytes: 1_000, ..Limits::default() };
    let mut story = Story {
        hub: Hub::new(tv(), Persisted { last_ack_request: None, ..persisted(7) }, BTreeMap::new(), limits),
    };
    story.hub.handle(NOW, resume(1, 7, &[]));
    story.hub.handle(NOW, large(8, 333));
    story.effects();
    story.expect(ack(1, 8), &[save(1)]);
    later(&mut story, 10, publish(9));
    for version in 10..12 {
        let effects = later(&mut story, 16, publish(version));
        assert!(
            !effects.iter().any(|effect| matches!(effect, HubEffect::Tell(Tell::Close { .. }))),
            "{effects:?}"
        );
    }
}

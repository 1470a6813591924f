//! Stories of replays: folds before versions, the budget of all replays, and followers that are stuck.

use std::time::Duration;

use super::*;
use crate::wire::cursor::FoldCursor;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// A hub with a log that ends at 7 and is compacted up to 4.
fn folded() -> Story {
    let persisted = Persisted { log: Log::new(at(7), at(4)), ..persisted(7) };
    let mut story = Story { hub: Hub::new(tv(), persisted, BTreeMap::new(), Limits::default()) };
    story.effects();
    story
}

fn fold(session: u32, from: u64, cursor: FoldCursor) -> HubEffect {
    HubEffect::Tell(Tell::SendPart {
        session: SessionId(session),
        part: ReplayPart::Fold { from: v(from), cursor },
    })
}

fn fold_sent(session: u32, to: u64, next: Option<FoldCursor>) -> HubInput {
    HubInput::PartSent { session: SessionId(session), sent: PartSent::Fold { to: v(to), next }, bytes: 100 }
}

fn cursor(version: u64) -> FoldCursor {
    FoldCursor { version: v(version), sort_key: None, part: 1 }
}

fn sent_bytes(session: u32, to: u64, bytes: u32) -> HubInput {
    HubInput::PartSent { session: SessionId(session), sent: PartSent::Versions { to: v(to) }, bytes }
}

#[test]
fn g5_a_follower_from_before_the_tail_gets_the_fold_and_then_the_rest() {
    let mut story = folded();
    story.expect(
        resume(1, 2, &[]),
        &[send(1, frame::welcome(&at(7), Resume::Replay)), fold(1, 2, FoldCursor::default()), save(1)],
    );
    story.expect(fold_sent(1, 4, Some(cursor(3))), &[fold(1, 2, cursor(3)), save(1)]);
    story.expect(fold_sent(1, 4, None), &[page(1, 4), save(1)]);
    story.expect(sent(1, 7), &[send(1, frame::live(v(7))), save(1)]);
}

#[test]
fn g5_a_follower_at_the_tail_gets_versions_only() {
    let mut story = folded();
    story.expect(resume(1, 4, &[]), &greeted_replay(1, 4, 7));
}

#[test]
fn a_part_of_a_fold_is_acknowledged_with_the_version_still_held() {
    let mut story = folded();
    story.hub.handle(NOW, resume(1, 2, &[]));
    for next in [3, 4, 5, 6] {
        story.hub.handle(NOW, fold_sent(1, 4, Some(cursor(next))));
    }
    let effects = story.effects();
    assert_eq!(
        effects.iter().filter(|effect| matches!(effect, HubEffect::Tell(Tell::SendPart { .. }))).count(),
        4
    );
    story.expect(ack(1, 2), &[fold(1, 2, cursor(6)), save(1)]);
    assert_eq!(story.hub.sessions()[&SessionId(1)].acked, v(2), "nothing of a fold counts before its end");
}

#[test]
fn a_fold_that_grows_on_its_way_ends_where_the_log_is_folded_then() {
    let mut story = folded();
    story.hub.handle(NOW, resume(1, 2, &[]));
    story.hub.handle(NOW, fold_sent(1, 4, Some(cursor(3))));
    story.effects();
    story.expect(HubInput::Folded(at(6)), &[]);
    story.expect(fold_sent(1, 6, None), &[page(1, 6), save(1)]);
}

#[test]
fn a_follower_that_the_fold_overtook_gets_the_fold() {
    let mut story = Story::at(7);
    story.hub.handle(NOW, resume(1, 0, &[]));
    story.effects();
    story.hub.handle(NOW, HubInput::Folded(at(5)));
    story.expect(sent(1, 2), &[fold(1, 2, FoldCursor::default()), save(1)]);
}

#[test]
fn all_replays_together_have_a_budget_and_each_gets_its_turn() {
    let mut story = Story::at(7);
    story.expect(resume(1, 0, &[]), &greeted_replay(1, 0, 7));
    // One part takes the whole budget.
    story.expect(sent_bytes(1, 4, 32 << 20), &[save(1)]);
    for id in [2, 3] {
        story.expect(resume(id, 0, &[]), &[send(id, frame::welcome(&at(7), Resume::Replay)), save(id)]);
    }
    // The ack frees the budget: session 1 goes on, and so do the sessions that waited, in turn.
    story.expect(ack(1, 4), &[save(1), page(1, 4), page(2, 0), page(3, 0)]);
}

#[test]
fn a_replay_that_waits_for_the_budget_goes_before_the_one_that_has_it() {
    let mut story = Story::at(7);
    for id in 1..=32 {
        story.hub.handle(NOW, resume(id, 0, &[]));
        for to in 1..=4 {
            story.hub.handle(NOW, sent_bytes(id, to, 256 << 10));
        }
    }
    story.hub.handle(NOW, resume(33, 0, &[]));
    story.effects();
    story.expect(ack(1, 1), &[save(1), page(33, 0)]);
    story.expect(ack(2, 1), &[save(2)]);
}

#[test]
fn replays_that_end_within_their_window_are_bounded_by_the_budget_too() {
    let mut story = Story::at(7);
    let mut bytes = 0_u64;
    for id in 1..=200 {
        story.hub.handle(NOW, resume(id, 4, &[]));
        while let Some(effect) = story.hub.poll_effect() {
            if let HubEffect::Tell(Tell::SendPart { session, part: ReplayPart::Versions { after } }) = effect
            {
                bytes += 1 << 20;
                story.hub.handle(NOW, sent_bytes(session.0, (after.number() + 1).min(7), 1 << 20));
            }
        }
    }
    assert!(bytes <= 33 << 20, "{} MiB are on their way and nothing is acknowledged", bytes >> 20);
}

#[test]
fn the_parts_of_a_replay_that_has_ended_are_still_to_be_acknowledged() {
    let mut story = Story::at(7);
    story.expect(resume(1, 0, &[]), &greeted_replay(1, 0, 7));
    story.expect(sent_bytes(1, 7, 32 << 20), &[send(1, frame::live(v(7))), save(1)]);
    story.expect(resume(2, 0, &[]), &[send(2, frame::welcome(&at(7), Resume::Replay)), save(2)]);
    let mut other = Story { hub: hub(7, story.hub.sessions().clone()) };
    story.expect(ack(1, 7), &[save(1), page(2, 0)]);
    other.effects();
    other.hub.handle(NOW.plus(Duration::from_secs(60)), HubInput::Timer);
    let reason = "no ack in time; resume from the position held";
    assert!(other.effects().contains(&close(1, close::TOO_SLOW, reason)), "also by a hub made anew");
}

#[test]
fn a_follower_closed_for_a_bad_frame_gives_back_its_budget() {
    let mut story = Story::at(7);
    story.hub.handle(NOW, resume(1, 0, &[]));
    story.hub.handle(NOW, sent_bytes(1, 4, 32 << 20));
    story.hub.handle(NOW, resume(2, 0, &[]));
    story.effects();
    story.hub.handle(NOW, text(1, "rubbish"));
    assert!(story.effects().contains(&page(2, 0)));
}

#[test]
fn g3_rows_that_were_lost_after_a_part_was_read_leave_no_hole() {
    for topics in [&["live:", "title:"][..], &[]] {
        let mut story = Story::at(9);
        for input in [resume(1, 0, topics), sent(1, 5), ack(1, 5), sent(1, 9)] {
            story.hub.handle(NOW, input);
        }
        // 8 and 9 were not durable, so the part that brought 6 to 9 was held back and never left.
        let sessions = story.hub.sessions().clone();
        story.hub = hub(7, sessions);
        story.hub.handle(NOW, HubInput::Timer);
        assert!(story.effects().contains(&page(1, 5)), "{topics:?}: 6 and 7 are sent again");
    }
}

#[test]
fn what_was_sent_up_to_the_head_that_is_left_is_not_sent_again() {
    let mut story = Story::at(9);
    for input in [resume(1, 0, &[]), sent(1, 5), sent(1, 7)] {
        story.hub.handle(NOW, input);
    }
    story.hub = hub(7, story.hub.sessions().clone());
    story.hub.handle(NOW, HubInput::Timer);
    assert_eq!(story.effects(), [pong(7), send(1, frame::live(v(7)))]);
}

#[test]
fn a_follower_that_leaves_gives_back_its_budget() {
    let mut story = Story::at(7);
    story.hub.handle(NOW, resume(1, 0, &[]));
    story.hub.handle(NOW, sent_bytes(1, 4, 32 << 20));
    story.hub.handle(NOW, resume(2, 0, &[]));
    story.effects();
    story.expect(closed(1), &[page(2, 0)]);
}

#[test]
fn a_replay_that_is_not_acknowledged_is_closed() {
    let mut story = Story::at(7);
    story.hub.handle(NOW, resume(1, 0, &[]));
    story.hub.handle(NOW, sent(1, 4));
    story.effects();
    let due = NOW.plus(Duration::from_secs(60));
    assert_eq!(story.hub.poll_timeout(), Some(due));
    story.hub.handle(due, HubInput::Timer);
    let reason = "no ack in time; resume from the position held";
    assert_eq!(story.effects(), [close(1, close::TOO_SLOW, reason)]);
}

#[test]
fn a_fleet_that_comes_back_at_once_is_spread() {
    let mut story = Story::at(7);
    let mut delays = Vec::new();
    for id in 1..=2_010 {
        story.hub.handle(NOW, resume(id, 7, &[]));
        for effect in story.effects() {
            if let HubEffect::Tell(Tell::Send { text, .. }) = effect
                && let Some((_, delay)) = text.split_once("\"retry_after_ms\":")
            {
                delays.push(delay.trim_end_matches('}').parse::<u64>().unwrap());
            }
        }
    }
    assert_eq!(story.hub.sessions().len(), 2_000);
    assert_eq!(delays.len(), 10);
    assert!(delays.is_sorted_by(|one, other| one < other), "no two at the same moment: {delays:?}");
}

#[test]
fn a_replica_that_is_turned_away_was_not_seen() {
    let mut story = Story::at(7);
    for id in 1..=2_000 {
        story.hub.handle(NOW, resume(id, 7, &[]));
    }
    story.effects();
    story.hub.handle(NOW, replica(2_001, "fra", 7));
    assert!(story.effects().iter().all(|effect| matches!(effect, HubEffect::Tell(_))));
    let later = NOW.plus(Duration::from_secs(2));
    story.hub.handle(later, replica(2_002, "fra", 7));
    let saw = HubEffect::Write(HubWrite::SawReplica { name: "fra".into(), at: later });
    assert_eq!(story.effects().first(), Some(&saw));
}

#[test]
fn a_fleet_that_goes_on_arriving_is_spread_as_it_is_let_in() {
    let (mut story, mut id, mut last) = (Story::at(7), 0, 0);
    for millis in 0..1_000 {
        for _ in 0..10 {
            id += 1;
            story.hub.handle(UnixMillis(NOW.0 + millis), resume(id, 7, &[]));
        }
        for effect in story.effects() {
            if let HubEffect::Tell(Tell::Send { text, .. }) = effect
                && let Some((_, delay)) = text.split_once("\"retry_after_ms\":")
            {
                let back = millis + delay.trim_end_matches('}').parse::<u64>().unwrap();
                assert!(back > last, "who came later comes back later: {back} after {last}");
                last = back;
            }
        }
    }
    assert!(last > 15_000, "7,500 at 500 a second: {last} ms");
}

#[test]
fn a_clock_that_went_back_keeps_no_follower_away_for_longer() {
    let mut story = Story::at(7);
    for id in 1..=2_001 {
        story.hub.handle(NOW.plus(Duration::from_secs(3_600)), resume(id, 7, &[]));
    }
    story.effects();
    story.hub.handle(NOW, resume(2_002, 7, &[]));
    let message = "too many connect at once; come back later";
    assert_eq!(story.effects()[0], send(2_002, frame::error("busy", message, Some(1_002))));
}

#[test]
fn a_hub_made_anew_knows_what_is_on_its_way() {
    let mut story = Story::at(7);
    story.hub.handle(NOW, resume(1, 0, &[]));
    story.hub.handle(NOW, sent_bytes(1, 4, 32 << 20));
    story.hub = hub(7, story.hub.sessions().clone());
    story.effects();
    story.expect(resume(2, 0, &[]), &[send(2, frame::welcome(&at(7), Resume::Replay)), save(2)]);
    story.expect(ack(1, 4), &[save(1), page(2, 0), page(1, 4)]);
}

#[test]
fn acks_that_tell_nothing_cost_patience_and_those_that_do_cost_none() {
    let mut story = Story::at(400);
    story.hub.handle(NOW, resume(1, 7, &[]));
    story.hub.handle(NOW, sent(1, 400));
    story.effects();
    for version in 8..=400 {
        story.expect(ack(1, version), &[save(1)]);
    }
    for _ in 0..200 {
        story.expect(ack(1, 400), &[save(1)]);
    }
    let message = "too many frames that nobody asked for";
    story.expect(
        ack(1, 400),
        &[send(1, frame::error("busy", message, Some(1_000))), close(1, close::TOO_CHATTY, message)],
    );
}

#[test]
fn acks_of_the_parts_of_a_fold_cost_no_patience() {
    let mut story = folded();
    story.hub.handle(NOW, resume(1, 2, &[]));
    for _ in 0..300 {
        story.hub.handle(NOW, fold_sent(1, 4, Some(cursor(3))));
        story.hub.handle(NOW, ack(1, 2));
    }
    assert!(!story.effects().iter().any(|effect| matches!(effect, HubEffect::Tell(Tell::Close { .. }))));
}

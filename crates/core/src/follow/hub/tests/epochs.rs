//! Stories of new epochs: some begun by an operator, some called for by a restored log.

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// The position at which the epoch after the stories' begins.
fn next_epoch() -> Position {
    Position::genesis(epoch(1).after(NOW, [0; 10]))
}

fn begun(head: Position) -> [HubEffect; 2] {
    [HubEffect::Write(HubWrite::BeginEpoch(head)), HubEffect::Tell(Tell::SetPong(head))]
}

fn new_epoch() -> HubInput {
    HubInput::NewEpoch { random: [0; 10] }
}

/// A replica opens with a claimed position; `logged` is the log's own hash at that version.
fn shows(session: u32, claim: Position, logged: Option<Hash>) -> HubInput {
    let (session, from, topics) = (SessionId(session), Start::At(claim.into()), Topics::default());
    HubInput::Open {
        session,
        from,
        logged,
        name: "fra".into(),
        topics,
        replica: true,
        until: None,
        random: [0; 10],
    }
}

#[test]
fn e1_g7_a_new_epoch_resets_everybody_before_anything_else_is_said() {
    let mut story = Story::filtered_at(7);
    story.expect(resume(2, 7, &[]), &greeted_live(2, 7));
    let head = next_epoch();
    let mut effects = begun(head).to_vec();
    effects.extend([
        broadcast(&[1, 2], frame::reset(&head, "a new epoch")),
        broadcast(&[1, 2], frame::live(v(0))),
        broadcast(&[1], frame::head(head.version, &head)),
        save(1),
        save(2),
    ]);
    story.expect(new_epoch(), &effects);
    assert_eq!(story.hub.head(), head);
}

#[test]
fn e1_an_epoch_without_followers_is_only_written() {
    Story::at(7).expect(new_epoch(), &begun(next_epoch()));
}

#[test]
fn e1_g3_a_follower_that_has_not_acked_its_reset_is_sent_nothing_of_the_new_epoch() {
    let mut story = Story::live_at(7);
    story.expect(resume(2, 7, &[]), &greeted_live(2, 7));
    story.hub.handle(NOW, new_epoch());
    story.effects();
    story.expect(ack(2, 0), &[save(2)]);
    let sent_to = |story: &mut Story| -> Vec<Vec<SessionId>> {
        let sent = story.effects().into_iter().filter_map(|effect| {
            if let HubEffect::Tell(Tell::Broadcast { sessions, .. }) = effect { Some(sessions) } else { None }
        });
        sent.collect()
    };
    story.hub.handle(NOW, publish(1));
    assert_eq!(sent_to(&mut story), [[SessionId(2)]]);
    story.hub.handle(NOW, ack(1, 0));
    let part =
        HubEffect::Tell(Tell::SendPart { session: SessionId(1), part: ReplayPart::Versions { after: v(0) } });
    assert!(story.effects().contains(&part), "what was made since is replayed");
}

#[test]
fn g3_a_follower_that_never_acks_its_reset_is_closed_in_time_also_if_it_filters() {
    let mut story = Story::filtered_at(7);
    story.hub.handle(NOW, new_epoch());
    story.hub.handle(NOW, publish(1));
    story.effects();
    let due = story.hub.poll_timeout().expect("it has been asked");
    assert_eq!(due, NOW.plus(Limits::default().slow_after));
    story.hub.handle(due, HubInput::Timer);
    let closed = HubEffect::Tell(Tell::Close {
        session: SessionId(1),
        code: close::TOO_SLOW,
        reason: "no ack in time; resume from the position held",
    });
    assert!(story.effects().contains(&closed));
}

#[test]
fn e1_acks_of_the_log_before_say_nothing_of_the_new_one() {
    let mut story = Story::live_at(7);
    story.hub.handle(NOW, new_epoch());
    story.effects();
    // This ack was on its way when the epoch began. A version above the new head is no offence here.
    story.expect(ack(1, 7), &[]);
    assert_eq!(story.hub.sessions()[&SessionId(1)].acked, v(0));
    story.expect(ack(1, 0), &[save(1)]);
    story.expect(
        ack(1, 7),
        &[
            send(1, frame::error("bad-frame", "an ack of a version that does not exist", None)),
            close(1, close::BAD_FRAME, "an ack of a version that does not exist"),
        ],
    );
}

#[test]
fn e1_a_follower_that_cannot_be_reset_in_place_is_closed_and_comes_back() {
    let mut story = Story::at(7);
    story.expect(resume(1, 4, &[]), &greeted_replay(1, 4, 7));
    let mut effects = begun(next_epoch()).to_vec();
    effects.push(close(1, close::RESYNC, "another epoch began; resume from the position held"));
    story.expect(new_epoch(), &effects);
}

#[test]
fn e1_a_follower_that_the_new_epoch_did_not_reach_is_closed_when_the_hub_wakes() {
    let mut story = Story::live_at(7);
    let sessions = story.hub.sessions().clone();
    let head = next_epoch();
    story.hub = Hub::new(
        tv(),
        Persisted { log: Log::ending_at(head), last_ack_request: None },
        sessions,
        Limits::default(),
    );
    let closed = close(1, close::RESYNC, "another epoch began; resume from the position held");
    assert_eq!(story.effects(), [HubEffect::Tell(Tell::SetPong(head)), closed]);
}

#[test]
fn g7_a_replica_whose_position_is_not_on_the_log_begins_a_new_epoch() {
    let foreign = Position { hash: at(6).hash, ..at(5) };
    let future = at(9);
    for (claim, logged) in [(foreign, Some(at(5).hash)), (future, None)] {
        let mut story = Story::live_at(7);
        let head = next_epoch();
        let mut effects = vec![saw("fra")];
        effects.extend(begun(head));
        effects.extend([
            broadcast(&[1], frame::reset(&head, "a new epoch")),
            broadcast(&[1], frame::live(v(0))),
            save(1),
            send(2, frame::welcome(&head, Resume::Reset)),
        ]);
        story.hub.handle(NOW, shows(2, claim, logged));
        let done = story.effects();
        assert_eq!(&done[..effects.len()], effects, "{claim}");
        assert!(
            matches!(&done[effects.len()], HubEffect::Tell(Tell::Send { text, .. }) if text.contains(r#""type":"reset""#))
        );
    }
}

#[test]
fn g7_a_replica_from_a_newer_epoch_begins_a_still_newer_one() {
    let claim = Position::genesis(epoch(5_000)).then(b"x");
    let mut story = Story::at(7);
    story.hub.handle(NOW, shows(1, claim, None));
    assert_eq!(
        story.effects()[1],
        HubEffect::Write(HubWrite::BeginEpoch(Position::genesis(epoch(5_000).after(NOW, [0; 10]))))
    );
    assert!(story.hub.head().epoch > claim.epoch);
}

#[test]
fn g7_a_replica_that_was_away_while_an_epoch_began_is_only_reset() {
    let claim = Position::genesis(epoch(0)).then(b"x");
    let mut story = Story::at(7);
    story.hub.handle(NOW, shows(1, claim, None));
    assert_eq!(story.effects()[1], send(1, frame::welcome(&at(7), Resume::Reset)));
}

#[test]
fn after_an_epoch_from_far_ahead_comes_a_greater_one_and_the_last_is_not_believed() {
    for (shown, next) in [
        ("7ZZZZZZZZZ0000000000000000", "7ZZZZZZZZZ0000000000000001"),
        ("7ZZZZZZZZZ000000000000ZZZZ", "7ZZZZZZZZZ0000000000010000"),
        ("7ZZZZZZZZZZZZZZZZZZZZZZZZZ", epoch(1).as_str()),
    ] {
        let from = Start::At(Claim::Held { epoch: shown.parse().unwrap(), version: v(1), hash: None });
        let mut story = Story::at(7);
        let (session, name, topics) = (SessionId(1), "fra".to_owned(), Topics::default());
        let random = [0; 10];
        story.hub.handle(
            NOW,
            HubInput::Open { session, from, logged: None, name, topics, replica: true, until: None, random },
        );
        assert_eq!(story.hub.head().epoch.as_str(), next, "after {shown}");
    }
}

#[test]
fn g7_only_a_replica_is_believed() {
    let foreign = Position { hash: at(6).hash, ..at(5) };
    let mut story = Story::at(7);
    story.hub.handle(NOW, open(1, Start::At(foreign.into()), Some(at(5).hash), &[]));
    assert_eq!(story.effects()[0], send(1, frame::welcome(&at(7), Resume::Reset)));
}

#[test]
fn e1_a_version_of_the_epoch_before_is_applied_once_the_reset_is() {
    let mut story = Story::at(7);
    story.hub.handle(NOW, replica(1, "fra", 7));
    story.effects();
    let applied = Applied { applied: vec!["fra".to_owned()], acked: 1, ..Applied::default() };
    let pending = Applied { pending: vec!["fra".to_owned()], unacked: 1, ..Applied::default() };
    assert_eq!(story.hub.applied(epoch(1), v(7)), applied);
    assert_eq!(story.hub.applied(next_epoch().epoch, v(1)), pending, "not of a later epoch");
    story.hub.handle(NOW, new_epoch());
    story.effects();
    assert_eq!(story.hub.applied(epoch(1), v(7)), pending, "it may not have forgotten yet");
    story.hub.handle(NOW, ack(1, 0));
    assert_eq!(story.hub.applied(epoch(1), v(7)), applied);
}

#[test]
fn e1_acks_of_the_log_before_cost_patience() {
    let mut story = Story::live_at(7);
    story.hub.handle(NOW, new_epoch());
    for _ in 0..200 {
        story.hub.handle(NOW, ack(1, 7));
    }
    story.effects();
    let message = "too many frames that nobody asked for";
    story.expect(
        ack(1, 7),
        &[send(1, frame::error("busy", message, Some(1_000))), close(1, close::TOO_CHATTY, message)],
    );
}

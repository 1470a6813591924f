//! Stories of the hub, each step asserting all effects; then random runs against a slow obvious model.

use super::*;
use crate::wire::claim::Claim;
use crate::wire::cursor::FoldCursor;
use crate::wire::frame::Resume;
use crate::wire::position::Epoch;
use crate::wire::publish::Publish;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

mod acks;
mod driver;
mod epochs;
mod expiry;
mod model;
mod replays;

/// The clock of the stories.
const NOW: UnixMillis = UnixMillis(1_000);

fn tv() -> Catalog {
    Catalog::new("tv").unwrap()
}

fn epoch(number: u64) -> Epoch {
    Epoch::new(UnixMillis(number), [0; 10])
}

/// The log of the stories: odd versions change a title, even ones a live entry.
fn body(version: u64) -> String {
    let class = if version.is_multiple_of(2) { "live" } else { "title" };
    format!(r#"{{"key":"{class}:{version}"}}"#)
}

fn row(version: u64) -> String {
    format!(r#"{{"version":{version},"at":1000,"changes":[{}]}}"#, body(version))
}

fn at(version: u64) -> Position {
    (1..=version).fold(Position::genesis(epoch(1)), |position, v| position.then(row(v).as_bytes()))
}

fn v(version: u64) -> Version {
    Version::new(version).unwrap()
}

/// A submission of the body of `version`; its ticket is that number.
fn submission(version: u64) -> Submission {
    Submission {
        ticket: version,
        publisher: "guide".into(),
        publish: Publish::parse(body(version).as_bytes()).unwrap().written(),
        idempotency_key: None,
        remembered: None,
        wants_acks: false,
    }
}

fn keyed(version: u64, key: &str) -> Submission {
    Submission { idempotency_key: Some(key.into()), ..submission(version) }
}

fn expecting(submission: Submission, head: u64) -> Submission {
    let expect = Some(Expect { epoch: Some(epoch(1)), version: v(head) });
    Submission { publish: Written { expect, ..submission.publish }, ..submission }
}

fn publish(version: u64) -> HubInput {
    HubInput::Publish(vec![submission(version)])
}

fn persist(version: u64) -> HubEffect {
    HubEffect::Write(HubWrite::Append(Row { position: at(version), text: row(version) }))
}

fn pong(version: u64) -> HubEffect {
    HubEffect::Tell(Tell::SetPong(at(version)))
}

fn receipt(version: u64) -> Receipt {
    let position = at(version);
    Receipt { catalog: tv(), epoch: epoch(1), version: v(version), position, at: NOW, changes: 1 }
}

fn committed(ticket: u64, version: u64) -> HubEffect {
    HubEffect::Tell(Tell::Answer { ticket, outcome: PublishOutcome::Committed(receipt(version)) })
}

fn repeated(ticket: u64, version: u64) -> HubEffect {
    HubEffect::Tell(Tell::Answer { ticket, outcome: PublishOutcome::Repeated(receipt(version)) })
}

fn remember(version: u64, key: &str) -> HubEffect {
    HubEffect::Write(HubWrite::Remember {
        publisher: "guide".into(),
        key: key.into(),
        remembered: remembered(version),
    })
}

fn remembered(version: u64) -> Remembered {
    let fingerprint = submission(version).publish.fingerprint();
    Remembered { fingerprint, position: at(version), at: NOW, changes: 1 }
}

/// A frame that holds the `versions` of `(from, to]`.
fn changes(from: u64, to: u64, versions: &[u64]) -> String {
    let rows: Vec<String> = versions.iter().map(|version| row(*version)).collect();
    frame::changes_text(v(from), &at(to), false, &rows.join(","))
}

fn broadcast(sessions: &[u32], text: String) -> HubEffect {
    HubEffect::Tell(Tell::Broadcast { sessions: sessions.iter().map(|id| SessionId(*id)).collect(), text })
}

fn send(session: u32, text: String) -> HubEffect {
    HubEffect::Tell(Tell::Send { session: SessionId(session), text })
}

fn page(session: u32, after: u64) -> HubEffect {
    HubEffect::Tell(Tell::SendPart {
        session: SessionId(session),
        part: ReplayPart::Versions { after: v(after) },
    })
}

fn save(session: u32) -> HubEffect {
    HubEffect::Tell(Tell::Save(SessionId(session)))
}

fn close(session: u32, code: u16, reason: &'static str) -> HubEffect {
    HubEffect::Tell(Tell::Close { session: SessionId(session), code, reason })
}

fn sent(session: u32, to: u64) -> HubInput {
    HubInput::PartSent { session: SessionId(session), sent: PartSent::Versions { to: v(to) }, bytes: 100 }
}

fn text(session: u32, text: &str) -> HubInput {
    HubInput::Text { session: SessionId(session), text: text.into() }
}

fn ack(session: u32, version: u64) -> HubInput {
    text(session, &frame::ack(v(version)))
}

fn closed(session: u32) -> HubInput {
    HubInput::Closed { session: SessionId(session) }
}

/// A follower that opens with the position of `version`.
fn resume(session: u32, version: u64, topics: &[&str]) -> HubInput {
    open(session, Start::At(at(version).into()), Some(at(version).hash), topics)
}

fn open(session: u32, from: Start, logged: Option<Hash>, topics: &[&str]) -> HubInput {
    let topics = Topics::new(topics.iter().map(|topic| (*topic).to_owned()).collect());
    let (session, name, random) = (SessionId(session), String::new(), [0; 10]);
    HubInput::Open { session, from, logged, name, topics, replica: false, until: None, random }
}

fn replica(session: u32, name: &str, version: u64) -> HubInput {
    let (from, logged) = (Start::At(at(version).into()), Some(at(version).hash));
    let (session, topics) = (SessionId(session), Topics::default());
    HubInput::Open {
        session,
        from,
        logged,
        name: name.into(),
        topics,
        replica: true,
        until: None,
        random: [0; 10],
    }
}

fn saw(name: &str) -> HubEffect {
    HubEffect::Write(HubWrite::SawReplica { name: name.into(), at: NOW })
}

/// Returns the effects of opening a replica that is at the head.
fn admitted_live(session: u32, name: &str, head: u64) -> Vec<HubEffect> {
    [vec![saw(name)], greeted_live(session, head)].concat()
}

/// Returns the frames that greet a follower at the head, and the save of its session.
fn greeted_live(session: u32, head: u64) -> Vec<HubEffect> {
    vec![
        send(session, frame::welcome(&at(head), Resume::Live)),
        send(session, frame::live(v(head))),
        save(session),
    ]
}

fn greeted_replay(session: u32, after: u64, head: u64) -> Vec<HubEffect> {
    vec![send(session, frame::welcome(&at(head), Resume::Replay)), page(session, after), save(session)]
}

/// The rows of a log that is kept in full. Its followers have just been asked for acks.
fn persisted(head: u64) -> Persisted {
    Persisted {
        log: Log::ending_at(at(head)),
        last_ack_request: Some(AckRequest { version: v(head), at: NOW }),
    }
}

/// A hub on the rows of [`persisted`].
fn hub(head: u64, sessions: BTreeMap<SessionId, Session>) -> Hub {
    Hub::new(tv(), persisted(head), sessions, Limits::default())
}

/// A hub with a log that ends at some version of the stories' log.
struct Story {
    hub: Hub,
}

impl Story {
    fn at(version: u64) -> Self {
        let mut story = Self { hub: hub(version, BTreeMap::new()) };
        assert_eq!(story.effects(), [pong(version)]);
        story
    }

    /// A hub with one follower of everything, live, in session 1.
    fn live_at(version: u64) -> Self {
        let mut story = Self::at(version);
        story.expect(resume(1, version, &[]), &greeted_live(1, version));
        story
    }

    /// A hub with one follower of the even versions, live, in session 1.
    fn filtered_at(version: u64) -> Self {
        let mut story = Self::at(version);
        let mut greeting = greeted_live(1, version);
        greeting.insert(2, send(1, frame::head(v(version), &at(version))));
        story.expect(resume(1, version, &["live:"]), &greeting);
        story
    }

    fn effects(&mut self) -> Vec<HubEffect> {
        std::iter::from_fn(|| self.hub.poll_effect()).collect()
    }

    #[track_caller]
    fn expect(&mut self, input: HubInput, effects: &[HubEffect]) {
        self.hub.handle(NOW, input);
        assert_eq!(self.effects(), effects);
    }

    /// Rebuilds the hub from its head and the sessions' attachments, as after hibernation.
    #[track_caller]
    fn hibernate(&mut self) {
        let head = self.hub.head();
        let attachments = serde_json::to_string(&self.hub.sessions().iter().collect::<Vec<_>>()).unwrap();
        let sessions: Vec<(SessionId, Session)> = serde_json::from_str(&attachments).unwrap();
        self.hub = hub(head.version.number(), sessions.into_iter().collect());
        assert_eq!(self.effects(), [HubEffect::Tell(Tell::SetPong(head))]);
    }
}

// --- publishing ---

#[test]
fn d1_d2_a_row_stands_before_the_pong_the_sends_and_the_answer() {
    let mut story = Story::live_at(7);
    story.expect(publish(8), &[persist(8), pong(8), broadcast(&[1], changes(7, 8, &[8])), committed(8, 8)]);
    assert_eq!(story.hub.head(), at(8));
}

#[test]
fn a_publish_without_followers_is_written_and_answered() {
    Story::at(0).expect(publish(1), &[persist(1), pong(1), committed(1, 1)]);
}

#[test]
fn g4_publishes_that_arrive_together_share_one_frame_and_keep_their_own_versions() {
    let mut story = Story::live_at(7);
    story.expect(resume(2, 7, &[]), &greeted_live(2, 7));
    story.expect(
        HubInput::Publish(vec![submission(8), submission(9), submission(10)]),
        &[
            persist(8),
            persist(9),
            persist(10),
            pong(10),
            broadcast(&[1, 2], changes(7, 10, &[8, 9, 10])),
            committed(8, 8),
            committed(9, 9),
            committed(10, 10),
        ],
    );
}

#[test]
fn g1_a_refused_publish_between_good_ones_leaves_no_gap() {
    let mut story = Story::live_at(7);
    let head = at(8);
    let refused = Problem::new(Code::ExpectFailed, format!("expected version 7, the log is at {head}"))
        .with("epoch", head.epoch)
        .with("version", head.version)
        .with("position", head);
    story.expect(
        HubInput::Publish(vec![
            submission(8),
            Submission { ticket: 99, ..expecting(submission(50), 7) },
            expecting(submission(9), 8),
        ]),
        &[
            persist(8),
            persist(9),
            pong(9),
            broadcast(&[1], changes(7, 9, &[8, 9])),
            committed(8, 8),
            HubEffect::Tell(Tell::Answer { ticket: 99, outcome: PublishOutcome::Refused(refused) }),
            committed(9, 9),
        ],
    );
}

#[test]
fn a_commit_of_refused_publishes_only_answers() {
    let mut story = Story::live_at(7);
    story.hub.handle(NOW, HubInput::Publish(vec![expecting(keyed(8, "k"), 3)]));
    let effects = story.effects();
    let [HubEffect::Tell(Tell::Answer { ticket: 8, outcome: PublishOutcome::Refused(problem) })] =
        effects.as_slice()
    else {
        panic!("{effects:?}")
    };
    assert_eq!(problem.kind(), Code::ExpectFailed);
    // D3: a failure is not remembered, so the same key may try again.
    story.expect(
        HubInput::Publish(vec![expecting(keyed(8, "k"), 7)]),
        &[
            persist(8),
            HubEffect::Write(HubWrite::Remember {
                publisher: "guide".into(),
                key: "k".into(),
                remembered: Remembered {
                    fingerprint: expecting(submission(8), 7).publish.fingerprint(),
                    ..remembered(8)
                },
            }),
            pong(8),
            broadcast(&[1], changes(7, 8, &[8])),
            committed(8, 8),
        ],
    );
}

#[test]
fn an_expected_epoch_must_be_the_logs() {
    let mut story = Story::at(7);
    let mut elsewhere = expecting(submission(8), 7);
    elsewhere.publish.expect = Some(Expect { epoch: Some(epoch(2)), version: v(7) });
    story.hub.handle(NOW, HubInput::Publish(vec![elsewhere]));
    assert!(
        matches!(story.effects().as_slice(), [HubEffect::Tell(Tell::Answer { outcome: PublishOutcome::Refused(problem), .. })]
            if problem.kind() == Code::ExpectFailed)
    );
}

#[test]
fn d3_a_retry_with_the_same_key_has_one_effect_and_the_first_answer() {
    let mut story = Story::live_at(7);
    story.expect(
        HubInput::Publish(vec![keyed(8, "k")]),
        &[persist(8), remember(8, "k"), pong(8), broadcast(&[1], changes(7, 8, &[8])), committed(8, 8)],
    );
    let retry = Submission { remembered: Some(remembered(8)), ..keyed(8, "k") };
    story.expect(HubInput::Publish(vec![retry.clone()]), &[repeated(8, 8)]);
    // A retry is the publish that it repeats, so the head that the publish expected does not matter any more.
    story.hibernate();
    story.expect(HubInput::Publish(vec![retry]), &[repeated(8, 8)]);
}

#[test]
fn d3_the_same_key_twice_within_one_commit_is_one_publish() {
    let mut story = Story::live_at(7);
    story.expect(
        HubInput::Publish(vec![
            keyed(8, "k"),
            Submission { ticket: 70, ..keyed(8, "k") },
            submission(9),
            Submission { ticket: 71, ..keyed(8, "k") },
        ]),
        &[
            persist(8),
            remember(8, "k"),
            persist(9),
            pong(9),
            broadcast(&[1], changes(7, 9, &[8, 9])),
            committed(8, 8),
            repeated(70, 8),
            committed(9, 9),
            repeated(71, 8),
        ],
    );
}

#[test]
fn d3_a_key_used_for_another_body_is_refused() {
    let refused = |ticket| {
        let detail = "this Idempotency-Key was used for another publish; take a new key for new changes";
        let outcome = PublishOutcome::Refused(Problem::new(Code::IdempotencyReuse, detail));
        HubEffect::Tell(Tell::Answer { ticket, outcome })
    };
    let mut story = Story::at(7);
    let other = Submission { remembered: Some(remembered(7)), ..keyed(8, "k") };
    story.expect(HubInput::Publish(vec![other]), &[refused(8)]);
    story.expect(
        HubInput::Publish(vec![keyed(8, "k"), keyed(9, "k")]),
        &[persist(8), remember(8, "k"), pong(8), committed(8, 8), refused(9)],
    );
}

#[test]
fn d3_a_key_belongs_to_its_publisher() {
    let mut story = Story::at(7);
    let other = Submission { publisher: "shop".into(), ..keyed(9, "k") };
    story.expect(
        HubInput::Publish(vec![keyed(8, "k"), other]),
        &[
            persist(8),
            remember(8, "k"),
            persist(9),
            HubEffect::Write(HubWrite::Remember {
                publisher: "shop".into(),
                key: "k".into(),
                remembered: remembered(9),
            }),
            pong(9),
            committed(8, 8),
            committed(9, 9),
        ],
    );
}

#[test]
fn g4_a_live_frame_ends_with_the_first_version_past_1_mib() {
    let mut story = Story::live_at(0);
    let large = |ticket: u64| {
        let tags = ["a", "b", "c", "d"].map(|name| format!(r#""{}""#, name.repeat(250))).join(",");
        let changes: Vec<String> =
            (0..600).map(|n| format!(r#"{{"key":"title:{n}","tags":[{tags}]}}"#)).collect();
        let publish = Publish::parse(format!(r#"{{"changes":[{}]}}"#, changes.join(",")).as_bytes()).unwrap();
        Submission { ticket, publish: publish.written(), ..submission(ticket) }
    };
    story.hub.handle(NOW, HubInput::Publish((1..=5).map(large).collect()));
    let effects = story.effects();
    let row_bytes = large(1).publish.changes.len();
    assert!((frame::LIVE_BYTES / 2..frame::LIVE_BYTES).contains(&row_bytes), "two rows pass the limit");
    let mut frames = Vec::new();
    for effect in &effects {
        if let HubEffect::Tell(Tell::Broadcast { text, .. }) = effect {
            let frame::Frame::Changes { from, to, versions, .. } = frame::Frame::parse(text).unwrap() else {
                panic!("{text}")
            };
            frames.push((from.number(), to.number(), versions.len()));
        }
    }
    assert_eq!(frames, [(0, 2, 2), (2, 4, 2), (4, 5, 1)]);
}

// --- opening ---

#[test]
fn a_follower_without_a_position_starts_at_the_head() {
    Story::at(7).expect(open(1, Start::Head, None, &[]), &greeted_live(1, 7));
}

#[test]
fn g5_a_follower_at_the_head_is_live_at_once() {
    Story::at(7).expect(resume(1, 7, &[]), &greeted_live(1, 7));
    Story::at(0).expect(open(1, Start::At(Claim::Nothing), None, &[]), &greeted_live(1, 0));
}

#[test]
fn g5_a_follower_behind_the_head_gets_what_it_missed() {
    Story::at(7).expect(resume(1, 4, &[]), &greeted_replay(1, 4, 7));
    Story::at(7).expect(open(1, Start::At(Claim::Nothing), None, &[]), &greeted_replay(1, 0, 7));
}

#[test]
fn g7_a_position_that_is_not_on_the_log_is_reset_never_replayed() {
    let held = |epoch, version, hash| Start::At(Claim::Held { epoch, version: v(version), hash });
    let own = Some(at(3).hash);
    for (from, logged, reason) in [
        (held(epoch(2), 3, own), own, "another epoch"),
        (held(epoch(0), 3, own), own, "another epoch"),
        (held(epoch(1), 8, Some(at(8).hash)), None, "ahead of the log"),
        (held(epoch(1), 3, Some(at(4).hash)), own, "another history"),
        (held(epoch(1), 3, own), None, "older than anything kept"),
        (held(epoch(1), 3, None), None, "older than anything kept"),
    ] {
        Story::at(7).expect(
            open(1, from, logged, &[]),
            &[
                send(1, frame::welcome(&at(7), Resume::Reset)),
                send(1, frame::reset(&at(7), reason)),
                send(1, frame::live(v(7))),
                save(1),
            ],
        );
    }
}

#[test]
fn a_position_without_a_hash_is_believed_while_its_version_is_known() {
    let claim = Claim::Held { epoch: epoch(1), version: v(3), hash: None };
    Story::at(7).expect(open(1, Start::At(claim), Some(at(3).hash), &[]), &greeted_replay(1, 3, 7));
}

// --- replay ---

#[test]
fn g5_a_replay_has_at_most_four_pages_unacknowledged_and_goes_on_by_acks() {
    let mut story = Story::at(20);
    story.expect(resume(1, 0, &[]), &greeted_replay(1, 0, 20));
    story.expect(sent(1, 2), &[page(1, 2), save(1)]);
    story.expect(sent(1, 4), &[page(1, 4), save(1)]);
    story.expect(sent(1, 6), &[page(1, 6), save(1)]);
    story.expect(sent(1, 8), &[save(1)]);
    // In the middle of a page nothing is acknowledged whole.
    story.expect(ack(1, 1), &[save(1)]);
    story.expect(ack(1, 2), &[page(1, 8), save(1)]);
    story.expect(sent(1, 10), &[save(1)]);
    // An ack of several pages makes room for as many.
    story.expect(ack(1, 6), &[page(1, 10), save(1)]);
    story.expect(sent(1, 12), &[page(1, 12), save(1)]);
    story.expect(sent(1, 14), &[save(1)]);
    assert_eq!(story.hub.sessions()[&SessionId(1)].acked, v(6));
}

#[test]
fn g3_a_follower_goes_live_in_the_same_step_as_its_last_page() {
    let mut story = Story::at(7);
    story.expect(resume(1, 4, &[]), &greeted_replay(1, 4, 7));
    story.expect(sent(1, 6), &[page(1, 6), save(1)]);
    story.expect(sent(1, 7), &[send(1, frame::live(v(7))), save(1)]);
    // The pages still unacknowledged hold nothing up.
    story.expect(publish(8), &[persist(8), pong(8), broadcast(&[1], changes(7, 8, &[8])), committed(8, 8)]);
    story.expect(ack(1, 6), &[save(1)]);
}

#[test]
fn g1_what_is_published_during_a_replay_comes_in_its_pages() {
    let mut story = Story::at(7);
    story.expect(resume(1, 4, &[]), &greeted_replay(1, 4, 7));
    story.expect(publish(8), &[persist(8), pong(8), committed(8, 8)]);
    story.expect(sent(1, 7), &[page(1, 7), save(1)]);
    story.expect(sent(1, 8), &[send(1, frame::live(v(8))), save(1)]);
}

#[test]
fn g3_a_replay_whose_page_was_never_sent_goes_on_with_the_next_ack() {
    let mut story = Story::at(20);
    story.expect(resume(1, 0, &[]), &greeted_replay(1, 0, 20));
    story.expect(sent(1, 2), &[page(1, 2), save(1)]);
    // The object died before that page went out.
    story.hibernate();
    story.expect(ack(1, 2), &[page(1, 2), save(1)]);
}

#[test]
fn a_page_for_a_follower_that_left_leads_to_nothing() {
    let mut story = Story::at(7);
    story.expect(resume(1, 4, &[]), &greeted_replay(1, 4, 7));
    story.expect(closed(1), &[]);
    story.expect(sent(1, 6), &[]);
}

// --- filters and bookmarks ---

#[test]
fn g6_a_filtered_follower_is_told_where_it_stands_when_it_goes_live() {
    Story::filtered_at(7);
    let mut story = Story::at(7);
    story.expect(resume(1, 4, &["live:"]), &greeted_replay(1, 4, 7));
    story.expect(sent(1, 7), &[send(1, frame::live(v(7))), send(1, frame::head(v(7), &at(7))), save(1)]);
}

#[test]
fn g6_a_frame_of_a_filtered_follower_covers_what_was_hidden_before_it() {
    let mut story = Story::filtered_at(6);
    story.expect(resume(2, 6, &[]), &greeted_live(2, 6));
    story.expect(publish(7), &[persist(7), pong(7), broadcast(&[2], changes(6, 7, &[7])), committed(7, 7)]);
    story.expect(
        publish(8),
        &[
            persist(8),
            pong(8),
            broadcast(&[2], changes(7, 8, &[8])),
            broadcast(&[1], changes(6, 8, &[8])),
            save(1),
            committed(8, 8),
        ],
    );
}

#[test]
fn followers_of_one_interest_share_a_text_while_they_were_told_the_same() {
    let mut story = Story::filtered_at(6);
    story.expect(publish(7), &[persist(7), pong(7), committed(7, 7)]);
    for session in [2, 3] {
        let mut greeting = greeted_live(session, 7);
        greeting.insert(2, send(session, frame::head(v(7), &at(7))));
        story.expect(resume(session, 7, &["live:"]), &greeting);
    }
    story.expect(
        publish(8),
        &[
            persist(8),
            pong(8),
            broadcast(&[1], changes(6, 8, &[8])),
            save(1),
            broadcast(&[2, 3], changes(7, 8, &[8])),
            save(2),
            save(3),
            committed(8, 8),
        ],
    );
}

#[test]
fn g6_a_bookmark_comes_at_least_once_in_a_thousand_hidden_versions() {
    let mut story = Story::at(997);
    let mut greeting = greeted_live(1, 997);
    greeting.insert(2, send(1, frame::head(v(997), &at(997))));
    story.expect(resume(1, 997, &["none:"]), &greeting);
    story.expect(publish(998), &[persist(998), pong(998), committed(998, 998)]);
    story.expect(publish(999), &[persist(999), pong(999), committed(999, 999)]);
    story.expect(
        publish(1000),
        &[
            persist(1000),
            pong(1000),
            broadcast(&[1], frame::head(v(997), &at(1000))),
            save(1),
            committed(1000, 1000),
        ],
    );
    story.expect(publish(1001), &[persist(1001), pong(1001), committed(1001, 1001)]);
}

#[test]
fn g3_a_filtered_follower_misses_nothing_when_the_object_dies_in_a_fan_out() {
    let mut story = Story::filtered_at(7);
    let attachment = story.hub.sessions().clone();
    story.hub.handle(NOW, publish(8));
    assert!(story.effects().contains(&persist(8)));
    // The row was written; the frame was never sent, and the attachment is from before it.
    story.hub = hub(8, attachment);
    assert_eq!(story.effects(), [pong(8)]);
    // The hub cannot tell whether the filter hid (7, 8] or the frame was lost, so it reads (7, 8] from the
    // log again.
    story.expect(publish(9), &[persist(9), pong(9), page(1, 7), committed(9, 9)]);
    story.expect(sent(1, 9), &[send(1, frame::live(v(9))), send(1, frame::head(v(9), &at(9))), save(1)]);
    story.expect(
        publish(10),
        &[persist(10), pong(10), broadcast(&[1], changes(9, 10, &[10])), save(1), committed(10, 10)],
    );
}

#[test]
fn d2_a_session_is_never_told_of_more_than_the_rows_hold() {
    let mut story = Story::filtered_at(7);
    story.hub.handle(NOW, publish(8));
    // The write failed: the hub is rebuilt from rows that end at 7 and the sessions it had in memory.
    story.hub = hub(7, story.hub.sessions().clone());
    assert_eq!(story.effects(), [pong(7)]);
    assert_eq!(story.hub.sessions()[&SessionId(1)].sent_to, v(7));
    story.expect(publish(8), &[persist(8), pong(8), page(1, 7), committed(8, 8)]);
}

#[test]
fn g3_writes_that_fail_again_and_again_leave_no_follower_out() {
    let mut story = Story::filtered_at(7);
    for _ in 0..2 {
        story.hub.handle(NOW, publish(8));
        story.hub = hub(7, story.hub.sessions().clone());
        assert_eq!(story.effects(), [pong(7)]);
    }
    // The second commit had begun a replay, and its page was never sent. There is nothing to replay yet.
    story.expect(ack(1, 7), &[send(1, frame::live(v(7))), send(1, frame::head(v(7), &at(7))), save(1)]);
    story.expect(
        publish(8),
        &[persist(8), pong(8), broadcast(&[1], changes(7, 8, &[8])), save(1), committed(8, 8)],
    );
}

// --- names, bad frames, closing ---

#[test]
fn a_replica_that_connects_anew_replaces_its_older_connection() {
    let mut story = Story::at(7);
    story.expect(replica(1, "fra", 7), &admitted_live(1, "fra", 7));
    story.expect(replica(2, "ams", 7), &admitted_live(2, "ams", 7));
    let mut effects =
        vec![saw("fra"), close(1, close::REPLACED, "a newer connection of this replica took its place")];
    effects.extend(greeted_live(3, 7));
    story.expect(replica(3, "fra", 7), &effects);
    assert_eq!(story.hub.sessions().keys().copied().collect::<Vec<_>>(), [SessionId(2), SessionId(3)]);
}

#[test]
fn a_follower_that_is_no_replica_replaces_no_other() {
    let mut story = Story::at(7);
    story.expect(replica(1, "fra", 7), &admitted_live(1, "fra", 7));
    let HubInput::Open { from, logged, name, topics, .. } = replica(2, "fra", 7) else { unreachable!() };
    let stranger = HubInput::Open {
        session: SessionId(2),
        from,
        logged,
        name,
        topics,
        replica: false,
        until: None,
        random: [0; 10],
    };
    story.expect(stranger, &greeted_live(2, 7));
    assert_eq!(story.hub.sessions().len(), 2);
}

#[test]
fn a_bad_frame_closes_only_the_follower_that_sent_it() {
    let mut story = Story::live_at(7);
    story.expect(resume(2, 7, &[]), &greeted_live(2, 7));
    let error = FollowerFrame::parse("hello").unwrap_err().to_string();
    story.expect(
        text(1, "hello"),
        &[
            send(1, frame::error("bad-frame", &error, None)),
            close(1, close::BAD_FRAME, "a frame that cannot be read"),
        ],
    );
    story.expect(publish(8), &[persist(8), pong(8), broadcast(&[2], changes(7, 8, &[8])), committed(8, 8)]);
    story.expect(text(1, "hello again, before the close arrived"), &[]);
    story.expect(text(1, "ping"), &[]);
}

#[test]
fn an_ack_of_a_version_that_does_not_exist_closes_the_follower() {
    let mut story = Story::live_at(7);
    let reason = "an ack of a version that does not exist";
    story.expect(
        ack(1, 8),
        &[send(1, frame::error("bad-frame", reason, None)), close(1, close::BAD_FRAME, reason)],
    );
    assert!(story.hub.sessions().is_empty());
}

#[test]
fn an_ack_never_goes_back() {
    let mut story = Story::at(7);
    story.expect(resume(1, 4, &[]), &greeted_replay(1, 4, 7));
    story.expect(sent(1, 7), &[send(1, frame::live(v(7))), save(1)]);
    story.expect(ack(1, 7), &[save(1)]);
    story.expect(ack(1, 5), &[save(1)]);
    assert_eq!(story.hub.sessions()[&SessionId(1)].acked, v(7));
}

#[test]
fn a_ping_that_reaches_the_hub_is_answered_with_the_head() {
    Story::live_at(7).expect(text(1, "ping"), &[send(1, frame::pong(&at(7)))]);
}

#[test]
fn a_follower_that_left_is_sent_nothing() {
    let mut story = Story::live_at(7);
    story.expect(closed(1), &[]);
    story.expect(closed(1), &[]);
    story.expect(ack(1, 7), &[]);
    story.expect(publish(8), &[persist(8), pong(8), committed(8, 8)]);
}

#[test]
fn the_id_of_a_closed_session_is_not_given_to_the_next() {
    let mut story = Story::live_at(7);
    story.hub.handle(NOW, text(1, "hello"));
    story.effects();
    // The close event of session 1 is still to come, and must not close a session that opens meanwhile.
    assert_eq!(story.hub.free_session(), SessionId(2));
    story.expect(resume(2, 7, &[]), &greeted_live(2, 7));
    assert_eq!(story.hub.free_session(), SessionId(3));
}

// --- hibernation ---

#[test]
fn a_hub_that_slept_behaves_as_one_that_did_not() {
    let mut story = Story::live_at(6);
    let mut greeting = greeted_live(2, 6);
    greeting.insert(2, send(2, frame::head(v(6), &at(6))));
    story.expect(resume(2, 6, &["live:"]), &greeting);
    story.expect(resume(3, 0, &[]), &greeted_replay(3, 0, 6));
    for to in 1..=3 {
        story.expect(sent(3, to), &[page(3, to), save(3)]);
    }
    story.expect(sent(3, 4), &[save(3)]);
    story.hibernate();
    story.expect(publish(7), &[persist(7), pong(7), broadcast(&[1], changes(6, 7, &[7])), committed(7, 7)]);
    story.expect(ack(3, 1), &[page(3, 4), save(3)]);
    story.expect(sent(3, 7), &[send(3, frame::live(v(7))), save(3)]);
    assert_eq!(story.hub.free_session(), SessionId(4));
}

#[test]
fn g6_after_a_sleep_a_filtered_follower_is_told_from_the_log_what_was_hidden() {
    let mut story = Story::filtered_at(6);
    story.expect(publish(7), &[persist(7), pong(7), committed(7, 7)]);
    story.hibernate();
    story.expect(publish(8), &[persist(8), pong(8), page(1, 6), committed(8, 8)]);
}

// --- every stage and input ---

/// Every stage that a session may be in, with its window; and none.
fn stages() -> [Option<(Stage, VecDeque<Outstanding>)>; 6] {
    let part = |to, held: Option<u64>| Outstanding { to: v(to), held: held.map(v), bytes: 100, at: NOW };
    let full: VecDeque<Outstanding> = (1..=4).map(|to| part(to, None)).collect();
    let replaying = |sent, fold, window| Some((Stage::Replaying { sent: v(sent), fold }, window));
    let cursor = FoldCursor { version: v(2), sort_key: None, part: 1 };
    [
        None,
        replaying(0, None, VecDeque::new()),
        replaying(4, None, full.clone()),
        replaying(0, Some(cursor), VecDeque::from([part(4, Some(0))])),
        Some((Stage::Live, VecDeque::new())),
        Some((Stage::Live, full)),
    ]
}

#[test]
fn every_stage_answers_every_input() {
    let inputs = || {
        let mut inputs = vec![publish(8), HubInput::Publish(Vec::new()), closed(1), sent(1, 6), sent(1, 7)];
        inputs.extend(["", "hello", "ping", r#"{"type":"ack"}"#].map(|frame| text(1, frame)));
        inputs.extend([0, 4, 7, 8].map(|version| ack(1, version)));
        inputs.extend([0, 4, 7].map(|version| resume(2, version, &[])));
        inputs.extend([replica(2, "fra", 7), open(2, Start::Head, None, &["live:"])]);
        inputs.extend([
            HubInput::Pinged([(SessionId(1), UnixMillis(0))].into()),
            HubInput::Timer,
            HubInput::NewEpoch { random: [1; 10] },
            HubInput::Folded(at(4)),
        ]);
        inputs
    };
    for stage in stages() {
        for topics in [Topics::default(), Topics::new(vec!["live:".into()])] {
            for input in inputs() {
                let session = stage.clone().map(|(stage, window)| Session {
                    name: "fra".into(),
                    replica: true,
                    since: NOW,
                    until: None,
                    epoch: epoch(1),
                    topics: topics.clone(),
                    acked: v(0),
                    sent_to: v(7),
                    ack_requested: v(0),
                    reset: None,
                    stage,
                    window,
                    unsolicited: Default::default(),
                });
                let sessions = session.map(|session| (SessionId(1), session)).into_iter().collect();
                let mut story = Story { hub: hub(7, sessions) };
                story.effects();
                let mut known: Vec<SessionId> = story.hub.sessions().keys().copied().collect();
                story.hub.handle(NOW, input.clone());
                known.extend(story.hub.sessions().keys());
                check_order(&story.effects(), &known, &format!("{stage:?} {input:?}"));
            }
        }
    }
}

/// Checks that rows stand first and answers last, and that every effect names a session that has been open.
#[track_caller]
fn check_order(effects: &[HubEffect], known: &[SessionId], context: &str) {
    let rank = |effect: &HubEffect| match effect {
        HubEffect::Write(
            HubWrite::Append(_)
            | HubWrite::Remember { .. }
            | HubWrite::BeginEpoch(_)
            | HubWrite::SawReplica { .. },
        ) => 0,
        HubEffect::Tell(Tell::SetPong(_)) => 1,
        HubEffect::Write(HubWrite::NoteAckRequest(_))
        | HubEffect::Tell(
            Tell::Broadcast { .. }
            | Tell::Send { .. }
            | Tell::SendPart { .. }
            | Tell::Save(_)
            | Tell::Close { .. },
        ) => 2,
        HubEffect::Tell(Tell::Answer { .. }) => 3,
    };
    assert!(effects.is_sorted_by_key(rank), "{context}: {effects:?}");
    for effect in effects {
        let addressed = match effect {
            HubEffect::Tell(Tell::Broadcast { sessions, .. }) => sessions.clone(),
            HubEffect::Tell(
                Tell::Send { session, .. }
                | Tell::SendPart { session, .. }
                | Tell::Save(session)
                | Tell::Close { session, .. },
            ) => vec![*session],
            HubEffect::Write(_) | HubEffect::Tell(Tell::SetPong(_) | Tell::Answer { .. }) => Vec::new(),
        };
        assert!(addressed.iter().all(|id| known.contains(id)), "{context}: {effects:?}");
    }
}

//! Stories of tokens that end while their sockets are open.

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const END: UnixMillis = UnixMillis(5_000);
const BEFORE: UnixMillis = UnixMillis(4_999);

/// The same opening, with a token that ends.
fn until(end: UnixMillis, mut input: HubInput) -> HubInput {
    if let HubInput::Open { until, .. } = &mut input {
        *until = Some(end);
    }
    input
}

fn expired(session: u32) -> [HubEffect; 2] {
    [
        send(session, frame::error("unauthorized", "the token has expired", None)),
        close(session, 4400, "the token has expired"),
    ]
}

/// A hub with two followers: the token of session 1 ends, the token of session 2 does not.
fn story() -> Story {
    let mut story = Story::at(7);
    story.expect(until(END, resume(1, 7, &[])), &greeted_live(1, 7));
    story.expect(resume(2, 7, &[]), &greeted_live(2, 7));
    story
}

impl Story {
    #[track_caller]
    fn expect_at(&mut self, now: UnixMillis, input: HubInput, effects: &[HubEffect]) {
        self.hub.handle(now, input);
        assert_eq!(self.effects(), effects);
    }
}

#[test]
fn at_the_end_of_its_token_a_socket_is_closed_and_the_others_are_not() {
    let mut story = story();
    assert_eq!(story.hub.poll_timeout(), Some(END));
    story.expect_at(BEFORE, HubInput::Timer, &[]);
    story.expect_at(END, HubInput::Timer, &expired(1));
    assert_eq!(story.hub.poll_timeout(), None);
    assert_eq!(story.hub.sessions().keys().collect::<Vec<_>>(), [&SessionId(2)]);
}

#[test]
fn what_is_published_after_the_end_of_a_token_is_not_sent_to_it() {
    let mut story = story();
    story.hub.handle(END, publish(8));
    let effects = story.effects();
    assert_eq!(effects[..2], expired(1));
    let sent_to = |effect: &HubEffect| matches!(effect, HubEffect::Tell(Tell::Broadcast { sessions, .. }) if sessions[..] == [SessionId(2)]);
    assert_eq!(effects.iter().filter(|effect| sent_to(effect)).count(), 1, "{effects:?}");
}

#[test]
fn what_it_says_after_the_end_of_its_token_is_not_heard() {
    story().expect_at(END, text(1, "ping"), &expired(1));
    story().expect_at(END, ack(1, 7), &expired(1));
    story().expect_at(END, text(1, "no frame"), &expired(1));
}

#[test]
fn a_replay_ends_with_the_token() {
    let mut story = Story::at(7);
    story.expect(until(END, resume(1, 4, &[])), &greeted_replay(1, 4, 7));
    story.expect_at(END, sent(1, 7), &expired(1));
}

#[test]
fn the_end_of_a_token_outlives_hibernation() {
    let mut story = story();
    story.hibernate();
    assert_eq!(story.hub.poll_timeout(), Some(END));
    story.expect_at(END, HubInput::Timer, &expired(1));
}

#[test]
fn each_token_ends_at_its_own_time() {
    let mut story = story();
    story.expect(until(UnixMillis(9_000), resume(3, 7, &[])), &greeted_live(3, 7));
    story.expect(until(UnixMillis(2_000), resume(4, 7, &[])), &greeted_live(4, 7));
    assert_eq!(story.hub.poll_timeout(), Some(UnixMillis(2_000)));
    story.expect_at(UnixMillis(2_000), HubInput::Timer, &expired(4));
    assert_eq!(story.hub.poll_timeout(), Some(END));
    story.expect_at(END, closed(1), &expired(1));
    assert_eq!(story.hub.poll_timeout(), Some(UnixMillis(9_000)));
    story.expect_at(UnixMillis(9_001), HubInput::Timer, &expired(3));
}

#[test]
fn a_token_that_ends_while_its_socket_opens_is_closed_by_whatever_comes_next() {
    let mut story = Story::at(7);
    story.expect(until(NOW, resume(1, 7, &[])), &greeted_live(1, 7));
    assert_eq!(story.hub.poll_timeout(), Some(NOW));
    story.expect(HubInput::Timer, &expired(1));
}

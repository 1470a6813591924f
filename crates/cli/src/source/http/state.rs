//! The file of a feed: how far it has come, and what was to be published when the file was written.
//!
//! Before anything is sent, the file says what is sent, under which keys, and what is reached once all of it is durable.
//! A later run sends the same again, which has one effect, and only then goes on. So a crash at any moment loses
//! nothing and publishes nothing twice.

use newsreel_core::wire::Publish;
use newsreel_mapping::{Feed, Mapping};
use serde::{Deserialize, Serialize};

use super::question::Reached;
use super::round::End;
use super::seen;
use crate::source::outgoing::{Entry, source_event};

/// The state of a feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FeedState {
    /// A digest of the address and the kind of the feed.
    of: String,
    /// A digest of what rows are called.
    mapping: String,
    /// A random text: two histories never have the same idempotency keys.
    history: String,
    /// How many times something was published.
    published: u64,
    /// What is reached.
    pub(super) reached: Reached,
    /// What was to be published when the file was written.
    pub(super) pending: Option<Pending>,
    /// When the last good round ended: Unix milliseconds by the clock here.
    pub(super) good_at: Option<i64>,
}

/// The publishes on their way, and what is reached once they are durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    /// Each publish with its idempotency key, as it is sent.
    pub(super) lines: Vec<String>,
    /// What is reached then.
    pub(super) reached: Reached,
    /// When the API answered, in Unix milliseconds by its clock.
    pub(super) at: i64,
}

impl FeedState {
    /// Returns the state of a feed of which nothing is known.
    pub(super) fn new(feed: &Feed, mapping: &Mapping, history: String, gap: &str) -> Self {
        Self {
            of: digest(feed),
            mapping: mapping.digest(),
            history,
            published: 0,
            reached: Reached { gap: Some(gap.to_owned()), ..Reached::default() },
            pending: None,
            good_at: None,
        }
    }

    /// Takes a state that an earlier run wrote, and notes what is not as it was.
    pub(super) fn resume(mut self, feed: &Feed, mapping: &Mapping) -> Self {
        let gap = if self.of != digest(feed) {
            "the feed has another address than before"
        } else if self.mapping != mapping.digest() {
            "the mapping has changed"
        } else {
            return self;
        };
        let of_another = self.of != digest(feed);
        let reached = [Some(&mut self.reached), self.pending.as_mut().map(|pending| &mut pending.reached)];
        for reached in reached.into_iter().flatten() {
            if of_another {
                *reached = Reached::default();
            }
            reached.gap.get_or_insert_with(|| gap.to_owned());
        }
        (self.of, self.mapping) = (digest(feed), mapping.digest());
        self
    }

    /// Notes the end of a round: what is to be published, and what is reached then. Says whether anything is to be
    /// published.
    pub(super) fn intend(&mut self, feed: &Feed, publishes: &[Publish], end: End, at: i64) -> bool {
        if publishes.is_empty() {
            self.reached = end.reached;
            return false;
        }
        let (name, history, number) = (&feed.name, &self.history, self.published);
        let line = |(part, publish): (usize, &Publish)| {
            let key = |content: &str| format!("http:{name}:{history}:{number}:{part}:{content}");
            Entry::new((), publish, source_event("http", Some(name), None, at), key).text
        };
        let lines = publishes.iter().enumerate().map(line).collect();
        self.pending = Some(Pending { lines, reached: end.reached, at });
        true
    }

    /// Notes that everything that was on its way is durable.
    pub(super) fn settle(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.reached = pending.reached;
            self.published += 1;
        }
    }
}

/// Returns a digest of what a feed asks: with another address or another kind, what was reached says nothing.
fn digest(feed: &Feed) -> String {
    seen::digest(format!("{:?} {} {}", feed.kind, feed.url, feed.items).as_bytes())
}

#[cfg(test)]
mod tests {
    use newsreel_core::wire::{Change, Key};

    use super::*;

    const FILE: &str = "[[feed]]\nname = \"f\"\nkind = \"etag\"\nurl = \"http://h\"\n[[map]]\nfrom = \"f\"\nkey = \"a:{id}\"\n";

    fn read(text: &str) -> (Feed, Mapping) {
        let mapping = Mapping::parse(text).unwrap();
        (mapping.feeds.first().unwrap().clone(), mapping)
    }

    fn end(since: i64) -> End {
        End { reached: Reached { since: Some(since), ..Reached::default() }, wide: None, again: false }
    }

    fn publish(key: &str) -> Publish {
        Publish::of(vec![Change::update(Key::new(key).unwrap(), Vec::new())])
    }

    /// The idempotency keys of what is pending, without the digests of content.
    fn keys(state: &FeedState) -> Vec<String> {
        let key = |line: &String| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["idempotency_key"].as_str().unwrap().rsplit_once(':').unwrap().0.to_owned()
        };
        state.pending.iter().flat_map(|pending| &pending.lines).map(key).collect()
    }

    #[test]
    fn what_is_reached_moves_only_when_everything_is_durable() {
        let (feed, mapping) = read(FILE);
        let mut state = FeedState::new(&feed, &mapping, "h".to_owned(), "new");
        assert!(state.intend(&feed, &[publish("a:1"), publish("a:2")], end(5), 9));
        assert_eq!(state.reached.since, None);
        let text = serde_json::to_string(&state).unwrap();
        let again: FeedState = serde_json::from_str(&text).unwrap();
        assert_eq!(again, state, "a later run knows the same");
        assert_eq!(keys(&again), ["http:f:h:0:0", "http:f:h:0:1"]);
        state.settle();
        assert_eq!((state.reached.since, state.pending.is_none()), (Some(5), true));
        assert!(!state.intend(&feed, &[], end(6), 9));
        assert_eq!(state.reached.since, Some(6));
        state.intend(&feed, &[publish("a:1")], end(7), 9);
        assert_eq!(keys(&state), ["http:f:h:1:0"], "another publish has another key");
    }

    #[test]
    fn another_address_or_another_mapping_is_a_gap() {
        let (feed, mapping) = read(FILE);
        let mut state = FeedState::new(&feed, &mapping, "h".to_owned(), "new");
        state.intend(&feed, &[], end(5), 9);
        assert_eq!(state.clone().resume(&feed, &mapping), state);
        let (feed, mapping) = read(&FILE.replace("a:{id}", "b:{id}"));
        let mapped = state.clone().resume(&feed, &mapping);
        assert_eq!(
            (mapped.reached.since, mapped.reached.gap.as_deref()),
            (Some(5), Some("the mapping has changed"))
        );
        let (feed, mapping) = read(&FILE.replace("http://h", "http://g"));
        state.intend(&feed, &[publish("a:1")], end(6), 9);
        let mut moved = state.resume(&feed, &mapping);
        let gap = Some("the feed has another address than before");
        assert_eq!((moved.reached.since, moved.reached.gap.as_deref()), (None, gap));
        moved.settle();
        assert_eq!(
            (moved.reached.since, moved.reached.gap.as_deref()),
            (None, gap),
            "also once that is durable"
        );
    }
}

//! The entries that were handed over, from then until Redis has their acknowledgement.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::{RedisError, cmd};
use tokio::sync::Notify;

use super::connect::Connection;

/// The most ids of one acknowledgement.
const MAX_IDS: usize = 1_000;

/// The entries of all streams that are not acknowledged.
#[derive(Default)]
pub(super) struct Acks {
    entries: Mutex<Entries>,
    more: Notify,
}

#[derive(Default)]
struct Entries {
    /// Entries that wait for their receipts, by stream.
    queued: BTreeSet<(usize, String)>,
    /// Entries that may be acknowledged, by stream.
    done: BTreeSet<(usize, String)>,
}

impl Acks {
    /// Notes that an entry is on its way. Says no if it already was: a claim gives an entry again.
    pub(super) fn begin(&self, stream: usize, id: &str) -> bool {
        let mut entries = self.entries();
        let entry = (stream, id.to_owned());
        !entries.done.contains(&entry) && entries.queued.insert(entry)
    }

    /// Notes that an entry may be acknowledged: it is durable, or nothing of it is published.
    pub(super) fn done(&self, stream: usize, id: String) {
        let mut entries = self.entries();
        let entry = (stream, id);
        entries.queued.remove(&entry);
        entries.done.insert(entry);
        self.more.notify_one();
    }

    /// Forgets an entry, so that a claim may give it again.
    pub(super) fn forget(&self, stream: usize, id: String) {
        self.entries().queued.remove(&(stream, id));
    }

    /// Acknowledges entries until the connection breaks.
    pub(super) async fn run(
        self: Arc<Self>,
        mut redis: Connection,
        streams: Vec<String>,
        group: String,
    ) -> Result<Infallible, RedisError> {
        loop {
            self.acknowledge(&mut redis, &streams, &group).await?;
            self.more.notified().await;
        }
    }

    /// Acknowledges what may be.
    pub(super) async fn acknowledge(
        &self,
        redis: &mut Connection,
        streams: &[String],
        group: &str,
    ) -> Result<(), RedisError> {
        loop {
            let page = self.page();
            if page.is_empty() {
                return Ok(());
            }
            for (stream, ids) in page {
                if let Some(name) = streams.get(stream) {
                    redis.ask::<i64>(cmd("XACK").arg(name).arg(group).arg(&ids)).await?;
                }
                let mut entries = self.entries();
                for id in ids {
                    entries.done.remove(&(stream, id));
                }
            }
        }
    }

    /// Returns what may be acknowledged at once, by stream.
    fn page(&self) -> BTreeMap<usize, Vec<String>> {
        let mut page: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for (stream, id) in self.entries().done.iter().take(MAX_IDS) {
            page.entry(*stream).or_default().push(id.clone());
        }
        page
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_is_given_again_is_not_begun_again() {
        let acks = Acks::default();
        assert!(acks.begin(0, "1-0"));
        assert!(!acks.begin(0, "1-0"), "it waits for its receipt");
        assert!(acks.begin(1, "1-0"), "another stream may have the same id");
        acks.done(0, "1-0".to_owned());
        assert!(!acks.begin(0, "1-0"), "its acknowledgement is on the way");
        assert_eq!(acks.page(), BTreeMap::from([(0, vec!["1-0".to_owned()])]));
        acks.forget(1, "1-0".to_owned());
        assert!(acks.begin(1, "1-0"));
    }
}

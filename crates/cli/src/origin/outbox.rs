//! The outbox: publishes that are committed and not acknowledged yet, oldest first, and the replacements of
//! the publishes that were refused for good.
//!
//! A refused publish must neither hold up later publishes nor be lost. The table `rejected` keeps the
//! publish, and the smallest change that still keeps every cache right takes its place, as one version again:
//! 1. the same keys without their tags: correctness needs only the floors of the keys, and tags only serve
//!    followers;
//! 2. if that is refused too, `{"all":true}`: dear, because every entry is fetched again, but never wrong.
//!
//! Where the broker has seen the idempotency key with another body (a database put back from a backup), the
//! same body goes out again under a new key.

use newsreel_core::wire::{Change, Publish, Target, ndjson};
use rusqlite::params;

use super::store::Store;

/// A publish that is to be sent, or sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outgoing {
    /// The number of the transaction that the publish announces.
    pub(crate) transaction: i64,
    /// The idempotency key: the same at every attempt, also after a crash.
    pub(crate) key: String,
    /// The body: the same bytes at every attempt.
    pub(crate) body: String,
}

/// The fault of a refused publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The broker will not take this body.
    Body,
    /// The idempotency key stands for another publish.
    Key,
}

/// How many publishes are sent at once.
const AT_ONCE: u32 = 500;
/// How many bytes of publishes are sent at once; one always is.
const AT_ONCE_BYTES: usize = 1 << 20;

impl Outgoing {
    /// Returns the publish as a line of many, with its idempotency key; none for a body that is no publish, which the
    /// broker refuses.
    pub(crate) fn line(&self) -> Option<String> {
        Publish::parse(self.body.as_bytes()).ok()?;
        // The line breaks of JSON text mean nothing; a line ends at one.
        Some(ndjson::with_key(self.body.replace('\n', " ").trim(), &self.key))
    }
}

impl Store {
    /// Returns the oldest publish that is not acknowledged.
    #[cfg(test)]
    pub(crate) fn next_outgoing(&self) -> rusqlite::Result<Option<Outgoing>> {
        Ok(self.oldest(1)?.pop())
    }

    /// Returns the oldest publishes that are not acknowledged, in the order of their transactions: as many as are sent
    /// at once.
    pub(crate) fn outgoing(&self) -> rusqlite::Result<Vec<Outgoing>> {
        let mut oldest = self.oldest(AT_ONCE)?;
        let mut bytes = 0;
        let fitting = oldest.iter().take_while(|one| {
            bytes += one.body.len() + one.key.len();
            bytes <= AT_ONCE_BYTES
        });
        let fitting = fitting.count().max(1);
        oldest.truncate(fitting);
        Ok(oldest)
    }

    fn oldest(&self, most: u32) -> rusqlite::Result<Vec<Outgoing>> {
        let reader = self.reader();
        let mut select = reader.prepare_cached("SELECT txn, key, body FROM outbox ORDER BY txn LIMIT ?")?;
        let outgoing = select.query_map([most], |row| {
            Ok(Outgoing { transaction: row.get(0)?, key: row.get(1)?, body: row.get(2)? })
        });
        outgoing?.collect()
    }

    /// Takes acknowledged publishes out of the outbox.
    pub(crate) fn acknowledged(&self, outgoing: &[Outgoing]) -> rusqlite::Result<()> {
        let mut writer = self.writer();
        let transaction = writer.transaction()?;
        for one in outgoing {
            let mut delete = transaction.prepare_cached("DELETE FROM outbox WHERE txn = ?")?;
            delete.execute([one.transaction])?;
        }
        transaction.commit()
    }

    /// Keeps a publish that can never succeed for a person to look at, and puts a lesser publish in its
    /// place. Returns the lesser publish, or `None` when none is left.
    pub(crate) fn rejected(
        &self,
        outgoing: &Outgoing,
        fault: Fault,
        why: &str,
    ) -> rusqlite::Result<Option<String>> {
        let Outgoing { transaction: number, key, body } = outgoing;
        let instead = match fault {
            Fault::Body => lesser(body),
            Fault::Key => Some(body.clone()),
        };
        let Some(instead) = instead else { return Ok(None) };
        let mut writer = self.writer();
        let transaction = writer.transaction()?;
        let keep = "INSERT OR IGNORE INTO rejected (key, txn, body, why) VALUES (?, ?, ?, ?)";
        transaction.execute(keep, params![key, number, body, why])?;
        let replace =
            "UPDATE outbox SET key = key || '-' || lower(hex(randomblob(4))), body = ? WHERE txn = ?";
        transaction.execute(replace, params![instead, number])?;
        transaction.commit()?;
        Ok(Some(instead))
    }

    /// Returns how many publishes are not acknowledged.
    pub(crate) fn pending(&self) -> rusqlite::Result<i64> {
        self.reader().query_row("SELECT count(*) FROM outbox", [], |row| row.get(0))
    }

    /// Returns how many publishes were refused for good.
    pub(crate) fn rejections(&self) -> rusqlite::Result<i64> {
        self.reader().query_row("SELECT count(*) FROM rejected", [], |row| row.get(0))
    }
}

/// Returns the next lesser publish that keeps caches right, or `None` after the last.
fn lesser(body: &str) -> Option<String> {
    let all = || vec![Change::of(Target::All)];
    let mut changes = Publish::parse(body.as_bytes()).map_or_else(|_| all(), |publish| publish.changes);
    let tagged = changes.iter().any(|change| !change.tags.is_empty());
    if tagged {
        changes.iter_mut().for_each(|change| change.tags.clear());
    } else if changes == all() {
        return None;
    } else {
        changes = all();
    }
    Some(serde_json::json!({ "changes": changes }).to_string())
}

#[cfg(test)]
mod tests {
    use newsreel_core::wire::{Key, Tag};

    use super::*;
    use crate::origin::store::{Value, Write};

    fn update(key: &str, body: &str) -> Write {
        let tags = vec![Tag::new("t").unwrap()];
        let value = Value { content_type: "text/plain".into(), tags, body: body.into() };
        Write { key: Key::new(key).unwrap(), value: Some(value) }
    }

    fn reopened(folder: &tempfile::TempDir) -> Store {
        Store::open(&folder.path().join("o.db"), &"tv".parse().unwrap()).unwrap()
    }

    #[test]
    fn a_crash_between_commit_and_publish_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let before = reopened(&folder);
        before.commit(&[update("title:1", "one")]).unwrap();
        let outgoing = before.next_outgoing().unwrap().unwrap();
        drop(before);
        let after = reopened(&folder);
        assert_eq!(after.next_outgoing().unwrap(), Some(outgoing.clone()), "the same key and the same bytes");
        assert_eq!(outgoing.body, r#"{"changes":[{"key":"title:1","tags":["t"]}]}"#);
        assert_eq!(after.get(&Key::new("title:1").unwrap()).unwrap().unwrap().0.body, b"one");
    }

    #[test]
    fn publishes_leave_in_the_order_of_their_transactions_and_keys_are_never_reused() {
        let folder = tempfile::tempdir().unwrap();
        let mut keys = std::collections::BTreeSet::new();
        for round in 0..3 {
            let store = reopened(&folder);
            store.commit(&[update("title:1", &round.to_string())]).unwrap();
            let outgoing = store.next_outgoing().unwrap().unwrap();
            store.acknowledged(std::slice::from_ref(&outgoing)).unwrap();
            assert!(keys.insert(outgoing.key));
        }
        let store = reopened(&folder);
        store.commit(&[update("title:1", "a")]).unwrap();
        store.commit(&[update("title:2", "b")]).unwrap();
        assert!(store.next_outgoing().unwrap().unwrap().body.contains("title:1"));
        assert_eq!(store.pending().unwrap(), 2);
    }

    #[test]
    fn a_refused_publish_is_kept_and_the_least_that_is_right_takes_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let store = reopened(&folder);
        store.commit(&[update("title:1", "a")]).unwrap();
        let mut keys = std::collections::BTreeSet::new();
        for instead in [r#"{"changes":[{"key":"title:1"}]}"#, r#"{"changes":[{"all":true}]}"#] {
            let outgoing = store.next_outgoing().unwrap().unwrap();
            assert!(keys.insert(outgoing.key.clone()));
            store.rejected(&outgoing, Fault::Body, "because").unwrap();
            let next = store.next_outgoing().unwrap().unwrap();
            assert_eq!((next.transaction, next.body.as_str()), (outgoing.transaction, instead));
        }
        let last = store.next_outgoing().unwrap().unwrap();
        assert_eq!(store.rejected(&last, Fault::Body, "because").unwrap(), None);
        assert_eq!(store.next_outgoing().unwrap(), Some(last), "it stays, and is sent again");
        assert_eq!((store.rejections().unwrap(), store.pending().unwrap()), (2, 1));
    }

    #[test]
    fn a_used_idempotency_key_is_exchanged_and_the_body_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = reopened(&folder);
        store.commit(&[update("title:1", "a")]).unwrap();
        let outgoing = store.next_outgoing().unwrap().unwrap();
        store.rejected(&outgoing, Fault::Key, "because").unwrap();
        let next = store.next_outgoing().unwrap().unwrap();
        assert_eq!(next.body, outgoing.body);
        assert_ne!(next.key, outgoing.key);
    }

    #[test]
    fn a_publish_is_one_line_however_its_body_is_written() {
        let outgoing = |body: &str| Outgoing { transaction: 1, key: "k-1".to_owned(), body: body.to_owned() };
        let line = outgoing("{\n  \"key\": \"title:1\"\n}\n").line().unwrap();
        assert_eq!(line, r#"{   "key": "title:1" ,"idempotency_key":"k-1"}"#);
        assert_eq!(outgoing("{").line(), None, "no publish is no line");
    }
}

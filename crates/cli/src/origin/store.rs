//! The rows of the origin: entries, and the outbox of publishes not acknowledged yet.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use newsreel_core::cache::etag_of;
use newsreel_core::wire::{Change, Key, Tag};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use tokio::sync::Notify;

/// The database of one origin.
pub(crate) struct Store {
    connection: Mutex<Connection>,
    /// Told of each commit.
    pub(crate) committed: Notify,
}

/// What a transaction does to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    /// Which.
    pub(crate) key: Key,
    /// Its value afterwards; none removes it.
    pub(crate) value: Option<Value>,
}

/// A value as it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    /// Its media type.
    pub(crate) content_type: String,
    /// The tags of its entry.
    pub(crate) tags: Vec<Tag>,
    /// The value.
    pub(crate) body: Vec<u8>,
}

/// A publish that is to be sent, or sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outgoing {
    /// The transaction it tells of.
    pub(crate) transaction: i64,
    /// Its idempotency key: the same at every attempt, also after a crash.
    pub(crate) key: String,
    /// Its body: the same bytes at every attempt.
    pub(crate) body: String,
}

/// What a committed transaction is called, and which of its keys were there before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    /// The number of the transaction; its publish has it too.
    pub(crate) transaction: i64,
    /// How many keys had a value before.
    pub(crate) existed: usize,
}

/// One line of the listing.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Listed {
    key: String,
    etag: String,
    tags: Vec<Tag>,
}

impl Store {
    /// Opens the database, making it where there is none.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let connection = Connection::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        // FULL: what was answered survives a power cut, not only a crash of this process.
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                 CREATE TABLE IF NOT EXISTS entries (
                   key TEXT PRIMARY KEY, content_type TEXT NOT NULL, tags TEXT NOT NULL, etag TEXT NOT NULL,
                   body BLOB NOT NULL);
                 CREATE TABLE IF NOT EXISTS outbox (
                   txn INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, body TEXT NOT NULL);
                 CREATE TABLE IF NOT EXISTS rejected (
                   txn INTEGER PRIMARY KEY, key TEXT NOT NULL, body TEXT NOT NULL, why TEXT NOT NULL);
                 CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
                 INSERT OR IGNORE INTO meta VALUES ('origin', lower(hex(randomblob(8))));",
            )
            .with_context(|| format!("{} is not an origin's database", path.display()))?;
        Ok(Self { connection: Mutex::new(connection), committed: Notify::new() })
    }

    /// Says whether no entry and no publish is there.
    pub(crate) fn is_empty(&self) -> anyhow::Result<bool> {
        let sql = "SELECT NOT EXISTS (SELECT 1 FROM entries) AND NOT EXISTS (SELECT 1 FROM sqlite_sequence)";
        Ok(self.lock().query_row(sql, [], |row| row.get(0))?)
    }

    /// Returns what is stored under a key.
    pub(crate) fn get(&self, key: &Key) -> anyhow::Result<Option<(Value, String)>> {
        let sql = "SELECT content_type, tags, body, etag FROM entries WHERE key = ?";
        let row = self
            .lock()
            .query_row(sql, [key.as_str()], |row| {
                let tags: String = row.get(1)?;
                Ok((row.get(0)?, tags, row.get(2)?, row.get(3)?))
            })
            .optional()?;
        row.map(|(content_type, tags, body, etag)| {
            Ok((Value { content_type, tags: serde_json::from_str(&tags)?, body }, etag))
        })
        .transpose()
    }

    /// Writes the rows and the publish that tells of them, in one transaction. A later write of a key wins.
    pub(crate) fn commit(&self, writes: &[Write]) -> anyhow::Result<Committed> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let mut existed = 0;
        let mut changes: Vec<Change> = Vec::new();
        for write in writes {
            existed += usize::from(put(&transaction, write)?);
            let change = match &write.value {
                Some(value) => Change::update(write.key.clone(), value.tags.clone()),
                None => Change::remove(write.key.clone()),
            };
            changes.retain(|earlier| earlier.target != change.target);
            changes.push(change);
        }
        let body = serde_json::json!({ "changes": changes }).to_string();
        transaction.execute("INSERT INTO outbox (key, body) VALUES ('', ?)", [body])?;
        let number = transaction.last_insert_rowid();
        transaction.execute(
            "UPDATE outbox SET key = (SELECT value FROM meta WHERE name = 'origin') || '-' || txn WHERE txn = ?",
            [number],
        )?;
        transaction.commit()?;
        self.committed.notify_one();
        Ok(Committed { transaction: number, existed })
    }

    /// Returns the oldest publish that is not acknowledged.
    pub(crate) fn next_outgoing(&self) -> anyhow::Result<Option<Outgoing>> {
        let sql = "SELECT txn, key, body FROM outbox ORDER BY txn LIMIT 1";
        let outgoing = |row: &rusqlite::Row<'_>| {
            Ok(Outgoing { transaction: row.get(0)?, key: row.get(1)?, body: row.get(2)? })
        };
        Ok(self.lock().query_row(sql, [], outgoing).optional()?)
    }

    /// Takes an acknowledged publish out of the outbox.
    pub(crate) fn acknowledged(&self, outgoing: &Outgoing) -> anyhow::Result<()> {
        self.lock().execute("DELETE FROM outbox WHERE txn = ?", [outgoing.transaction])?;
        Ok(())
    }

    /// Keeps a publish that can never succeed for a person to look at, and puts `{"all":true}` in its place:
    /// which entries it was about is not known to the caches, so they are told that any may have changed.
    pub(crate) fn rejected(&self, outgoing: &Outgoing, why: &str) -> anyhow::Result<()> {
        let Outgoing { transaction: number, key, body } = outgoing;
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let sql = "INSERT OR IGNORE INTO rejected (txn, key, body, why) VALUES (?, ?, ?, ?)";
        transaction.execute(sql, params![number, key, body, why])?;
        let instead = r#"{"all":true}"#;
        let sql = "UPDATE outbox SET key = key || '-all', body = ? WHERE txn = ?";
        transaction.execute(sql, params![instead, number])?;
        Ok(transaction.commit()?)
    }

    /// Returns how many publishes are not acknowledged.
    pub(crate) fn pending(&self) -> anyhow::Result<u32> {
        Ok(self.lock().query_row("SELECT count(*) FROM outbox", [], |row| row.get(0))?)
    }

    /// Returns entries after a key, in the order of the keys.
    pub(crate) fn list(&self, after: &str, limit: u32) -> anyhow::Result<Vec<Listed>> {
        let connection = self.lock();
        let mut select =
            connection.prepare("SELECT key, etag, tags FROM entries WHERE key > ? ORDER BY key LIMIT ?")?;
        let rows = select.query_map(params![after, limit], |row| {
            let tags: String = row.get(2)?;
            Ok((row.get(0)?, row.get(1)?, tags))
        })?;
        rows.map(|row| {
            let (key, etag, tags) = row?;
            Ok(Listed { key, etag, tags: serde_json::from_str(&tags)? })
        })
        .collect()
    }

    /// A panic while the lock was held rolled its transaction back, so the connection is as good as before.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes one row; returns whether there was one.
fn put(transaction: &Transaction<'_>, write: &Write) -> anyhow::Result<bool> {
    let key = write.key.as_str();
    let existed = transaction.prepare_cached("SELECT 1 FROM entries WHERE key = ?")?.exists([key])?;
    match &write.value {
        Some(value) => {
            let Value { content_type, tags, body } = value;
            let tags = serde_json::to_string(tags)?;
            transaction
                .prepare_cached("INSERT OR REPLACE INTO entries (key, content_type, tags, etag, body) VALUES (?, ?, ?, ?, ?)")?
                .execute(params![key, content_type, tags, etag_of(body), body])?;
        }
        None => {
            transaction.prepare_cached("DELETE FROM entries WHERE key = ?")?.execute([key])?;
        }
    }
    Ok(existed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(key: &str, body: &str) -> Write {
        let value = Value {
            content_type: "text/plain".into(),
            tags: vec![Tag::new("t").unwrap()],
            body: body.into(),
        };
        Write { key: Key::new(key).unwrap(), value: Some(value) }
    }

    fn reopened(folder: &tempfile::TempDir) -> Store {
        Store::open(&folder.path().join("origin.sqlite")).unwrap()
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
        let store = reopened(&folder);
        let mut keys = Vec::new();
        for round in 0..3 {
            store.commit(&[update("title:1", &round.to_string())]).unwrap();
            let outgoing = store.next_outgoing().unwrap().unwrap();
            store.acknowledged(&outgoing).unwrap();
            keys.push(outgoing.key);
        }
        keys.dedup();
        assert_eq!(keys.len(), 3);
        store.commit(&[update("title:1", "a")]).unwrap();
        store.commit(&[update("title:2", "b")]).unwrap();
        assert!(store.next_outgoing().unwrap().unwrap().body.contains("title:1"));
        assert_eq!(store.pending().unwrap(), 2);
    }

    #[test]
    fn a_later_write_of_a_key_wins_and_is_named_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = reopened(&folder);
        let remove = Write { key: Key::new("title:1").unwrap(), value: None };
        let committed = store.commit(&[update("title:1", "a"), update("title:2", "b"), remove]).unwrap();
        assert_eq!(committed.existed, 1);
        let body = store.next_outgoing().unwrap().unwrap().body;
        assert_eq!(body, r#"{"changes":[{"key":"title:2","tags":["t"]},{"key":"title:1","op":"remove"}]}"#);
        assert_eq!(store.get(&Key::new("title:1").unwrap()).unwrap(), None);
    }

    #[test]
    fn a_publish_that_can_never_succeed_is_kept_and_everything_is_published_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let store = reopened(&folder);
        store.commit(&[update("title:1", "a")]).unwrap();
        let outgoing = store.next_outgoing().unwrap().unwrap();
        store.rejected(&outgoing, "because").unwrap();
        let instead = store.next_outgoing().unwrap().unwrap();
        assert_eq!((instead.transaction, instead.body.as_str()), (outgoing.transaction, r#"{"all":true}"#));
        assert_ne!(instead.key, outgoing.key);
    }

    #[test]
    fn an_empty_database_is_empty_only_before_its_first_transaction() {
        let folder = tempfile::tempdir().unwrap();
        let store = reopened(&folder);
        assert!(store.is_empty().unwrap());
        store.commit(&[update("title:1", "a")]).unwrap();
        store.commit(&[Write { key: Key::new("title:1").unwrap(), value: None }]).unwrap();
        assert!(!store.is_empty().unwrap());
    }
}

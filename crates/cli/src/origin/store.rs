//! The origin's catalogue in SQLite: entries, and the publish of each transaction beside them. Knows no HTTP.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use newsreel_core::read::cache::etag_of;
use newsreel_core::wire::publish::PublishError;
use newsreel_core::wire::{Catalog, Change, Key, Problem, Publish, Tag};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use tokio::sync::Notify;

use crate::schema::{MigrateError, migrate};

/// Each makes the next schema of the one before it, the first of nothing. A released migration is never
/// changed: `docs/upgrades.md`.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE IF NOT EXISTS entries (
        key TEXT PRIMARY KEY, content_type TEXT NOT NULL, tags TEXT NOT NULL, etag TEXT NOT NULL,
        body BLOB NOT NULL);
    -- AUTOINCREMENT: the number of a transaction is never used again, also when its row is gone.
    CREATE TABLE IF NOT EXISTS outbox (
        txn INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, body TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS rejected (
        key TEXT PRIMARY KEY, txn INTEGER NOT NULL, body TEXT NOT NULL, why TEXT NOT NULL);"];

/// The database of one origin.
pub(crate) struct Store {
    writer: Mutex<Connection>,
    /// Reads do not wait for the disk; in WAL mode they see every commit that came before them.
    reader: Mutex<Connection>,
    /// Notified of each commit.
    pub(crate) committed: Notify,
}

/// The change of one key in a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    /// The key that changes.
    pub(crate) key: Key,
    /// The new value; none removes the key.
    pub(crate) value: Option<Value>,
}

/// A value as it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    /// The media type of the value.
    pub(crate) content_type: String,
    /// The tags of its entry.
    pub(crate) tags: Vec<Tag>,
    /// The bytes of the value.
    pub(crate) body: Vec<u8>,
}

/// A committed transaction: its number, and how many of its keys were there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Committed {
    /// The number of the transaction, which is also the number of its publish.
    pub(crate) transaction: i64,
    /// How many keys had a value before.
    pub(crate) existed: usize,
    /// How many keys it names.
    pub(crate) changes: usize,
}

/// Why a transaction was not committed. Nothing of the transaction is stored then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommitError {
    /// No version can hold it: write it in several transactions.
    #[error("the publish of this transaction cannot be made: {0}")]
    Publish(#[from] PublishError),
    /// There is nothing to remove.
    #[error("there is no such entry")]
    Absent,
    /// The database failed, or its disk.
    #[error("the database failed: {0}")]
    Database(#[from] rusqlite::Error),
}

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The file cannot be opened, or is no database.
    #[error("cannot be used as an origin's database: {0}")]
    Database(#[from] rusqlite::Error),
    /// A newer build has written the database.
    #[error("cannot be used as an origin's database: {}", .0.detail())]
    Newer(Problem),
    /// The database is of another catalog.
    #[error("holds the catalog {kept}, not {wanted}: give another --db or --catalog")]
    OtherCatalog {
        /// The catalog in the database.
        kept: String,
        /// The catalog that was asked for.
        wanted: Catalog,
    },
}

impl From<MigrateError> for OpenError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Database(error) => Self::Database(error),
            MigrateError::Newer(problem) => Self::Newer(problem),
        }
    }
}

/// An entry in the listing.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Listed {
    key: String,
    etag: String,
    tags: Vec<Tag>,
}

impl Store {
    /// Opens the database of a catalog, making it where there is none.
    ///
    /// # Errors
    /// [`OpenError`] says whether the file, its schema or its catalog is in the way.
    pub(crate) fn open(path: &Path, catalog: &Catalog) -> Result<Self, OpenError> {
        let (mut writer, reader) = (Connection::open(path)?, Connection::open(path)?);
        migrate(&mut writer, MIGRATIONS)?;
        let kept = catalog_of(&writer, catalog)?;
        if kept != catalog.as_str() {
            return Err(OpenError::OtherCatalog { kept, wanted: catalog.clone() });
        }
        Ok(Self { writer: Mutex::new(writer), reader: Mutex::new(reader), committed: Notify::new() })
    }

    /// Says whether nothing was ever committed.
    pub(crate) fn is_untouched(&self) -> rusqlite::Result<bool> {
        let sql = "SELECT NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'outbox')";
        self.reader().query_row(sql, [], |row| row.get(0))
    }

    /// Returns what is stored under a key, and its entity tag.
    pub(crate) fn get(&self, key: &Key) -> rusqlite::Result<Option<(Value, String)>> {
        let reader = self.reader();
        let mut select =
            reader.prepare_cached("SELECT content_type, tags, body, etag FROM entries WHERE key = ?")?;
        let found = select.query_row([key.as_str()], |row| {
            let value = Value { content_type: row.get(0)?, tags: tags_of(row, 1)?, body: row.get(2)? };
            Ok((value, row.get(3)?))
        });
        found.optional()
    }

    /// Writes the rows and the publish that announces them, in one transaction. No key may come twice.
    pub(crate) fn commit(&self, writes: &[Write]) -> Result<Committed, CommitError> {
        self.commit_if(writes, |_| true)
    }

    /// Removes an entry that is there.
    pub(crate) fn remove(&self, key: Key) -> Result<Committed, CommitError> {
        self.commit_if(&[Write { key, value: None }], |existed| existed == 1)
    }

    fn commit_if(&self, writes: &[Write], wanted: fn(usize) -> bool) -> Result<Committed, CommitError> {
        let publish = publish_of(writes)?;
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut existed = 0;
        for write in writes {
            existed += usize::from(put(&transaction, write)?);
        }
        if !wanted(existed) {
            return Err(CommitError::Absent);
        }
        transaction.execute("INSERT INTO outbox (key, body) VALUES ('', ?)", [publish])?;
        let number = transaction.last_insert_rowid();
        transaction.execute(
            "UPDATE outbox SET key = (SELECT value FROM meta WHERE name = 'origin') || '-' || txn WHERE txn = ?",
            [number],
        )?;
        transaction.commit()?;
        self.committed.notify_one();
        Ok(Committed { transaction: number, existed, changes: writes.len() })
    }

    /// Returns entries after a key, in the order of the keys.
    pub(crate) fn list(&self, after: &str, limit: u32) -> rusqlite::Result<Vec<Listed>> {
        let reader = self.reader();
        let mut select = reader
            .prepare_cached("SELECT key, etag, tags FROM entries WHERE key > ? ORDER BY key LIMIT ?")?;
        let listed = select.query_map(params![after, limit], |row| {
            Ok(Listed { key: row.get(0)?, etag: row.get(1)?, tags: tags_of(row, 2)? })
        })?;
        listed.collect()
    }

    /// Returns the first keys, in their order.
    pub(super) fn keys(&self, most: u32) -> rusqlite::Result<Vec<String>> {
        let reader = self.reader();
        let mut select = reader.prepare_cached("SELECT key FROM entries ORDER BY key LIMIT ?")?;
        let keys = select.query_map([most], |row| row.get(0))?;
        keys.collect()
    }

    /// Says whether a key has a value.
    pub(super) fn holds(&self, key: &Key) -> rusqlite::Result<bool> {
        self.reader().prepare_cached("SELECT 1 FROM entries WHERE key = ?")?.exists([key.as_str()])
    }

    /// A panic while the lock was held rolled its transaction back, so the connection is as good as before.
    pub(super) fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the connection for what only reads.
    pub(super) fn reader(&self) -> MutexGuard<'_, Connection> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the catalog that a database is of; a new one is of this.
fn catalog_of(database: &Connection, catalog: &Catalog) -> rusqlite::Result<String> {
    database.execute(
        "INSERT OR IGNORE INTO meta VALUES ('origin', lower(hex(randomblob(8)))), ('catalog', ?)",
        [catalog.as_str()],
    )?;
    database.query_row("SELECT value FROM meta WHERE name = 'catalog'", [], |row| row.get(0))
}

/// Returns the body of the publish that announces a transaction. The broker's own rules judge it before the
/// commit, so a publish that the broker must refuse is never committed.
fn publish_of(writes: &[Write]) -> Result<String, PublishError> {
    let changes = writes.iter().map(|Write { key, value }| match value {
        Some(value) => Change::update(key.clone(), value.tags.clone()),
        None => Change::remove(key.clone()),
    });
    let body = serde_json::json!({ "changes": changes.collect::<Vec<_>>() }).to_string();
    Publish::parse(body.as_bytes())?;
    Ok(body)
}

/// Writes one row; returns whether there was one.
fn put(transaction: &Transaction<'_>, Write { key, value }: &Write) -> rusqlite::Result<bool> {
    let key = key.as_str();
    let existed = transaction.prepare_cached("SELECT 1 FROM entries WHERE key = ?")?.exists([key])?;
    let Some(Value { content_type, tags, body }) = value else {
        transaction.prepare_cached("DELETE FROM entries WHERE key = ?")?.execute([key])?;
        return Ok(existed);
    };
    let tags = serde_json::json!(tags).to_string();
    // A change of type or tags alone gives another entity tag, so that `If-None-Match` finds it.
    let etag = etag_of(format!("{} {content_type} {tags}", etag_of(body)).as_bytes());
    let sql = "INSERT OR REPLACE INTO entries (key, content_type, tags, etag, body) VALUES (?, ?, ?, ?, ?)";
    transaction.prepare_cached(sql)?.execute(params![key, content_type, tags, etag, body])?;
    Ok(existed)
}

fn tags_of(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Vec<Tag>> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}

/// Runs work that waits for the disk on a thread of its own. The work is done even when its caller has gone.
pub(super) async fn on_disk<T: Send + 'static>(
    store: &Arc<Store>,
    work: impl FnOnce(&Store) -> T + Send + 'static,
) -> T {
    let store = Arc::clone(store);
    tokio::task::spawn_blocking(move || work(&store)).await.expect("work on the store does not panic")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    fn update(name: &str, body: &str) -> Write {
        let tags = vec![Tag::new("t").unwrap()];
        let value = Value { content_type: "text/plain".into(), tags, body: body.into() };
        Write { key: key(name), value: Some(value) }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("o.db"), &"tv".parse().unwrap()).unwrap();
        (folder, store)
    }

    #[test]
    fn a_read_sees_every_commit_before_it() {
        let (_folder, store) = store();
        for round in 0..20 {
            store.commit(&[update("title:1", &round.to_string())]).unwrap();
            let (value, _) = store.get(&key("title:1")).unwrap().unwrap();
            assert_eq!(value.body, round.to_string().as_bytes());
        }
    }

    #[test]
    fn what_no_version_can_hold_is_not_committed() {
        let (_folder, store) = store();
        let twice = store.commit(&[update("title:1", "a"), update("title:1", "b")]);
        assert!(matches!(twice, Err(CommitError::Publish(PublishError::DuplicateTarget { .. }))));
        let mut large: Vec<Write> = (0..1000).map(|n| update(&format!("title:{n}"), "x")).collect();
        for write in &mut large {
            let tags = (0..5).map(|n| Tag::new(format!("{n}{}", "x".repeat(250))).unwrap());
            write.value.as_mut().unwrap().tags = tags.collect();
        }
        assert!(matches!(store.commit(&large), Err(CommitError::Publish(PublishError::TooLarge(_)))));
        assert!(store.is_untouched().unwrap());
        assert!(store.list("", 10).unwrap().is_empty());
    }

    #[test]
    fn only_what_is_there_is_removed() {
        let (_folder, store) = store();
        assert!(matches!(store.remove(key("title:1")), Err(CommitError::Absent)));
        assert!(store.is_untouched().unwrap(), "nothing is published of nothing");
        store.commit(&[update("title:1", "a")]).unwrap();
        assert_eq!(store.remove(key("title:1")).unwrap().existed, 1);
        assert_eq!(store.get(&key("title:1")).unwrap(), None);
        assert!(!store.is_untouched().unwrap());
    }

    #[test]
    fn the_entity_tag_tells_type_and_tags_too() {
        let (_folder, store) = store();
        let mut write = update("title:1", "same");
        let mut etags = std::collections::BTreeSet::new();
        for (kind, tag) in [("text/plain", "a"), ("text/html", "a"), ("text/html", "b"), ("text/html", "b")] {
            let tags = vec![Tag::new(tag).unwrap()];
            write.value = Some(Value { content_type: kind.into(), tags, body: "same".into() });
            store.commit(std::slice::from_ref(&write)).unwrap();
            etags.insert(store.get(&key("title:1")).unwrap().unwrap().1);
        }
        assert_eq!(etags.len(), 3);
    }

    #[test]
    fn a_database_belongs_to_one_catalog() {
        let (folder, store) = store();
        drop(store);
        let other = Store::open(&folder.path().join("o.db"), &"shop".parse().unwrap());
        assert!(other.err().unwrap().to_string().contains("holds the catalog tv"));
    }

    /// A database as the first release left it: an entry, one in the outbox, one refused, and a catalog.
    const V1: &str = include_str!("store/v1.sql");

    fn database(statements: &str) -> (tempfile::TempDir, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let database = Connection::open(folder.path().join("o.db")).unwrap();
        database.execute_batch(statements).unwrap();
        (folder, database)
    }

    fn opened(folder: &tempfile::TempDir) -> Result<Store, OpenError> {
        Store::open(&folder.path().join("o.db"), &"tv".parse().unwrap())
    }

    fn text(database: &Connection, query: &str) -> String {
        database.query_row(query, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_database_of_the_first_release_is_used_with_all_that_it_holds() {
        let (folder, database) = database(V1);
        for _ in 0..2 {
            let store = opened(&folder).unwrap();
            let (value, etag) = store.get(&key("title:1")).unwrap().unwrap();
            assert_eq!((value.body.as_slice(), etag.as_str()), (b"one".as_slice(), "\"0123456789abcdef\""));
            assert_eq!((store.pending().unwrap(), store.rejections().unwrap()), (1, 1));
            assert_eq!(
                store.next_outgoing().unwrap().unwrap().key,
                "0011223344556677-8",
                "under the key it had"
            );
            assert_eq!(
                text(&database, "SELECT value FROM meta WHERE name = 'schema'"),
                MIGRATIONS.len().to_string()
            );
        }
        assert_eq!(opened(&folder).unwrap().commit(&[update("title:2", "x")]).unwrap().transaction, 9);
    }

    #[test]
    fn a_migration_that_fails_leaves_the_database_as_it_was() {
        let (folder, mut database) = database(V1);
        let broken =
            [MIGRATIONS, &["DROP TABLE entries; CREATE TABLE good (a)", "INSERT INTO nowhere VALUES (1)"]]
                .concat();
        assert!(migrate(&mut database, &broken).is_err());
        assert!(opened(&folder).unwrap().get(&key("title:1")).unwrap().is_some());
        let good = [MIGRATIONS, &["ALTER TABLE entries ADD COLUMN at INTEGER NOT NULL DEFAULT 0"]].concat();
        for _ in 0..2 {
            migrate(&mut database, &good).unwrap();
        }
        assert_eq!(text(&database, "SELECT key || at FROM entries"), "title:10");
    }

    #[test]
    fn a_database_of_a_newer_release_is_refused_and_left_as_it_is() {
        let (folder, database) = database(V1);
        database.execute_batch("INSERT INTO meta VALUES ('schema', '1000'); DROP TABLE outbox").unwrap();
        let refused = format!("{:#}", opened(&folder).err().unwrap());
        assert!(refused.contains("schema 1000, this build knows 1"), "{refused}");
        let tables =
            "SELECT group_concat(name) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'";
        assert_eq!(
            text(&database, tables),
            "meta,entries,rejected",
            "the table that is not there is not made"
        );
    }
}

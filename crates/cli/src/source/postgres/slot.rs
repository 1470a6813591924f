//! The publication and the replication slot: made, checked, shown and dropped.

use std::collections::BTreeSet;

use newsreel_mapping::Mapping;
use postgres_protocol::escape::{escape_identifier, escape_literal};
use tokio_postgres::Client;

use super::mapped::{COLUMN_LISTS, Mapped, tables};
use super::state::Gap;

/// The first version that copies slots to standbys.
const FAILOVER: i32 = 170_000;
/// The oldest version that is supported.
const OLDEST: i32 = 130_000;

/// The needs of the source: its mapping, and the names of its slot and publication.
pub(super) struct Needs<'a> {
    pub(super) mapping: &'a Mapping,
    pub(super) slot: &'a str,
    pub(super) publication: &'a str,
    /// Whether what is missing is made.
    pub(super) create: bool,
    pub(super) failover: bool,
    /// Whether an earlier run used the slot, so that a missing one was lost.
    pub(super) known: bool,
}

/// Why the database cannot be published from. Each text says what to run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    /// The question failed.
    #[error("{}", crate::exit::innermost(.0))]
    Client(#[from] tokio_postgres::Error),
    /// The version is too old.
    #[error("PostgreSQL {0} is too old: 13 is the oldest that is supported")]
    Version(i32),
    /// Slots of this version are not copied to standbys.
    #[error("PostgreSQL {0} copies no slots to standbys: leave --failover out, or use 17 or newer")]
    Failover(i32),
    /// The log has no rows.
    #[error(
        "wal_level is {0}, and has to be logical: run `ALTER SYSTEM SET wal_level = logical;` and restart PostgreSQL"
    )]
    WalLevel(String),
    /// Something of the mapping is not in the database.
    #[error("{}", .0.join("\n  "))]
    Mapping(Vec<String>),
    /// The publication or the slot is missing.
    #[error("{what}: give --create, or run\n  {sql}")]
    Missing {
        /// The thing that is missing.
        what: String,
        /// The statement that makes it.
        sql: String,
    },
    /// The slot is somebody else's.
    #[error("the slot {0:?} is not of pgoutput and this database: give another name with --slot")]
    ForeignSlot(String),
}

/// Makes or checks everything that is needed, and returns why the log cannot be followed without a gap, if it
/// cannot.
pub(super) async fn prepare(client: &Client, needs: &Needs<'_>) -> Result<Option<Gap>, SetupError> {
    let version = version(client).await?;
    let level: String = client.query_one("SELECT current_setting('wal_level')", &[]).await?.get(0);
    if level != "logical" {
        return Err(SetupError::WalLevel(level));
    }
    if needs.failover && version < FAILOVER {
        return Err(SetupError::Failover(version / 10_000));
    }
    let found = compare(client, needs).await?;
    if !found.mistakes.is_empty() {
        return Err(SetupError::Mapping(found.mistakes));
    }
    let lacked = publication(client, needs, &found).await?;
    // The log of before a publication cannot be read by it.
    let gap = slot(client, needs, version, !found.there).await?;
    Ok(gap.or(lacked.then_some(Gap::Unpublished)))
}

/// Returns the number of the server's version, such as 180000.
pub(super) async fn version(client: &Client) -> Result<i32, SetupError> {
    let sql = "SELECT current_setting('server_version_num')::int";
    let version: i32 = client.query_one(sql, &[]).await?.get(0);
    if version < OLDEST { Err(SetupError::Version(version / 10_000)) } else { Ok(version) }
}

/// Returns the tables as a publication names them.
fn list_of(tables: &[Mapped<'_>], version: i32) -> String {
    let mut lists = BTreeSet::new();
    for table in tables {
        let same = tables.iter().filter(|other| other.rule.from() == table.rule.from());
        let columns = same.flat_map(|other| other.rule.columns()).collect();
        lists.insert(table.published(version, &columns));
    }
    lists.into_iter().collect::<Vec<_>>().join(", ")
}

/// The database beside the mapping.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// The mistakes, such as a column that is not there.
    pub(super) mistakes: Vec<String>,
    /// The tables whose changes, or some columns of them, are not published.
    pub(super) unpublished: Vec<String>,
    /// The statement that publishes them.
    sql: String,
    /// Whether there is a publication.
    there: bool,
}

/// Compares tables and publication with the mapping.
pub(super) async fn compare(client: &Client, needs: &Needs<'_>) -> Result<Compared, SetupError> {
    let version = version(client).await?;
    let tables = tables(client, needs.mapping).await?;
    let mut found =
        Compared { mistakes: tables.iter().flat_map(Mapped::mistakes).collect(), ..Compared::default() };
    let (name, list) = (escape_identifier(needs.publication), list_of(&tables, version));
    let sql = "SELECT puballtables, pubviaroot FROM pg_publication WHERE pubname = $1";
    let Some(there) = client.query_opt(sql, &[&needs.publication]).await? else {
        found.sql =
            format!("CREATE PUBLICATION {name} FOR TABLE {list} WITH (publish_via_partition_root = true);");
        found.unpublished = tables.iter().map(|table| table.rule.from().to_owned()).collect();
        return Ok(found);
    };
    found.there = true;
    let (all, by_root): (bool, bool) = (there.get(0), there.get(1));
    let published = published(client, needs.publication, version).await?;
    // Else the log names the partitions, which the mapping does not know.
    let is_named = |table: &Mapped<'_>| by_root || !table.is_partitioned;
    let is_there = |table: &Mapped<'_>| {
        let needed = table.read();
        published.iter().any(|(schema, name, columns)| {
            let has = |column: &str| columns.as_ref().is_none_or(|list| list.iter().any(|c| c == column));
            *schema == table.schema && *name == table.table && needed.iter().all(|column| has(column))
        })
    };
    for table in tables.iter().filter(|table| table.is_there()) {
        if !is_named(table) || !all && !is_there(table) {
            found.unpublished.push(table.rule.from().to_owned());
        }
    }
    let tables = if all { String::new() } else { format!("ALTER PUBLICATION {name} SET TABLE {list}; ") };
    found.sql = format!("{tables}ALTER PUBLICATION {name} SET (publish_via_partition_root = true);");
    Ok(found)
}

/// Returns the tables of a publication, each with its columns if they are listed.
async fn published(
    client: &Client,
    publication: &str,
    version: i32,
) -> Result<Vec<(String, String, Option<Vec<String>>)>, SetupError> {
    let columns = if version < COLUMN_LISTS { "NULL::name[]" } else { "attnames" };
    let sql = format!(
        "SELECT schemaname::text, tablename::text, {columns}::text[] FROM pg_publication_tables WHERE pubname = $1"
    );
    let rows = client.query(&sql, &[&publication]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}

/// Makes what the publication lacks; returns whether it lacked anything.
async fn publication(client: &Client, needs: &Needs<'_>, found: &Compared) -> Result<bool, SetupError> {
    if found.unpublished.is_empty() {
        return Ok(false);
    }
    if !needs.create {
        let lacking = found.unpublished.join(", ");
        let what = if found.there {
            format!("the publication {:?} lacks {lacking}", needs.publication)
        } else {
            format!("there is no publication {:?}", needs.publication)
        };
        return Err(SetupError::Missing { what, sql: found.sql.clone() });
    }
    client.batch_execute(&found.sql).await?;
    Ok(true)
}

/// Makes or checks the slot, or makes it anew; returns the gap that it leaves.
async fn slot(
    client: &Client,
    needs: &Needs<'_>,
    version: i32,
    anew: bool,
) -> Result<Option<Gap>, SetupError> {
    let sql = "SELECT plugin = 'pgoutput' AND database = current_database(), wal_status \
         FROM pg_replication_slots WHERE slot_name = $1";
    let there = client.query_opt(sql, &[&needs.slot]).await?;
    let (gap, new) = match &there {
        Some(row) if row.get::<_, Option<bool>>(0) != Some(true) => {
            return Err(SetupError::ForeignSlot(needs.slot.to_owned()));
        }
        Some(row) if row.get::<_, Option<&str>>(1) == Some("lost") => (Gap::LostSlot, false),
        Some(_) if anew => (Gap::Unpublished, false),
        Some(_) => return Ok(None),
        None if needs.known => (Gap::LostSlot, false),
        None => (Gap::NewSlot, true),
    };
    let arguments = match version {
        FAILOVER.. if needs.failover => ", false, false, true",
        _ => "",
    };
    let slot = escape_literal(needs.slot);
    let create = format!("SELECT pg_create_logical_replication_slot({slot}, 'pgoutput'{arguments});");
    if new && !needs.create {
        let what = format!("there is no replication slot {:?}", needs.slot);
        return Err(SetupError::Missing { what, sql: create });
    }
    if there.is_some() {
        client.execute("SELECT pg_drop_replication_slot($1)", &[&needs.slot]).await?;
    }
    client.batch_execute(&create).await?;
    Ok(Some(gap))
}

/// The state of a slot, as PostgreSQL tells it.
#[derive(Debug, serde::Serialize)]
pub(super) struct SlotStatus {
    pub(super) slot: String,
    pub(super) active: bool,
    pub(super) active_pid: Option<i32>,
    pub(super) confirmed_lsn: Option<String>,
    pub(super) restart_lsn: Option<String>,
    /// How many bytes of the log are not confirmed.
    pub(super) lag_bytes: Option<i64>,
    /// Everything that was committed so long ago is published. The state file tells; none without it.
    pub(super) lag_seconds: Option<f64>,
    /// How many bytes of the log the slot keeps.
    pub(super) kept_bytes: Option<i64>,
    pub(super) wal_status: Option<String>,
    pub(super) max_slot_wal_keep_size: String,
    /// The same in bytes; -1 is no limit.
    pub(super) limit_bytes: i64,
    /// Why the slot is about to be lost, or is.
    pub(super) critical: Option<String>,
    /// Whether the slot is copied to standbys.
    pub(super) failover: bool,
    /// The end of the log.
    #[serde(skip)]
    pub(super) end: String,
    /// The database's clock, in Unix milliseconds.
    #[serde(skip)]
    pub(super) clock: i64,
}

/// Returns what PostgreSQL says of the slot; `None` if there is none.
pub(super) async fn status(client: &Client, slot: &str) -> Result<Option<SlotStatus>, SetupError> {
    let sql = "WITH now AS (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
            ELSE pg_current_wal_lsn() END AS lsn)
        SELECT active, active_pid, confirmed_flush_lsn::text, restart_lsn::text,
            pg_wal_lsn_diff(now.lsn, confirmed_flush_lsn)::bigint, pg_wal_lsn_diff(now.lsn, restart_lsn)::bigint,
            wal_status, current_setting('max_slot_wal_keep_size'),
            pg_size_bytes(current_setting('max_slot_wal_keep_size')), now.lsn::text,
            (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
            coalesce((to_jsonb(slots)->>'failover')::boolean, false)
        FROM pg_replication_slots slots, now WHERE slot_name = $1";
    let row = client.query_opt(sql, &[&slot]).await?;
    Ok(row.map(|row| SlotStatus {
        slot: slot.to_owned(),
        active: row.get(0),
        active_pid: row.get(1),
        confirmed_lsn: row.get(2),
        restart_lsn: row.get(3),
        lag_bytes: row.get(4),
        lag_seconds: None,
        kept_bytes: row.get(5),
        critical: critical(row.get(6)),
        wal_status: row.get(6),
        max_slot_wal_keep_size: row.get(7),
        limit_bytes: row.get(8),
        end: row.get(9),
        clock: row.get(10),
        failover: row.get(11),
    }))
}

/// Returns what a `wal_status` says that has to be acted on.
fn critical(wal_status: Option<&str>) -> Option<String> {
    let why = match wal_status {
        Some("unreserved") => {
            "the slot keeps more of the log than max_slot_wal_keep_size and is lost at the next checkpoint: the source has \
             to catch up, or PostgreSQL has to keep more"
        }
        Some("lost") => {
            "the slot is lost: PostgreSQL removed log that it still needed. The source makes it anew and publishes \
             everything that the mapping covers as changed"
        }
        Some(_) | None => return None,
    };
    Some(format!("wal_status is {}: {why}", wal_status.unwrap_or_default()))
}

impl SlotStatus {
    /// Notes up to when everything is published, if the state file says so.
    pub(super) fn published_as_of(&mut self, as_of: Option<i64>) {
        let caught_up = self.lag_bytes.is_some_and(|bytes| bytes <= 0);
        #[expect(clippy::cast_precision_loss, reason = "a time for people to read")]
        let seconds = |at: i64| (self.clock - at).max(0) as f64 / 1_000.0;
        self.lag_seconds = if caught_up { Some(0.0) } else { as_of.map(seconds) };
    }
}

/// Drops the slot and the publication, if they are there.
pub(super) async fn drop_all(client: &Client, slot: &str, publication: &str) -> Result<(), SetupError> {
    let sql = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1";
    client.execute(sql, &[&slot]).await?;
    client.batch_execute(&format!("DROP PUBLICATION IF EXISTS {}", escape_identifier(publication))).await?;
    Ok(())
}

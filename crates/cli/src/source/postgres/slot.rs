//! The publication and the replication slot: made, checked, shown and dropped.

use std::collections::BTreeSet;

use newsreel_mapping::Mapping;
use postgres_protocol::escape::{escape_identifier, escape_literal};
use tokio_postgres::Client;

use super::lsn::Lsn;
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
    let tables = tables(client, needs.mapping).await?;
    let mistakes: Vec<String> = tables.iter().flat_map(Mapped::mistakes).collect();
    if !mistakes.is_empty() {
        return Err(SetupError::Mapping(mistakes));
    }
    let changed = publication(client, needs, &tables, version).await?;
    let gap = slot(client, needs, version).await?;
    Ok(gap.or_else(|| changed.then_some(Gap::NewSlot)))
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

/// Makes or checks the publication; returns whether tables were added to one that was there.
async fn publication(
    client: &Client,
    needs: &Needs<'_>,
    tables: &[Mapped<'_>],
    version: i32,
) -> Result<bool, SetupError> {
    let list = list_of(tables, version);
    let name = escape_identifier(needs.publication);
    let there = client
        .query_opt("SELECT puballtables FROM pg_publication WHERE pubname = $1", &[&needs.publication])
        .await?;
    let Some(there) = there else {
        let sql =
            format!("CREATE PUBLICATION {name} FOR TABLE {list} WITH (publish_via_partition_root = true);");
        if !needs.create {
            let what = format!("there is no publication {:?}", needs.publication);
            return Err(SetupError::Missing { what, sql });
        }
        client.batch_execute(&sql).await?;
        return Ok(false);
    };
    if there.get(0) {
        return Ok(false);
    }
    let columns = if version < COLUMN_LISTS { "NULL::name[]" } else { "attnames" };
    let sql = format!(
        "SELECT schemaname::text, tablename::text, {columns}::text[] FROM pg_publication_tables WHERE pubname = $1"
    );
    let published = client.query(&sql, &[&needs.publication]).await?;
    let is_published = |table: &&Mapped<'_>| {
        published.iter().any(|row| {
            let (schema, name): (&str, &str) = (row.get(0), row.get(1));
            let columns: Option<Vec<String>> = row.get(2);
            let has =
                |column: &str| columns.as_ref().is_none_or(|columns| columns.iter().any(|c| c == column));
            schema == table.schema && name == table.table && table.rule.columns().into_iter().all(has)
        })
    };
    let missing: Vec<&str> =
        tables.iter().filter(|table| !is_published(table)).map(|table| table.rule.from()).collect();
    if missing.is_empty() {
        return Ok(false);
    }
    let sql = format!("ALTER PUBLICATION {name} SET TABLE {list};");
    if needs.create {
        client.batch_execute(&sql).await?;
        return Ok(true);
    }
    let what = format!("the publication {:?} lacks {}", needs.publication, missing.join(", "));
    Err(SetupError::Missing { what, sql })
}

/// Makes or checks the slot; returns the gap that it leaves.
async fn slot(client: &Client, needs: &Needs<'_>, version: i32) -> Result<Option<Gap>, SetupError> {
    let sql = "SELECT plugin = 'pgoutput' AND database = current_database(), wal_status, \
         coalesce(current_setting('max_slot_wal_keep_size'), '-1') FROM pg_replication_slots WHERE slot_name = $1";
    let there = client.query_opt(sql, &[&needs.slot]).await?;
    let (lost, new) = match &there {
        Some(row) if row.get::<_, Option<bool>>(0) != Some(true) => {
            return Err(SetupError::ForeignSlot(needs.slot.to_owned()));
        }
        Some(row) => (row.get::<_, Option<&str>>(1) == Some("lost"), false),
        None => (needs.known, !needs.known),
    };
    if !lost && !new {
        return Ok(None);
    }
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
    Ok(Some(if lost { Gap::LostSlot } else { Gap::NewSlot }))
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
    /// How many bytes of the log the slot keeps.
    pub(super) kept_bytes: Option<i64>,
    pub(super) wal_status: Option<String>,
    pub(super) max_slot_wal_keep_size: String,
}

/// Returns what PostgreSQL says of the slot; `None` if there is none.
pub(super) async fn status(client: &Client, slot: &str) -> Result<Option<SlotStatus>, SetupError> {
    let sql = "SELECT active, active_pid, confirmed_flush_lsn::text, restart_lsn::text, \
         pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint, \
         pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint, wal_status, \
         current_setting('max_slot_wal_keep_size') FROM pg_replication_slots WHERE slot_name = $1";
    let row = client.query_opt(sql, &[&slot]).await?;
    Ok(row.map(|row| SlotStatus {
        slot: slot.to_owned(),
        active: row.get(0),
        active_pid: row.get(1),
        confirmed_lsn: row.get(2),
        restart_lsn: row.get(3),
        lag_bytes: row.get(4),
        kept_bytes: row.get(5),
        wal_status: row.get(6),
        max_slot_wal_keep_size: row.get(7),
    }))
}

/// Returns what the slot was confirmed up to.
pub(super) async fn confirmed(client: &Client, slot: &str) -> Result<Lsn, SetupError> {
    let status = status(client, slot).await?;
    let confirmed = status.and_then(|status| status.confirmed_lsn);
    Ok(confirmed.and_then(|lsn| lsn.parse().ok()).unwrap_or_default())
}

/// Drops the slot and the publication, if they are there.
pub(super) async fn drop_all(client: &Client, slot: &str, publication: &str) -> Result<(), SetupError> {
    let sql = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1";
    client.execute(sql, &[&slot]).await?;
    client.batch_execute(&format!("DROP PUBLICATION IF EXISTS {}", escape_identifier(publication))).await?;
    Ok(())
}

//! `newsreel source postgres status`: what PostgreSQL says of the slot.

use super::slot::{self, SlotStatus};
use super::state::State;
use super::{PostgresOptions, unreachable};
use crate::database::Database;
use crate::exit::{Failure, print};

/// Prints the state of the slot. A slot that is in danger is a failure.
pub(super) async fn show(options: &PostgresOptions, database: &Database, json: bool) -> Result<(), Failure> {
    let client = database.client().await.map_err(|error| unreachable(database, &error))?;
    let status = slot::status(&client, &options.slot).await;
    let status = status.map_err(|error| Failure::Input(error.to_string()))?;
    let Some(mut status) = status else {
        return Err(Failure::Input(format!("there is no replication slot {:?}", options.slot)));
    };
    status.published_as_of(State::read(&options.state(), &options.slot).and_then(|state| state.as_of));
    if json {
        print(&format!("{}\n", serde_json::json!(status)))?;
    } else {
        print(&text(&status))?;
    }
    match status.critical {
        Some(why) => Err(Failure::Slot { slot: status.slot, why }),
        None => Ok(()),
    }
}

fn text(status: &SlotStatus) -> String {
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let wal_status = match &status.critical {
        Some(_) => format!("{} (CRITICAL)", text(status.wal_status.clone())),
        None => text(status.wal_status.clone()),
    };
    format!(
        "slot           {}\nactive         {}\nactive pid     {}\nconfirmed LSN  {}\nlag bytes      {}\nlag seconds    {}\n\
         kept bytes     {}\nwal status     {wal_status}\nkept at most   {}\nfailover       {}\n",
        status.slot,
        if status.active { "yes" } else { "no" },
        text(status.active_pid.map(|pid| pid.to_string())),
        text(status.confirmed_lsn.clone()),
        text(status.lag_bytes.map(|bytes| bytes.to_string())),
        text(status.lag_seconds.map(|seconds| format!("{seconds:.1}"))),
        text(status.kept_bytes.map(|bytes| bytes.to_string())),
        status.max_slot_wal_keep_size,
        if status.failover { "yes" } else { "no" },
    )
}

//! `newsreel source redis status`: what Redis says of the streams.

use redis::{RedisError, Value, cmd};
use serde_json::json;

use super::Inputs;
use super::connect::{Connection, Server};
use super::names::StreamNames;
use super::options::RedisOptions;
use crate::exit::{Failure, print};

/// One stream.
#[derive(Debug, serde::Serialize)]
struct StreamStatus {
    stream: String,
    length: i64,
    /// The token of the process that reads it.
    reader: Option<String>,
    /// The newest entry that the group was given.
    last_delivered: Option<String>,
    /// How many entries the group was not given, where Redis knows.
    lag: Option<i64>,
    /// How many entries are not acknowledged.
    pending: Option<i64>,
    /// For how many milliseconds the oldest of them has waited.
    pending_for_ms: Option<i64>,
    /// Why a wide change is owed.
    gap: Option<String>,
}

/// Prints the state of the streams. A wide change that is owed is a failure.
pub(super) async fn show(
    options: &RedisOptions,
    server: &Server,
    inputs: &Inputs,
    json: bool,
) -> Result<(), Failure> {
    let unreachable =
        |error: RedisError| Failure::Unreachable { what: server.name(), why: error.to_string() };
    let mut redis = server.connect().await.map_err(unreachable)?;
    let mut streams = Vec::new();
    for stream in &inputs.streams {
        let names = StreamNames::of(stream, &options.group, server.has_slots())?;
        streams.push(status(&mut redis, &names, &options.group).await.map_err(unreachable)?);
    }
    let dead: i64 = redis.ask(cmd("XLEN").arg(&options.dead_letters)).await.map_err(unreachable)?;
    if json {
        let status = json!({ "streams": streams, "dead_letters": dead, "channels": inputs.channels, "patterns": inputs.patterns });
        print(&format!("{status}\n"))?;
    } else {
        print(&format!("{}dead letters    {dead}\n", streams.iter().map(text).collect::<String>()))?;
    }
    match streams.iter().find_map(|status| Some((&status.stream, status.gap.as_ref()?))) {
        Some((stream, why)) => Err(Failure::Database {
            what: format!("the stream {stream}"),
            why: format!("a wide change is owed ({why}): start the source, or see why it does not publish"),
        }),
        None => Ok(()),
    }
}

async fn status(
    redis: &mut Connection,
    names: &StreamNames,
    group: &str,
) -> Result<StreamStatus, RedisError> {
    let length = redis.ask(cmd("XLEN").arg(&names.stream)).await?;
    let reader = redis.ask(cmd("GET").arg(&names.lease)).await?;
    let gap = redis.ask(cmd("HGET").arg(&names.memory).arg("gap")).await?;
    let mut status = StreamStatus {
        stream: names.stream.clone(),
        length,
        reader,
        last_delivered: None,
        lag: None,
        pending: None,
        pending_for_ms: None,
        gap,
    };
    // A stream that is not there has no groups.
    let exists: i64 = redis.ask(cmd("EXISTS").arg(&names.stream)).await?;
    if exists == 0 {
        return Ok(status);
    }
    let groups: Vec<std::collections::HashMap<String, Value>> =
        redis.ask(cmd("XINFO").arg("GROUPS").arg(&names.stream)).await?;
    let named = |value: &Value| redis::from_redis_value::<String>(value.clone()).ok();
    let Some(found) = groups.iter().find(|found| found.get("name").and_then(named).as_deref() == Some(group))
    else {
        return Ok(status);
    };
    let number = |field: &str| redis::from_redis_value::<i64>(found.get(field)?.clone()).ok();
    status.last_delivered = found.get("last-delivered-id").and_then(named);
    (status.lag, status.pending) = (number("lag"), number("pending"));
    let oldest: Vec<(String, String, i64, i64)> =
        redis.ask(cmd("XPENDING").arg(&names.stream).arg(group).arg("-").arg("+").arg(1)).await?;
    status.pending_for_ms = oldest.first().map(|(_, _, idle, _)| *idle);
    Ok(status)
}

fn text(status: &StreamStatus) -> String {
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let number = |value: Option<i64>| text(value.map(|value| value.to_string()));
    format!(
        "stream          {}\nlength          {}\nread by         {}\nlast delivered  {}\nlag             {}\npending         {}\n\
         pending for ms  {}\nwide change     {}\n\n",
        status.stream,
        status.length,
        text(status.reader.clone()),
        text(status.last_delivered.clone()),
        number(status.lag),
        number(status.pending),
        number(status.pending_for_ms),
        status.gap.as_ref().map_or_else(|| "none is owed".to_owned(), |gap| format!("owed: {gap}")),
    )
}

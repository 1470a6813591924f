//! Where the CPU time of Newsreel's isolate goes under a load, by V8's sampling profiler: wasm, JavaScript, the rest.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Finding, Unit, WARM_UP};
use crate::clients::http::Connection;
use crate::clients::socket::{Socket, SocketFollower};
use crate::servers::process::free_port;
use crate::spread::number;
use crate::systems::edge::{Edge, entry};
use crate::systems::{CATALOG, Programs, Publisher, System, Way};

/// How many functions are named, and with how many characters at most.
const NAMED: usize = 15;
const LONGEST_NAME: usize = 90;
/// How long a lane waits before it connects again: the broker turns away who connects too often.
const CONNECT_EVERY: Duration = Duration::from_millis(40);

/// One kind of load, for a time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Profile {
    pub(crate) load: Load,
    pub(crate) time: Duration,
}

/// The work that keeps the isolate busy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Load {
    Hits,
    Publishes(Way),
    /// Followers that connect, hear that they are live, and leave.
    Connects,
}

impl Profile {
    pub(crate) fn name(&self) -> &'static str {
        match self.load {
            Load::Hits => "reads from memory",
            Load::Publishes(Way::Single) => "publishes over HTTP",
            Load::Publishes(Way::Lines(_)) => "publishes as lines",
            Load::Publishes(Way::Window(_)) => "publishes over sockets",
            Load::Connects => "followers that connect",
        }
    }

    pub(crate) async fn run(&self, system: &System, programs: &Programs) -> Result<Vec<Finding>> {
        let port = free_port()?;
        let edge = Edge::start_inspected(system, programs, port).await?;
        let mut connection = edge.connect().await?;
        for key in 0..50 {
            connection.get(&entry(&format!("title:{key}"))).await?;
        }
        self.keep_busy(system, &edge, WARM_UP).await?;
        let mut inspector = Inspector::open(port).await?;
        inspector.call("Profiler.enable", json!({})).await?;
        inspector.call("Profiler.setSamplingInterval", json!({ "interval": 500 })).await?;
        inspector.call("Profiler.start", json!({})).await?;
        self.keep_busy(system, &edge, self.time).await?;
        let stopped = inspector.call("Profiler.stop", json!({})).await?;
        let shares = shares(stopped.get("profile").context("the inspector sent no profile")?)?;
        let finding = |(name, share)| Finding::new(format!("{}: {name}", self.name()), Unit::Percent, share);
        Ok(shares.into_iter().map(finding).collect())
    }

    async fn keep_busy(&self, system: &System, edge: &Edge, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        let lanes = (0..16_u64).map(async |lane| match self.load {
            Load::Hits => {
                let mut connection = edge.connect().await?;
                read_until(&mut connection, lane, end).await
            }
            Load::Publishes(way) => {
                let mut publisher = Publisher::open(system, edge.workerd.port, way).await?;
                // Every lane has keys of its own.
                let mut first = lane * 10_000_000;
                while Instant::now() < end {
                    publisher.publish(first, 1).await?;
                    first += 100;
                }
                publisher.finish(1).await.map(drop)
            }
            Load::Connects => {
                while Instant::now() < end {
                    SocketFollower::open(edge.workerd.port, CATALOG, "").await?.until_live().await?;
                    sleep(CONNECT_EVERY).await;
                }
                Ok(())
            }
        });
        try_join_all(lanes).await.map(drop)
    }
}

async fn read_until(connection: &mut Connection, lane: u64, end: Instant) -> Result<()> {
    let mut key = lane;
    while Instant::now() < end {
        connection.get(&entry(&format!("title:{}", key % 50))).await?;
        key += 1;
    }
    Ok(())
}

/// A connection to workerd's inspector.
struct Inspector {
    socket: Socket,
    calls: u64,
}

impl Inspector {
    async fn open(port: u16) -> Result<Self> {
        Ok(Self { socket: Socket::plain(port, "/main").await?, calls: 0 })
    }

    /// Calls a method and waits for its result; events are passed over.
    async fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        self.calls += 1;
        self.socket.send(json!({ "id": self.calls, "method": method, "params": params }).to_string()).await?;
        loop {
            let mut message: Value = serde_json::from_str(&self.socket.next().await?)?;
            if message.get("id").and_then(Value::as_u64) != Some(self.calls) {
                continue;
            }
            if let Some(error) = message.get("error") {
                bail!("{method}: {error}");
            }
            return Ok(message.get_mut("result").map(Value::take).unwrap_or_default());
        }
    }
}

/// Returns the shares of a profile in percent of the time that was not idle: of each kind of code, then of the functions
/// that took most themselves.
fn shares(profile: &Value) -> Result<Vec<(String, f64)>> {
    let nodes = profile.get("nodes").and_then(Value::as_array).context("a profile has nodes")?;
    let mut busy = 0;
    let (mut kinds, mut functions) = (BTreeMap::<&str, u64>::new(), BTreeMap::<&str, u64>::new());
    for node in nodes {
        let frame = node.get("callFrame").context("a node has a frame")?;
        let text = |field| frame.get(field).and_then(Value::as_str).unwrap_or_default();
        let (name, url) = (text("functionName"), text("url"));
        let samples = node.get("hitCount").and_then(Value::as_u64).unwrap_or(0);
        if name == "(idle)" || samples == 0 {
            continue;
        }
        busy += samples;
        *kinds.entry(kind(name, url)).or_default() += samples;
        *functions.entry(if name.is_empty() { "(anonymous)" } else { name }).or_default() += samples;
    }
    let share =
        |(name, samples): (&str, u64)| (name.to_owned(), 100.0 * number(samples) / number(busy.max(1)));
    let mut most: Vec<(&str, u64)> = functions.into_iter().collect();
    most.sort_by_key(|(name, samples)| (std::cmp::Reverse(*samples), *name));
    let named = most.into_iter().take(NAMED).map(|(name, samples)| {
        let (name, share) = share((name, samples));
        (format!("`{}`", readable(&name)), share)
    });
    Ok(kinds.into_iter().map(share).chain(named).collect())
}

/// Returns the name of a function without the hashes of its crates, and cut where it goes on with type parameters.
fn readable(name: &str) -> String {
    let mut text = String::new();
    for (nth, part) in name.split('[').enumerate() {
        let rest = if nth == 0 { Some(part) } else { part.split_once(']').map(|(_, rest)| rest) };
        text.push_str(rest.unwrap_or_default());
    }
    match text.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn kind(name: &str, url: &str) -> &'static str {
    match name {
        "(program)" => "outside of V8's functions",
        "(garbage collector)" => "garbage collection",
        _ if url.starts_with("wasm://") => "wasm",
        _ if url.is_empty() => "built-in functions",
        _ => "JavaScript",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_hashes() {
        assert_eq!(readable("sha2[fdb3d5b7295e629e]::sha256::compress256"), "sha2::sha256::compress256");
        assert_eq!(readable(&"é".repeat(100)), format!("{}…", "é".repeat(LONGEST_NAME)));
    }

    #[test]
    fn shares_are_of_the_time_that_was_not_idle() {
        let node =
            |name, url, hits| json!({ "callFrame": { "functionName": name, "url": url }, "hitCount": hits });
        let nodes = [
            node("(idle)", "", 90),
            node("a::b", "wasm://wasm/1", 6),
            node("set", "", 3),
            node("", "index.js", 1),
        ];
        let shares = shares(&json!({ "nodes": nodes })).expect("shares");
        let of = |name: &str| shares.iter().find(|(one, _)| one == name).map(|(_, share)| *share);
        assert_eq!(of("wasm"), Some(60.0));
        assert_eq!(of("built-in functions"), Some(30.0));
        assert_eq!(of("JavaScript"), Some(10.0));
        assert_eq!(of("`a::b`"), Some(60.0));
        assert_eq!(of("`(anonymous)`"), Some(10.0));
    }
}

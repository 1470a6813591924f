//! The logs that are compared: Newsreel and its peers, each started on loopback, published to and followed.

pub(crate) mod edge;
mod follower;
mod publisher;
mod start;

use std::path::PathBuf;

use anyhow::Result;

pub(crate) use follower::{Follower, Position, Start};
pub(crate) use publisher::{Publisher, Way};
pub(crate) use start::Log;

/// The name of the catalog that is published to.
pub(crate) const CATALOG: &str = "tv";

/// A system that takes part.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum System {
    /// A build of Newsreel's Worker: its name in tables, and the folder of its modules.
    Newsreel(String, PathBuf),
    /// The JavaScript object of `peers/log.mjs`.
    Object(Form),
    /// redis-server with a stream and a channel.
    Redis { sync: RedisSync },
    /// nats-server, whose JetStream keeps the log.
    Nats,
    /// A plain Worker that answers reads.
    Baseline(Baseline),
}

/// The forms of the JavaScript object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    Plain,
    GroupCommit,
    /// With group commit, but a publish is neither read nor stored: the limit of the platform.
    SendsAlone,
}

impl Form {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::GroupCommit, Self::SendsAlone];

    /// Returns the variables of the Worker.
    fn vars(self) -> Vec<(&'static str, String)> {
        let names: &[&str] = match self {
            Self::Plain => &[],
            Self::GroupCommit => &["GROUP_COMMIT"],
            Self::SendsAlone => &["GROUP_COMMIT", "SENDS_ALONE"],
        };
        names.iter().map(|name| (*name, "1".to_owned())).collect()
    }
}

/// The Workers that a read is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Baseline {
    Empty,
    SameHeaders,
    KvGet,
    CacheApi,
}

impl Baseline {
    pub(crate) const ALL: [Self; 4] = [Self::Empty, Self::SameHeaders, Self::KvGet, Self::CacheApi];

    /// The file in `peers`.
    fn module(self) -> &'static str {
        match self {
            Self::Empty => "empty.mjs",
            Self::SameHeaders => "constant.mjs",
            Self::KvGet => "kv.mjs",
            Self::CacheApi => "cache.mjs",
        }
    }
}

/// When Redis makes its file durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RedisSync {
    EverySecond,
    Always,
}

impl System {
    /// Returns the name in tables.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Newsreel(name, _) => name.clone(),
            Self::Object(Form::Plain) => "JS object".to_owned(),
            Self::Object(Form::GroupCommit) => "JS object, group commit".to_owned(),
            Self::Object(Form::SendsAlone) => "sends alone".to_owned(),
            Self::Redis { sync: RedisSync::EverySecond } => "Redis".to_owned(),
            Self::Redis { sync: RedisSync::Always } => "Redis, fsync always".to_owned(),
            Self::Nats => "NATS JetStream".to_owned(),
            Self::Baseline(Baseline::Empty) => "empty Worker".to_owned(),
            Self::Baseline(Baseline::SameHeaders) => "same headers on a constant".to_owned(),
            Self::Baseline(Baseline::KvGet) => "`KV.get`".to_owned(),
            Self::Baseline(Baseline::CacheApi) => "Cache API".to_owned(),
        }
    }

    /// Whether the system takes publishes and tells followers.
    pub(crate) fn tells(&self) -> bool {
        !matches!(self, Self::Baseline(_))
    }

    /// Whether the system keeps a log.
    pub(crate) fn is_log(&self) -> bool {
        self.tells() && *self != Self::Object(Form::SendsAlone)
    }

    /// Whether the system is a build of Newsreel.
    pub(crate) fn is_newsreel(&self) -> bool {
        matches!(self, Self::Newsreel(..))
    }

    /// Whether the log runs on workerd, and so is spoken to over HTTP and WebSockets.
    pub(crate) fn is_worker(&self) -> bool {
        matches!(self, Self::Newsreel(..) | Self::Object(_))
    }
}

/// Where the programs and modules are that the benchmark starts.
#[derive(Clone)]
pub(crate) struct Programs {
    pub(crate) workerd: PathBuf,
    /// The folder with the peers' Workers, `crates/bench/peers`.
    pub(crate) peers: PathBuf,
    pub(crate) redis: Option<PathBuf>,
    pub(crate) nats: Option<PathBuf>,
    /// The command `newsreel`, which has the sample origin.
    pub(crate) command: Option<PathBuf>,
}

/// Returns the text of the change with a number: of one key, with the tags of a catalogue's entry. As rows of a log,
/// 100,000 of these are more than Newsreel keeps in full by default.
pub(crate) fn change(number: u64) -> String {
    let title = number % 5_000;
    format!(
        r#"{{"key":"availability:netflix:{number}","tags":["platform:netflix","title:{title}","country:us","genre:drama","season:{}","studio:lantern-street","language:en-us","rating:pg-13"]}}"#,
        title % 12
    )
}

/// Returns the text of one publish of so many changes.
pub(crate) fn publish(first: u64, changes: u64) -> String {
    if changes == 1 {
        return change(first);
    }
    let changes: Vec<String> = (first..first + changes).map(change).collect();
    format!(r#"{{"changes":[{}]}}"#, changes.join(","))
}

/// Fills an empty log with versions of one change each.
pub(crate) async fn fill(log: &Log, versions: u64) -> Result<()> {
    const LINES: u64 = 2_000;
    let mut publisher = log.publisher(Way::Lines(LINES)).await?;
    let mut first = 0;
    while first < versions {
        first += publisher.publish(first, 1).await?;
    }
    publisher.finish(1).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publish_of_many_changes_is_json_with_distinct_keys() {
        let body: serde_json::Value = serde_json::from_str(&publish(7, 3)).expect("JSON");
        let changes = body["changes"].as_array().expect("changes");
        let keys: Vec<_> = changes.iter().map(|change| change["key"].as_str().expect("a key")).collect();
        assert_eq!(keys, ["availability:netflix:7", "availability:netflix:8", "availability:netflix:9"]);
        assert_eq!(publish(7, 1), change(7));
    }
}

//! The Workers that answer reads: Newsreel's edge and the plain ones beside it, with the servers behind their bindings.

use anyhow::{Context, Result, bail};

use super::start::newsreel;
use super::{Baseline, CATALOG, Programs, System};
use crate::clients::http::{Answer, Connection};
use crate::servers::stubs::{Kind, Stub};
use crate::servers::workerd::{Remote, Worker, Workerd};

/// A Worker that answers reads.
pub(crate) struct Edge {
    pub(crate) workerd: Workerd,
    pub(crate) kv: Stub,
    pub(crate) r2: Stub,
    worker: Worker,
    _origin: Stub,
    _cache: Stub,
}

impl Edge {
    /// Starts a Worker with KV, R2, a cache and an origin that are empty, or another origin by its port.
    pub(crate) async fn start(
        system: &System,
        programs: &Programs,
        origin_port: Option<u16>,
    ) -> Result<Self> {
        Self::start_with(system, programs, origin_port, None).await
    }

    /// Starts a Worker whose isolate V8's inspector looks into, at a port.
    pub(crate) async fn start_inspected(
        system: &System,
        programs: &Programs,
        inspector: u16,
    ) -> Result<Self> {
        Self::start_with(system, programs, None, Some(inspector)).await
    }

    async fn start_with(
        system: &System,
        programs: &Programs,
        origin_port: Option<u16>,
        inspector: Option<u16>,
    ) -> Result<Self> {
        let (kv, r2) = (Stub::start(Kind::Kv).await?, Stub::start(Kind::R2).await?);
        let (cache, origin) = (Stub::start(Kind::Cache).await?, Stub::start(Kind::Origin).await?);
        let mut worker = match system {
            System::Newsreel(_, folder) => newsreel(folder),
            System::Baseline(baseline) => {
                Worker { modules: vec![programs.peers.join(baseline.module())], ..Worker::default() }
            }
            System::Object(_) | System::Redis { .. } | System::Nats => {
                bail!("{} answers no reads", system.name())
            }
        };
        worker.vars.push(("ORIGIN_URL", format!("http://127.0.0.1:{}", origin_port.unwrap_or(origin.port))));
        worker.remote = vec![("ENTRIES", Remote::Kv, kv.port), ("COPIES", Remote::R2, r2.port)];
        worker.inspector = inspector;
        if *system == System::Baseline(Baseline::CacheApi) {
            worker.remote.push(("", Remote::Cache, cache.port));
        }
        let workerd = Workerd::start(&programs.workerd, &worker).await?;
        Ok(Self { workerd, kv, r2, worker, _origin: origin, _cache: cache })
    }

    /// Ends the isolate, and so its memory, and starts another one on the same objects, KV and R2.
    pub(crate) async fn restart(self, programs: &Programs) -> Result<Self> {
        let workerd = self.workerd.restart(&programs.workerd, &self.worker).await?;
        Ok(Self { workerd, ..self })
    }

    pub(crate) async fn connect(&self) -> Result<Connection> {
        Connection::open(self.workerd.port).await
    }

    /// Opens so many connections, one after another.
    pub(crate) async fn connect_all(&self, connections: usize) -> Result<Vec<Connection>> {
        let mut open = Vec::with_capacity(connections);
        for _ in 0..connections {
            open.push(self.connect().await?);
        }
        Ok(open)
    }
}

/// Returns the path of a key's entry.
pub(crate) fn entry(key: &str) -> String {
    format!("/v1/catalogs/{CATALOG}/entries/{key}")
}

/// Returns which of Newsreel's tiers gave an answer.
pub(crate) fn tier(answer: &Answer) -> Result<&str> {
    let members = answer.header("cache-status").split(", newsreel-");
    let hit =
        members.map(|member| member.trim_start_matches("newsreel-")).find(|member| member.contains("; hit"));
    let member = hit.unwrap_or("origin");
    member.split(';').next().context("a member of Cache-Status has a name")
}

//! Keys that memory does not have: one read of each, answered by the origin, by KV, or by R2.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::time::sleep;

use super::{CpuSince, Finding, Unit};
use crate::spread::Times;
use crate::systems::edge::{Edge, entry, tier};
use crate::systems::{Baseline, Programs, System};

/// So many keys, each read once after every start of the isolate.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cold {
    pub(crate) keys: u64,
}

impl Cold {
    pub(crate) fn takes(&self, system: &System) -> bool {
        system.is_newsreel() || *system == System::Baseline(Baseline::KvGet)
    }

    pub(crate) async fn run(&self, system: &System, programs: &Programs) -> Result<Vec<Finding>> {
        let mut edge = Edge::start(system, programs, None).await?;
        if !system.is_newsreel() {
            (0..self.keys).for_each(|key| edge.kv.put(&path(key), "x".repeat(1000)));
            return self.read(&edge, "kv", false).await;
        }
        let mut findings = self.read(&edge, "origin", true).await?;
        self.until_stored(&edge).await?;
        edge = edge.restart(programs).await?;
        findings.extend(self.read(&edge, "kv", true).await?);
        edge.kv.clear();
        edge = edge.restart(programs).await?;
        findings.extend(self.read(&edge, "r2", true).await?);
        Ok(findings)
    }

    /// Waits until KV and R2 have all keys: the edge fills them after it has answered.
    async fn until_stored(&self, edge: &Edge) -> Result<()> {
        let keys = usize::try_from(self.keys)?;
        for _ in 0..100 {
            if edge.kv.len() >= keys && edge.r2.len() >= keys {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("KV has {} and R2 {} of {keys} keys", edge.kv.len(), edge.r2.len())
    }

    async fn read(&self, edge: &Edge, from: &str, is_told: bool) -> Result<Vec<Finding>> {
        let mut connection = edge.connect().await?;
        // The first read starts the isolate and lets the edge hear of the broker.
        connection.get(&path(0)).await?;
        let mut times = Times::new();
        let cpu = CpuSince::now(&edge.workerd.process)?;
        for key in 1..self.keys {
            let began = Instant::now();
            let answer = connection.get(&path(key)).await?;
            times.record(began.elapsed());
            let served_by = if is_told { tier(&answer)? } else { from };
            ensure!(served_by == from, "{from} was to answer: {}", answer.header("cache-status"));
        }
        let row = |name| format!("from {from}, {name}");
        Ok(vec![
            Finding::new(row("p50"), Unit::Milliseconds, times.milliseconds_at(50.0)),
            Finding::new(row("each"), Unit::CpuMicros, cpu.micros_each(self.keys - 1)?),
        ])
    }
}

fn path(key: u64) -> String {
    entry(&format!("title:{key}"))
}

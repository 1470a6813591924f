//! The requests of a real access trace, in its order: how fast the edge answers them, and which tier does.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use flate2::read::GzDecoder;
use futures_util::future::try_join_all;

use super::{CpuSince, Finding, Unit};
use crate::clients::http::Connection;
use crate::spread::number;
use crate::systems::edge::{Edge, entry, tier};
use crate::systems::{Programs, System};

/// The file of the trace in the folder of `NEWSREEL_DATA`: a key a request, as little-endian u32.
const FILE: &str = "orm-busy-1m.u32le.gz";
const CONNECTIONS: usize = 20;
/// By which tiers an answer may come.
const TIERS: [&str; 4] = ["memory", "kv", "r2", "origin"];

/// The first requests of a trace, on an edge that holds nothing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trace {
    pub(crate) requests: usize,
}

impl Trace {
    /// Returns the file of the trace, if it is there.
    pub(crate) fn file() -> Option<PathBuf> {
        let folder = std::env::var_os("NEWSREEL_DATA").unwrap_or_else(|| "../shared/data".into());
        Some(Path::new(&folder).join(FILE)).filter(|file| file.exists())
    }

    pub(crate) async fn run(&self, system: &System, programs: &Programs) -> Result<Vec<Finding>> {
        let keys = self.keys(&Self::file().context("there is no trace")?)?;
        let edge = Edge::start(system, programs, None).await?;
        let mut connections = edge.connect_all(CONNECTIONS).await?;
        let (left, served) = (RefCell::new(keys.iter()), RefCell::new(BTreeMap::<String, u64>::new()));
        let cpu = CpuSince::now(&edge.workerd.process)?;
        let began = Instant::now();
        let lanes = connections.iter_mut().map(async |connection: &mut Connection| {
            loop {
                let next = left.borrow_mut().next();
                let Some(key) = next else { return anyhow::Ok(()) };
                let answer = connection.get(&entry(&format!("title:{key}"))).await?;
                *served.borrow_mut().entry(tier(&answer)?.to_owned()).or_default() += 1;
            }
        });
        try_join_all(lanes).await?;
        let seconds = began.elapsed().as_secs_f64();
        let requests = u64::try_from(keys.len())?;
        let mut findings = vec![
            Finding::new("reads", Unit::PerSecond, number(requests) / seconds),
            Finding::new("each", Unit::CpuMicros, cpu.micros_each(requests)?),
        ];
        let served = served.into_inner();
        findings.extend(TIERS.map(|tier| {
            let share = 100.0 * number(served.get(tier).copied().unwrap_or(0)) / number(requests);
            let unit = if tier == "memory" { Unit::HitRate } else { Unit::Percent };
            Finding::new(format!("served by {tier}"), unit, share)
        }));
        Ok(findings)
    }

    fn keys(&self, file: &Path) -> Result<Vec<u32>> {
        let mut bytes = Vec::new();
        GzDecoder::new(File::open(file)?).read_to_end(&mut bytes)?;
        Ok(bytes.as_chunks().0.iter().take(self.requests).map(|four| u32::from_le_bytes(*four)).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    #[test]
    fn a_trace_is_read_up_to_so_many_requests() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut encoder = GzEncoder::new(file.reopen().expect("the file"), Compression::fast());
        for key in [7_u32, 70_000, 8] {
            encoder.write_all(&key.to_le_bytes()).expect("room");
        }
        encoder.finish().expect("room");
        let trace = Trace { requests: 2 };
        assert_eq!(trace.keys(file.path()).expect("keys"), [7, 70_000]);
    }
}

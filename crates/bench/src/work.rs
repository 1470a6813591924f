//! The workloads. Each starts what it needs, runs one system once, and returns what it measured.

pub(crate) mod cold;
pub(crate) mod crowd;
pub(crate) mod hits;
pub(crate) mod idle;
pub(crate) mod latency;
pub(crate) mod origin;
pub(crate) mod profile;
pub(crate) mod replay;
pub(crate) mod sustained;
pub(crate) mod trace;

use std::time::Duration;

use anyhow::Result;

use crate::servers::process::Process;
use crate::spread::number;
use crate::systems::{Programs, System};

/// One measured number, and the row of a table that it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) row: String,
    pub(crate) unit: Unit,
    pub(crate) value: f64,
}

/// The unit of a number, which also says whether more is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Milliseconds,
    CpuMicros,
    KiB,
    PerSecond,
    Percent,
    HitRate,
}

impl Unit {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::CpuMicros => "µs of CPU",
            Self::KiB => "KiB",
            Self::PerSecond => "per second",
            Self::Percent => "%",
            Self::HitRate => "% of the reads",
        }
    }

    pub(crate) fn more_is_better(self) -> bool {
        matches!(self, Self::PerSecond | Self::HitRate)
    }
}

impl Finding {
    pub(crate) fn new(row: impl Into<String>, unit: Unit, value: f64) -> Self {
        Self { row: row.into(), unit, value }
    }
}

/// A workload with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Work {
    Latency(latency::Latency),
    Sustained(sustained::Sustained),
    Replay(replay::Replay),
    Idle(idle::Idle),
    Hits(hits::Hits),
    Cold(cold::Cold),
    Origin(origin::Origin),
    Profile(profile::Profile),
    Trace(trace::Trace),
}

impl Work {
    /// The heading that the rows of the workload stand under.
    pub(crate) fn section(&self) -> &'static str {
        match self {
            Self::Latency(_) => "Publish until all have received",
            Self::Sustained(_) => "Sustained publishing",
            Self::Replay(_) => "Replay",
            Self::Idle(_) => "Idle followers",
            Self::Hits(_) => "Reads from memory",
            Self::Cold(_) => "Cold reads",
            Self::Origin(_) => "From the origin to the edge",
            Self::Profile(_) => "Where the CPU time goes",
            Self::Trace(_) => "Reads of a real trace",
        }
    }

    /// The heading and what is under it, for progress and for choosing.
    pub(crate) fn name(&self) -> String {
        let what = match self {
            Self::Latency(latency) => latency.name(),
            Self::Sustained(sustained) => sustained.row(),
            Self::Replay(replay) => replay.row(),
            Self::Idle(idle) => format!("{} followers", idle.followers),
            Self::Hits(hits) => hits.row(),
            Self::Cold(cold) => format!("{} keys", cold.keys),
            Self::Origin(origin) => format!("{} writes, then {} at once", origin.single, origin.burst),
            Self::Profile(profile) => profile.name().to_owned(),
            Self::Trace(trace) => format!("{} requests", trace.requests),
        };
        format!("{}: {what}", self.section())
    }

    /// Whether a system takes part.
    pub(crate) fn takes(&self, system: &System) -> bool {
        match self {
            Self::Latency(_) => system.tells(),
            Self::Idle(_) => system.is_log(),
            Self::Sustained(sustained) => sustained.takes(system),
            Self::Replay(replay) => replay.takes(system),
            Self::Hits(hits) => hits.takes(system),
            Self::Cold(cold) => cold.takes(system),
            Self::Origin(_) | Self::Profile(_) | Self::Trace(_) => system.is_newsreel(),
        }
    }

    pub(crate) async fn run(&self, system: &System, programs: &Programs) -> Result<Vec<Finding>> {
        match self {
            Self::Latency(latency) => latency.run(system, programs).await,
            Self::Sustained(sustained) => sustained.run(system, programs).await,
            Self::Replay(replay) => replay.run(system, programs).await,
            Self::Idle(idle) => idle.run(system, programs).await,
            Self::Hits(hits) => hits.run(system, programs).await,
            Self::Cold(cold) => cold.run(system, programs).await,
            Self::Origin(origin) => origin.run(system, programs).await,
            Self::Profile(profile) => profile.run(system, programs).await,
            Self::Trace(trace) => trace.run(system, programs).await,
        }
    }
}

/// How long a system is under load before it is measured. Until then V8 compiles what is hot: a read of Newsreel costs
/// four times as much in the first second of an isolate as it does later.
pub(crate) const WARM_UP: Duration = Duration::from_secs(2);

/// The CPU time of a server since a moment.
pub(crate) struct CpuSince<'a> {
    process: &'a Process,
    before: Duration,
}

impl<'a> CpuSince<'a> {
    pub(crate) fn now(process: &'a Process) -> Result<Self> {
        Ok(Self { process, before: process.cpu()? })
    }

    /// Returns the microseconds that each of so many operations took.
    pub(crate) fn micros_each(&self, operations: u64) -> Result<f64> {
        let spent = self.process.cpu()?.saturating_sub(self.before);
        Ok(spent.as_secs_f64() * 1e6 / number(operations.max(1)))
    }
}

/// Returns the pace of so many changes: how many went in a second, and the CPU time of each.
fn pace(row: &str, changes: u64, seconds: f64, cpu: &CpuSince) -> Result<[Finding; 2]> {
    Ok([
        Finding::new(format!("{row}, changes"), Unit::PerSecond, number(changes) / seconds),
        Finding::new(format!("{row}, each change"), Unit::CpuMicros, cpu.micros_each(changes)?),
    ])
}

//! From the sending of one publish until the last follower has received it.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::crowd::Crowd;
use super::{CpuSince, Finding, Unit, WARM_UP};
use crate::spread::Times;
use crate::systems::{Log, Programs, System, Way};

/// One publisher that waits for all followers before it publishes again.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Latency {
    pub(crate) followers: usize,
    pub(crate) publishes: u64,
}

impl Latency {
    /// The name that the rows of this workload begin with.
    pub(crate) fn name(&self) -> String {
        match self.followers {
            1 => "1 follower".to_owned(),
            followers => format!("{followers} followers"),
        }
    }

    pub(crate) async fn run(&self, system: &System, programs: &Programs) -> Result<Vec<Finding>> {
        let log = Log::start(system, programs, &[]).await?;
        let mut crowd = Crowd::gather(&log, self.followers).await?;
        let mut publisher = log.publisher(Way::Single).await?;
        let mut published = 0;
        let mut publish = async || -> Result<Duration> {
            let began = Instant::now();
            publisher.publish(published, 1).await?;
            published += 1;
            crowd.until_all_have(published).await?;
            Ok(began.elapsed())
        };
        let warm = Instant::now() + WARM_UP;
        while Instant::now() < warm {
            publish().await?;
        }
        let cpu = CpuSince::now(log.process())?;
        let mut times = Times::new();
        for _ in 0..self.publishes {
            times.record(publish().await?);
        }
        let row = |name| format!("{}, {name}", self.name());
        Ok(vec![
            Finding::new(row("p50"), Unit::Milliseconds, times.milliseconds_at(50.0)),
            Finding::new(row("p99"), Unit::Milliseconds, times.milliseconds_at(99.0)),
            Finding::new(row("each publish"), Unit::CpuMicros, cpu.micros_each(self.publishes)?),
        ])
    }
}

//! Many followers that nothing is published to: what they cost to connect, to keep, and to take back all at once.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::sleep;

use super::crowd::connect;
use super::{CpuSince, Finding, Unit};
use crate::spread::number;
use crate::systems::{Log, Programs, Start, System, Way};

/// Followers that connect, are idle, lose their connections, and come back with their positions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Idle {
    pub(crate) followers: usize,
    /// Whether to wait until an object without work is evicted from memory.
    pub(crate) hibernate: bool,
}

/// An object is evicted 10 s after its last event.
const UNTIL_HIBERNATION: Duration = Duration::from_secs(14);

impl Idle {
    pub(crate) async fn run(&self, system: &System, programs: &Programs) -> Result<Vec<Finding>> {
        let log = Log::start(system, programs, &[]).await?;
        log.publisher(Way::Single).await?.publish(0, 1).await?;
        drop(connect(&log, self.followers / 4, &Start::Head).await?);
        log.process().until_idle().await?;
        let followers = u64::try_from(self.followers)?;
        let empty = log.process().memory()?;
        let memory = || -> Result<f64> {
            let grown = log.process().memory()?.saturating_sub(empty);
            Ok(number(grown) / number(followers))
        };

        let cpu = CpuSince::now(log.process())?;
        let connected = connect(&log, self.followers, &Start::Head).await?;
        let mut findings = vec![Finding::new("connect, each", Unit::CpuMicros, cpu.micros_each(followers)?)];
        log.process().until_idle().await?;
        findings.push(Finding::new("connected, memory of each", Unit::KiB, memory()?));
        if self.hibernate {
            sleep(UNTIL_HIBERNATION).await;
            findings.push(Finding::new("after 14 s, memory of each", Unit::KiB, memory()?));
            let cpu = CpuSince::now(log.process())?;
            sleep(Duration::from_secs(2)).await;
            findings.push(Finding::new(
                "idle, all of them, each second",
                Unit::CpuMicros,
                cpu.micros_each(2)?,
            ));
        }

        let position = Start::Resume(log.position().await?);
        drop(connected);
        log.process().until_idle().await?;
        let cpu = CpuSince::now(log.process())?;
        let began = Instant::now();
        let back = connect(&log, self.followers, &position).await?;
        let milliseconds = began.elapsed().as_secs_f64() * 1000.0;
        findings.push(Finding::new(
            "all reconnect, until the last is live",
            Unit::Milliseconds,
            milliseconds,
        ));
        findings.push(Finding::new("reconnect, each", Unit::CpuMicros, cpu.micros_each(followers)?));
        drop(back);
        Ok(findings)
    }
}

//! Reads that memory answers, as many as some connections can ask for.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use futures_util::future::try_join_all;
use tokio::time::{MissedTickBehavior, interval};

use super::{CpuSince, Finding, Unit};
use crate::clients::http::Connection;
use crate::spread::{Times, number};
use crate::systems::edge::{Edge, entry};
use crate::systems::{CATALOG, Programs, System, change};

/// How many keys are read, in turn.
const KEYS: u64 = 50;
/// How long reads go on before they are measured. V8 compiles the wasm of a hit again, for speed, for some seconds on the
/// cores that the reads need: a form that measured two seconds after two found 217 us of CPU a hit, and the long one 138.
const READS_WARM_UP: Duration = Duration::from_secs(8);

/// So many connections that each read as fast as they are answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hits {
    pub(crate) connections: usize,
    /// Publishes of other keys meanwhile, in a second.
    pub(crate) publishes: u32,
    pub(crate) time: Duration,
}

impl Hits {
    /// The plain Workers hear of no publish.
    pub(crate) fn takes(&self, system: &System) -> bool {
        system.is_newsreel() || self.publishes == 0 && !system.tells()
    }

    pub(crate) fn row(&self) -> String {
        let connections = match self.connections {
            1 => "1 connection".to_owned(),
            connections => format!("{connections} connections"),
        };
        match self.publishes {
            0 => connections,
            1 => format!("{connections}, a publish a second"),
            publishes => format!("{connections}, {publishes} publishes a second"),
        }
    }

    pub(crate) async fn run(&self, system: &System, programs: &Programs) -> Result<Vec<Finding>> {
        let edge = Edge::start(system, programs, None).await?;
        let mut connections = edge.connect_all(self.connections).await?;
        if !system.is_newsreel() {
            (0..KEYS).for_each(|key| edge.kv.put(&path(key), "x".repeat(1000)));
        }
        // A first read of each key alone, so that memory has all of them when the load begins.
        for key in 0..KEYS {
            edge.connect().await?.get(&path(key)).await?;
        }
        self.load(&mut connections, READS_WARM_UP).await?;
        let cpu = CpuSince::now(&edge.workerd.process)?;
        let publishing = self.publish(edge.connect().await?);
        let Loaded { times, reads, misses } = tokio::select! {
            loaded = self.load(&mut connections, self.time) => loaded?,
            ended = publishing => bail!("publishing ended: {ended:?}"),
        };
        ensure!(
            !system.is_newsreel() || misses * 100 < reads,
            "memory did not answer {misses} of {reads} reads"
        );
        let each = cpu.micros_each(reads)?;
        let row = |name| format!("{}, {name}", self.row());
        Ok(vec![
            Finding::new(row("reads"), Unit::PerSecond, number(reads) / self.time.as_secs_f64()),
            Finding::new(row("each"), Unit::CpuMicros, each),
            Finding::new(row("p50"), Unit::Milliseconds, times.milliseconds_at(50.0)),
            Finding::new(row("p99"), Unit::Milliseconds, times.milliseconds_at(99.0)),
        ])
    }

    /// Lets every connection read for a time.
    async fn load(&self, connections: &mut [Connection], time: Duration) -> Result<Loaded> {
        let end = Instant::now() + time;
        let readers = connections.iter_mut().zip(0..).map(async |(connection, first)| {
            let mut loaded = Loaded::new();
            while Instant::now() < end {
                let began = Instant::now();
                let answer = connection.get(&path((first + loaded.reads) % KEYS)).await?;
                loaded.times.record(began.elapsed());
                loaded.reads += 1;
                loaded.misses +=
                    u64::from(!answer.header("cache-status").starts_with("newsreel-memory; hit"));
            }
            anyhow::Ok(loaded)
        });
        let mut all = Loaded::new();
        for loaded in try_join_all(readers).await? {
            all.times.merge(&loaded.times);
            all.reads += loaded.reads;
            all.misses += loaded.misses;
        }
        Ok(all)
    }

    /// Publishes keys that nobody reads, until it is dropped.
    async fn publish(&self, mut connection: Connection) -> Result<()> {
        if self.publishes == 0 {
            return std::future::pending().await;
        }
        let mut ticks = interval(Duration::from_secs(1) / self.publishes);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for nth in 0.. {
            ticks.tick().await;
            connection
                .post(&format!("/v1/catalogs/{CATALOG}/changes"), "application/json", change(nth))
                .await?;
        }
        Ok(())
    }
}

/// The time of some reads, and how many of them memory did not answer.
struct Loaded {
    times: Times,
    reads: u64,
    misses: u64,
}

impl Loaded {
    fn new() -> Self {
        Self { times: Times::new(), reads: 0, misses: 0 }
    }
}

fn path(key: u64) -> String {
    entry(&format!("title:{key}"))
}

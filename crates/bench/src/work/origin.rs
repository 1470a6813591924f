//! From a write at the origin until the edge serves it: the sample origin of the command `newsreel`, its outbox, the
//! broker, the replica and the reader, all of it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::future::try_join_all;
use hyper::Method;
use tempfile::TempDir;

use super::{Finding, Unit, WARM_UP};
use crate::clients::http::{Connection, TOKEN};
use crate::servers::process::{Process, free_port};
use crate::spread::{Times, number};
use crate::systems::edge::{Edge, entry};
use crate::systems::{CATALOG, Programs, System};

/// How many connections write at the same time in a burst.
const WRITERS: usize = 16;

/// How long a write may take until it is served.
const LIMIT: Duration = Duration::from_secs(200);

/// Writes one at a time, and then all keys at once.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Origin {
    pub(crate) single: u64,
    pub(crate) burst: u64,
}

impl Origin {
    pub(crate) async fn run(&self, system: &System, programs: &Programs) -> Result<Vec<Finding>> {
        let port = free_port()?;
        let edge = Edge::start(system, programs, Some(port)).await?;
        let folder = TempDir::with_prefix("newsreel-bench-")?;
        let program = programs.command.as_ref().context("there is no command newsreel")?;
        let mut command = Command::new(program);
        command.args([
            "origin",
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--token",
            TOKEN,
            "--catalog",
            CATALOG,
        ]);
        command.args(["--broker", &format!("http://127.0.0.1:{}", edge.workerd.port), "--db"]);
        let _process =
            Process::start(command.arg(folder.path().join("origin.sqlite")).stderr(Stdio::null()), port)
                .await?;

        let mut findings = self.one_at_a_time(&edge, port).await?;
        findings.extend(self.all_at_once(&edge, port).await?);
        Ok(findings)
    }

    async fn one_at_a_time(&self, edge: &Edge, port: u16) -> Result<Vec<Finding>> {
        let (mut writer, mut reader) = (Connection::open(port).await?, edge.connect().await?);
        let mut value = 0;
        let mut write = async || -> Result<Duration> {
            value += 1;
            let began = Instant::now();
            put(&mut writer, 0, value).await?;
            until_served(&mut reader, 0, value).await?;
            Ok(began.elapsed())
        };
        let warm = Instant::now() + WARM_UP;
        while Instant::now() < warm {
            write().await?;
        }
        let mut times = Times::new();
        for _ in 0..self.single {
            times.record(write().await?);
        }
        Ok(vec![
            Finding::new("one at a time, p50", Unit::Milliseconds, times.milliseconds_at(50.0)),
            Finding::new("one at a time, p99", Unit::Milliseconds, times.milliseconds_at(99.0)),
        ])
    }

    async fn all_at_once(&self, edge: &Edge, port: u16) -> Result<Vec<Finding>> {
        let mut writers = Vec::new();
        for _ in 0..WRITERS {
            writers.push(Connection::open(port).await?);
        }
        let mut reader = edge.connect().await?;
        // Every key has an older value, which the edge holds.
        self.write_all(&mut writers, 1_000_001).await?;
        self.until_all_served(&mut reader, 1_000_001).await?;

        let began = Instant::now();
        self.write_all(&mut writers, 1_000_002).await?;
        let written = began.elapsed().as_secs_f64();
        self.until_all_served(&mut reader, 1_000_002).await?;
        let served = began.elapsed().as_secs_f64();
        let row = |name| format!("{} at once, {name}", self.burst);
        Ok(vec![
            Finding::new(row("until the origin has the last"), Unit::Milliseconds, written * 1000.0),
            Finding::new(row("until the last is served"), Unit::Milliseconds, served * 1000.0),
            Finding::new(row("served"), Unit::PerSecond, number(self.burst) / served),
        ])
    }

    async fn write_all(&self, writers: &mut [Connection], value: u64) -> Result<()> {
        let all = writers.iter_mut().zip(1..).map(async |(writer, first)| {
            for key in (first..=self.burst).step_by(WRITERS) {
                put(writer, key, value).await?;
            }
            anyhow::Ok(())
        });
        try_join_all(all).await.map(drop)
    }

    async fn until_all_served(&self, reader: &mut Connection, value: u64) -> Result<()> {
        for key in 1..=self.burst {
            until_served(reader, key, value).await?;
        }
        Ok(())
    }
}

async fn put(writer: &mut Connection, key: u64, value: u64) -> Result<()> {
    let path = format!("/{CATALOG}/title:{key}");
    let answer =
        writer.ask(Method::PUT, &path, "application/json", format!(r#"{{"value":{value}}}"#).into()).await?;
    if !answer.status.is_success() {
        bail!("the origin answers {}", answer.status);
    }
    Ok(())
}

/// Reads a key until it has a value. The edge may not have heard of the key before.
async fn until_served(reader: &mut Connection, key: u64, value: u64) -> Result<()> {
    let wanted = format!(r#"{{"value":{value}}}"#);
    let end = Instant::now() + LIMIT;
    let path = entry(&format!("title:{key}"));
    while Instant::now() < end {
        let answer = reader.ask(Method::GET, &path, "application/json", Default::default()).await?;
        if answer.body == wanted {
            return Ok(());
        }
    }
    bail!("title:{key} is not served as it was written after {LIMIT:?}")
}

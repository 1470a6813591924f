//! Starts a log on an empty folder, and hands out its followers and publishers.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use super::{CATALOG, Follower, Position, Programs, Publisher, RedisSync, Start, System, Way};
use crate::clients::http::{Connection, TOKEN};
use crate::clients::nats::Nats;
use crate::servers::process::{Process, free_port};
use crate::servers::workerd::{Worker, Workerd};

/// A log that runs.
pub(crate) struct Log {
    pub(crate) system: System,
    pub(crate) port: u16,
    server: Server,
}

/// The process of a log, with the folder that it writes to.
enum Server {
    Workerd(Workerd),
    Other(Process, #[expect(dead_code, reason = "the folder goes when the log goes")] TempDir),
}

impl Log {
    /// Starts a system. The variables are for Newsreel alone.
    pub(crate) async fn start(
        system: &System,
        programs: &Programs,
        vars: &[(&'static str, String)],
    ) -> Result<Self> {
        let (server, port) = match system {
            System::Newsreel(_, folder) => {
                let mut worker = newsreel(folder);
                worker.vars.extend_from_slice(vars);
                on_workerd(programs, &worker).await?
            }
            System::Object(form) => {
                let vars = form.vars();
                let modules = vec![programs.peers.join("log.mjs")];
                on_workerd(programs, &Worker { modules, classes: vec!["Log"], vars, ..Worker::default() })
                    .await?
            }
            System::Redis { sync } => redis(programs, *sync).await?,
            System::Nats => nats(programs).await?,
            System::Baseline(_) => bail!("{} has no log", system.name()),
        };
        Ok(Self { system: system.clone(), port, server })
    }

    pub(crate) fn process(&self) -> &Process {
        match &self.server {
            Server::Workerd(workerd) => &workerd.process,
            Server::Other(process, _) => process,
        }
    }

    /// Connects a follower.
    pub(crate) async fn follow(&self, start: &Start) -> Result<Follower> {
        Follower::open(&self.system, self.port, start).await
    }

    /// Connects a publisher.
    pub(crate) async fn publisher(&self, way: Way) -> Result<Publisher> {
        Publisher::open(&self.system, self.port, way).await
    }

    /// Returns the position of the head, to resume from.
    pub(crate) async fn position(&self) -> Result<Position> {
        if !self.system.is_worker() {
            return Ok(Position { query: String::new() });
        }
        let mut connection = Connection::open(self.port).await?;
        let status = connection.get(&format!("/v1/catalogs/{CATALOG}")).await?.json()?;
        let text = |field: &str| status.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let query = match *text("position").split(':').collect::<Vec<_>>() {
            [epoch, version, hash] => format!("epoch={epoch}&version={version}&hash={hash}"),
            _ => format!("version={}", status.get("version").and_then(Value::as_u64).unwrap_or(0)),
        };
        Ok(Position { query })
    }
}

/// Newsreel's Worker with the tokens of the benchmark.
pub(crate) fn newsreel(folder: &std::path::Path) -> Worker {
    let tokens = format!("bench={TOKEN}");
    Worker {
        modules: vec![folder.join("index.js"), folder.join("index_bg.wasm")],
        classes: vec!["Broker", "Replica"],
        vars: vec![
            ("EDGE", "bench".to_owned()),
            ("PUBLISH_TOKENS", tokens.clone()),
            ("FOLLOW_TOKENS", tokens.clone()),
        ],
        ..Worker::default()
    }
}

async fn on_workerd(programs: &Programs, worker: &Worker) -> Result<(Server, u16)> {
    let workerd = Workerd::start(&programs.workerd, worker).await?;
    let port = workerd.port;
    Ok((Server::Workerd(workerd), port))
}

async fn redis(programs: &Programs, sync: RedisSync) -> Result<(Server, u16)> {
    let (folder, port) = (TempDir::with_prefix("newsreel-bench-")?, free_port()?);
    let program = programs.redis.as_ref().context("redis-server is not installed")?;
    let sync = match sync {
        RedisSync::EverySecond => "everysec",
        RedisSync::Always => "always",
    };
    let mut command = Command::new(program);
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "yes"]);
    command
        .args(["--appendfsync", sync, "--client-output-buffer-limit", "pubsub 0 0 0", "--dir"])
        .arg(folder.path());
    let process = Process::start(&mut command, port).await?;
    Ok((Server::Other(process, folder), port))
}

async fn nats(programs: &Programs) -> Result<(Server, u16)> {
    let (folder, port) = (TempDir::with_prefix("newsreel-bench-")?, free_port()?);
    let program = programs.nats.as_ref().context("nats-server is not installed")?;
    let mut command = Command::new(program);
    command
        .args(["--addr", "127.0.0.1", "--port", &port.to_string(), "--jetstream", "--store_dir"])
        .arg(folder.path());
    let process = Process::start(command.stderr(Stdio::null()), port).await?;
    Nats::open(port).await?.create_stream().await?;
    Ok((Server::Other(process, folder), port))
}

//! The command line of the load generator. `scripts/bench` gives it the paths.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;

use crate::systems::{Baseline, Form, Programs, RedisSync, System};

/// Runs Newsreel beside its peers on this machine, on loopback, and prints what each took.
#[derive(Parser)]
pub(crate) struct Options {
    /// The path of workerd.
    #[arg(long)]
    workerd: PathBuf,
    /// The folder with the peers' Workers.
    #[arg(long)]
    peers: PathBuf,
    /// The path of redis-server; without it Redis is left out.
    #[arg(long)]
    redis: Option<PathBuf>,
    /// The path of nats-server; without it NATS is left out.
    #[arg(long)]
    nats: Option<PathBuf>,
    /// The path of the command newsreel, which has the sample origin.
    #[arg(long)]
    command: Option<PathBuf>,
    /// A build of Newsreel, as NAME=FOLDER. The first is what ratios are of.
    #[arg(long, required = true, value_parser = named_folder)]
    newsreel: Vec<(String, PathBuf)>,
    /// Runs the builds of Newsreel alone.
    #[arg(long)]
    no_peers: bool,
    /// The short form: fewer workloads, less time for each.
    #[arg(long)]
    pub(crate) quick: bool,
    /// How often each system runs each workload, in turn.
    #[arg(long)]
    rounds: Option<usize>,
    /// The commit of the first build.
    #[arg(long, default_value = "unknown")]
    pub(crate) commit: String,
    /// Runs only workloads whose section or name contains this text, in any case.
    #[arg(long)]
    pub(crate) only: Option<String>,
    /// Writes the document and its plots into this folder.
    #[arg(long)]
    pub(crate) write: Option<PathBuf>,
}

impl Options {
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 1 } else { 3 }).max(1)
    }

    pub(crate) fn programs(&self) -> Programs {
        Programs {
            workerd: self.workerd.clone(),
            peers: self.peers.clone(),
            redis: self.redis.clone(),
            nats: self.nats.clone(),
            command: self.command.clone(),
        }
    }

    /// Returns the systems to run, Newsreel first, and names those that are left out because they are not installed.
    pub(crate) fn systems(&self) -> (Vec<System>, Vec<&'static str>) {
        let builds = self.newsreel.iter().cloned();
        let mut systems: Vec<System> = builds.map(|(name, folder)| System::Newsreel(name, folder)).collect();
        let mut absent = Vec::new();
        if self.no_peers {
            return (systems, absent);
        }
        systems.extend(Form::ALL.map(System::Object));
        match self.redis {
            Some(_) => {
                systems.extend([RedisSync::EverySecond, RedisSync::Always].map(|sync| System::Redis { sync }))
            }
            None => absent.push("redis-server"),
        }
        match self.nats {
            Some(_) => systems.push(System::Nats),
            None => absent.push("nats-server"),
        }
        systems.extend(Baseline::ALL.map(System::Baseline));
        (systems, absent)
    }
}

fn named_folder(text: &str) -> anyhow::Result<(String, PathBuf)> {
    let (name, folder) = text.split_once('=').with_context(|| format!("{text} is not NAME=FOLDER"))?;
    Ok((name.to_owned(), folder.into()))
}

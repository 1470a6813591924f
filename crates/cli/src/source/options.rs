//! The flags that every source has.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::metrics_server;

/// Flags of every source.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SourceOptions {
    /// The mapping file: which keys, tags and prefixes a row is called.
    #[arg(long, env = "NEWSREEL_MAP", value_name = "FILE", required = true)]
    pub(crate) map: Option<PathBuf>,
    /// How many connections in a row may fail before the command ends, with exit code 6; 0 is any number.
    #[arg(long, env = "NEWSREEL_MAX_FAILURES", default_value_t = 60, value_name = "N")]
    pub(crate) max_failures: u32,
    /// Serve metrics for Prometheus at /metrics, and /healthz. A port alone is one of 127.0.0.1.
    #[arg(long, env = "NEWSREEL_METRICS", value_name = "ADDRESS", value_parser = metrics_server::address)]
    pub(crate) metrics: Option<SocketAddr>,
    /// How often what was published is told on stderr, with the delays, if anything was; 0 is never.
    #[arg(long, env = "NEWSREEL_REPORT_EVERY_S", default_value_t = 60, value_name = "S")]
    pub(crate) report_every_s: u64,
    /// How often the deployment is told how late this source is, for its alerts; 0 is never.
    #[arg(long, env = "NEWSREEL_TELL_EVERY_S", default_value_t = 60, value_name = "S")]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub(crate) tell_every_s: u64,
    /// The name that alerts have for this source [default: its kind, with its slot, group, or state].
    #[arg(long, env = "NEWSREEL_SOURCE_NAME", value_name = "NAME")]
    pub(crate) source_name: Option<String>,
}

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
}

//! The flags of `newsreel verify`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use reqwest::Url;

use crate::http;
use crate::metrics_server;

/// The command's own flags.
#[derive(clap::Args)]
pub(crate) struct VerifyOptions {
    /// An edge to read at, as URL or NAME=URL. May be repeated, or a list with commas. By default the address of --broker.
    #[arg(long = "edge", env = "NEWSREEL_EDGES", value_name = "URL", value_delimiter = ',')]
    pub(super) edges: Vec<EdgeAddress>,
    /// The origin: an address that is asked as the edges ask it, `GET URL/CATALOG/KEY`, or one with `{key}` in it, and with
    /// `{catalog}` if need be.
    #[arg(long, env = "NEWSREEL_ORIGIN", default_value = "http://127.0.0.1:8788", value_name = "URL")]
    pub(super) origin: String,
    /// A command that prints the true value of a key on stdout, in place of --origin: words with `{key}` and `{catalog}` in
    /// them, run without a shell. Exit code 0 is a value, 4 is that there is none, any other that nothing can be said. Tags
    /// are not known then, so a change of a tag is not checked.
    #[arg(long, env = "NEWSREEL_TRUTH", value_name = "COMMAND")]
    pub(super) truth: Option<String>,
    /// Keys that are there: one a line, plain or as JSON such as {"key":"title:1"}. Which of them a tag covers, the origin
    /// says. Keys that the log names are learned by themselves.
    #[arg(long, env = "NEWSREEL_KEYS", value_name = "FILE")]
    pub(super) keys: Option<PathBuf>,
    /// Learn so many keys from the origin's hot list, at the start and every 10 minutes; 0 is none.
    #[arg(long, env = "NEWSREEL_HOT", default_value_t = 0, value_name = "N")]
    pub(super) hot: u32,
    /// How long after a change its keys are read, at each edge.
    #[arg(long, env = "NEWSREEL_AFTER", value_name = "TIME", value_delimiter = ',', value_parser = duration)]
    #[arg(default_values = ["0.1s", "1s", "10s", "60s"])]
    pub(super) after: Vec<Duration>,
    /// Stop after this time; by default on Ctrl-C.
    #[arg(long = "for", env = "NEWSREEL_FOR", value_name = "TIME", value_parser = duration)]
    pub(super) run_for: Option<Duration>,
    /// The most changed keys to check in a second, by chance if there are more. Each is read once at every edge, and asked of
    /// the origin once or twice, at every time of --after.
    #[arg(long, env = "NEWSREEL_RATE", default_value_t = 5, value_name = "KEYS")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) rate: u32,
    /// The most known keys to check in a second though nothing changed; 0 is none. Only so is a change found that was never
    /// published.
    #[arg(long, env = "NEWSREEL_SWEEP", default_value_t = 1, value_name = "KEYS")]
    pub(super) sweep: u32,
    /// How long the publish of a change may come after its value is to be read at the origin, before that is a fault.
    #[arg(long, env = "NEWSREEL_SETTLE", default_value = "5s", value_name = "TIME", value_parser = duration)]
    pub(super) settle: Duration,
    /// Check only keys of this class. May be repeated, or a list with commas.
    #[arg(long = "class", env = "NEWSREEL_CLASS", value_name = "CLASS", value_delimiter = ',')]
    pub(super) classes: Vec<String>,
    /// The deployment's wrangler.toml, whose policies are the bounds; by default the bounds of a deployment without a POLICY.
    #[arg(long, env = "NEWSREEL_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The environment of --config.
    #[arg(long, env = "NEWSREEL_ENV", value_name = "NAME", requires = "config")]
    pub(super) env: Option<String>,
    /// Publish a key again when its answer is wrong, at most once a minute. The token must allow it.
    #[arg(long, env = "NEWSREEL_REPAIR", value_parser = BoolishValueParser::new())]
    pub(super) repair: bool,
    /// Print one JSON object for each wrong answer, and one of the report at the end.
    #[arg(long, env = "NEWSREEL_JSON", value_parser = BoolishValueParser::new())]
    pub(super) json: bool,
    /// Exit with code 7 if less than this share of the reads was consistent, in percent, in place of for any wrong answer.
    #[arg(long, env = "NEWSREEL_FAIL_UNDER", value_name = "PERCENT", requires = "by")]
    pub(super) fail_under: Option<f64>,
    /// The time of --after that --fail-under is about.
    #[arg(long, env = "NEWSREEL_BY", value_name = "TIME", value_parser = duration, requires = "fail_under")]
    pub(super) by: Option<Duration>,
    /// The name that the broker lists this follower under.
    #[arg(long, env = "NEWSREEL_NAME", default_value = "verify")]
    pub(super) name: String,
    /// Serve metrics for Prometheus at /metrics, and /healthz. A port alone is one of 127.0.0.1.
    #[arg(long, env = "NEWSREEL_METRICS", value_name = "ADDRESS", value_parser = metrics_server::address)]
    pub(super) metrics: Option<SocketAddr>,
    /// How often the state is told on stderr; 0 is never.
    #[arg(long, env = "NEWSREEL_REPORT_EVERY_S", default_value_t = 10, value_name = "S")]
    pub(super) report_every_s: u64,
}

/// An edge: its name in the report, and its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EdgeAddress {
    pub(super) name: String,
    pub(super) url: Url,
}

impl EdgeAddress {
    /// Returns the edge at an address, named for its host.
    pub(super) fn at(url: Url) -> Self {
        let host = url.host_str().unwrap_or_default();
        let name = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Self { name, url }
    }
}

impl FromStr for EdgeAddress {
    type Err = http::AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, url)) if !name.contains("://") => {
                Ok(Self { name: name.to_owned(), url: http::server(url)? })
            }
            _ => Ok(Self::at(http::server(text)?)),
        }
    }
}

/// A text that is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write a time such as 0.1s, 500ms, 10m or 1h")]
pub(crate) struct DurationError;

/// Reads a length of time; a bare number is one of seconds.
fn duration(text: &str) -> Result<Duration, DurationError> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.strip_prefix(digits).unwrap_or_default() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(DurationError),
    };
    let number: f64 = digits.parse().map_err(|_| DurationError)?;
    Duration::try_from_secs_f64(number * unit).map_err(|_| DurationError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_or_is_one_of_seconds() {
        for (text, millis) in
            [("0.1s", 100), ("500ms", 500), ("2", 2_000), ("10m", 600_000), ("1h", 3_600_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "s", "-1s", "1 s", "1d", "soon"] {
            assert_eq!(duration(bad), Err(DurationError), "{bad}");
        }
    }

    #[test]
    fn an_edge_has_a_name_of_its_own_or_that_of_its_host() {
        let name = |text: &str| text.parse::<EdgeAddress>().map(|edge| edge.name);
        assert_eq!(name("https://fra.example"), Ok("fra.example".to_owned()));
        assert_eq!(name("http://127.0.0.1:8787"), Ok("127.0.0.1:8787".to_owned()));
        assert_eq!(name("fra=https://example/?a=b"), Ok("fra".to_owned()));
        assert!(name("fra=nowhere").is_err() && name("").is_err());
    }
}

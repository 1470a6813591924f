//! `newsreel source redis`: from a message of Redis to a version of the log, by streams and by Pub/Sub.
//!
//! `connect` finds the server, be it one, a cluster or behind sentinels. `lease` and `reader` read a stream, `scripts`
//! are the steps that Redis takes at once, and `acks` acknowledges what is durable. `channels` hears Pub/Sub. `session` is
//! the loop that makes publishes of both by the mapping, `dead` keeps what cannot be mapped, and `status` shows it all.

mod acks;
mod channels;
mod connect;
mod dead;
mod event;
mod metrics;
mod names;
mod options;
mod origin;
mod reader;
mod scripts;
mod session;
mod status;

pub(crate) use options::{EXAMPLES, RedisOptions};

use std::path::Path;

use newsreel_mapping::Mapping;
use newsreel_mapping::pattern::is_pattern;

use crate::broker::BrokerOptions;
use crate::exit::Failure;
use crate::map;
use connect::Server;
use options::RedisCommand;

/// The streams and channels that a source reads.
#[derive(Debug, Clone, Default)]
struct Inputs {
    streams: Vec<String>,
    channels: Vec<String>,
    patterns: Vec<String>,
}

impl Inputs {
    /// Returns what the flags name; without any, what the mapping names: a pattern is one of channels, and any other
    /// name a stream.
    fn of(options: &RedisOptions, mapping: Option<&Mapping>) -> Self {
        let named = Self {
            streams: options.streams.clone(),
            channels: options.channels.clone(),
            patterns: options.patterns.clone(),
        };
        let (Some(mapping), true) = (mapping, named.is_empty()) else { return named };
        let mut inputs = Self::default();
        for rule in &mapping.rules {
            let names = if is_pattern(rule.from()) { &mut inputs.patterns } else { &mut inputs.streams };
            if !names.iter().any(|name| name == rule.from()) {
                names.push(rule.from().to_owned());
            }
        }
        inputs
    }

    fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.channels.is_empty() && self.patterns.is_empty()
    }
}

/// Publishes until it is asked to stop, or does what the command below says.
pub(crate) async fn run(options: RedisOptions, mut broker: BrokerOptions) -> Result<(), Failure> {
    let server = Server::of(&options.server)?;
    let mapping = options.shared.map.as_deref().map(|path: &Path| map::mapping(path)).transpose()?;
    let inputs = Inputs::of(&options, mapping.as_ref());
    if let Some(RedisCommand::Status(status)) = &options.command {
        return status::show(&options, &server, &inputs, status.json).await;
    }
    let mapping = mapping.ok_or_else(|| Failure::Input("give the mapping with --map".to_owned()))?;
    if let Some(catalog) = &mapping.catalog {
        broker.catalog = catalog.clone();
    }
    session::follow(&options, &server, &inputs, &mapping, broker).await
}

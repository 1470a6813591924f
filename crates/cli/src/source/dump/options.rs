//! The flags about dumps: their names and form, when they are read, and how much of a catalogue may go at once.

use std::time::Duration;

use clap::builder::BoolishValueParser;
use newsreel_mapping::Mapping;

use super::Format;
use super::place::Naming;
use crate::exit::Failure;
use crate::source::snapshot::{Guard, Initial, MaxRemoved};

/// Flags about dumps.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DumpOptions {
    /// The `from` of the mapping that all rows are of [default: the only one that there is, or the one that the file's
    /// name begins with].
    #[arg(long = "as", env = "NEWSREEL_AS", value_name = "NAME", conflicts_with = "from_field")]
    name: Option<String>,
    /// The field of each row that names the `from` that it is of. Such a dump has all rows of every `from`.
    #[arg(long, env = "NEWSREEL_FROM_FIELD", value_name = "FIELD")]
    pub(crate) from_field: Option<String>,
    /// The form of the dump. Compression is told by the first bytes in any case.
    #[arg(long, env = "NEWSREEL_FORMAT", value_enum, default_value_t = Format::Auto)]
    pub(crate) format: Format,
    /// How many rows of a `from` may go at once: a part of them (20%), a number (500), or the greater of both. A dump of
    /// which more are gone is refused as a whole.
    #[arg(long, env = "NEWSREEL_MAX_REMOVED", default_value = "20%,100", value_name = "PART")]
    max_removed: MaxRemoved,
    /// Let any number of rows go.
    #[arg(long, env = "NEWSREEL_ALLOW_REMOVALS", value_parser = BoolishValueParser::new())]
    allow_removals: bool,
    /// What the first dump publishes, with nothing known of an earlier one: all that the mapping covers, each row, or
    /// nothing.
    #[arg(long, env = "NEWSREEL_INITIAL", value_enum, default_value_t = Initial::Wide)]
    pub(crate) initial: Initial,
    /// How long a file must stay as it is before it is read.
    #[arg(long, env = "NEWSREEL_QUIET_MS", default_value_t = 1_000, value_name = "MS")]
    quiet_ms: u64,
    /// How often a file or a folder is looked at.
    #[arg(long, env = "NEWSREEL_POLL_MS", default_value_t = 1_000, value_name = "MS")]
    #[arg(value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    poll_ms: u64,
}

impl DumpOptions {
    /// Returns how long a file must stay as it is.
    pub(crate) fn quiet(&self) -> Duration {
        Duration::from_millis(self.quiet_ms)
    }

    /// Returns how often a file or a folder is looked at.
    pub(crate) fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms)
    }

    /// Returns the judgement of dumps.
    pub(crate) fn guard(&self) -> Guard {
        Guard { most: self.max_removed, allow_removals: self.allow_removals }
    }

    /// Returns how dumps are named by the mapping.
    ///
    /// # Errors
    /// If the mapping has no row, or none of the given name.
    pub(crate) fn naming(&self, mapping: &Mapping) -> Result<Naming, Failure> {
        let mut mapped: Vec<String> = Vec::new();
        for rule in &mapping.rules {
            if !mapped.iter().any(|name| name == rule.from()) {
                mapped.push(rule.from().to_owned());
            }
        }
        let wrong = match &self.name {
            Some(name) if !mapped.contains(name) => Some(format!("--as {name:?}: ")),
            Some(_) | None if mapped.is_empty() => Some(String::new()),
            Some(_) | None => None,
        };
        if let Some(wrong) = wrong {
            let text = format!("{wrong}the mapping maps {}", listed(&mapped));
            return Err(Failure::Input(text));
        }
        Ok(Naming { mapped, given: self.name.clone(), of_each_row: self.from_field.is_some() })
    }
}

/// Returns names as a message lists them.
pub(crate) fn listed(names: &[String]) -> String {
    if names.is_empty() { "no rows: write [[map]]".to_owned() } else { names.join(", ") }
}

//! The hooks of a deployment: which webhooks are taken, how each proves its sender, and what its messages publish.
//!
//! A declaration is a table of `wrangler.toml`, `[vars.HOOKS.<name>]`. A secret is declared by its name alone. Crate
//! `newsreel-hooks` verifies signatures and reads the mapping; nothing here does.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::wire::name::Catalog;

mod fields;
mod scheme;
#[cfg(test)]
mod tests;

pub use scheme::{Encoding, HashName, HmacScheme, Scheme, SignedPart};

/// The name of the hook whose mapping reads CloudEvents and Debezium's envelopes at the publish address itself.
pub const PUBLISH_HOOK: &str = "changes";
/// How far the signed time of a message may be from now, unless the declaration says otherwise.
pub const DEFAULT_WINDOW: Duration = Duration::from_secs(300);
/// The longest such window, in seconds: a day.
pub const MAX_WINDOW_S: u64 = 86_400;
/// The longest name of a hook, in bytes.
pub const MAX_HOOK_BYTES: usize = 64;
/// The most hooks of a deployment.
pub const MAX_HOOKS: usize = 256;
/// The most secrets of a hook: two during a rotation, and room for more.
pub const MAX_SECRETS: usize = 8;

/// The hooks of a deployment, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hooks {
    hooks: BTreeMap<String, Hook>,
}

/// One declared webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The name, as the address has it.
    pub name: String,
    /// How a request proves its sender.
    pub scheme: Scheme,
    /// The names of the secrets, any of which may have signed.
    pub secrets: Vec<String>,
    /// The only catalog that is published to; `None` for every catalog of the deployment.
    pub catalog: Option<Catalog>,
    /// How far the signed time of a message may be from now.
    pub window: Duration,
    /// Where the message's id stands, if not where the scheme has it.
    pub id: Option<IdPlace>,
    /// What a message publishes.
    pub mapping: MappingSource,
}

/// The place of a message's id in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdPlace {
    /// A header of the request.
    Header(String),
    /// A JSON pointer into the body.
    Pointer(String),
}

/// A mapping as it is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MappingSource {
    /// The text of a mapping file.
    Text(String),
    /// The tables of `[[vars.HOOKS.<name>.map]]`.
    Tables(Vec<Map<String, Value>>),
}

/// Declarations that cannot be read: every mistake, each with its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct HooksError(pub Vec<String>);

impl Hooks {
    /// Reads the value of `HOOKS`: a table with a table for each hook, or the JSON of one.
    ///
    /// # Errors
    /// [`HooksError`] has every mistake, each with its place.
    pub fn read(given: Option<&Value>) -> Result<Self, HooksError> {
        let mut mistakes = Vec::new();
        let mut hooks = BTreeMap::new();
        for (name, declared) in tables(given, &mut mistakes) {
            hooks.extend(fields::hook(&name, &declared, &mut mistakes).map(|hook| (name, hook)));
        }
        if hooks.len() > MAX_HOOKS {
            mistakes.push(format!("HOOKS has {} hooks, and at most {MAX_HOOKS} are taken", hooks.len()));
        }
        if mistakes.is_empty() { Ok(Self { hooks }) } else { Err(HooksError(mistakes)) }
    }

    /// Returns the hook of a name, if it publishes to a catalog.
    #[must_use]
    pub fn of(&self, name: &str, catalog: &Catalog) -> Option<&Hook> {
        self.hooks.get(name).filter(|hook| hook.catalog.as_ref().is_none_or(|only| only == catalog))
    }

    /// Returns every hook, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Hook> {
        self.hooks.values()
    }
}

impl Hook {
    /// Returns the name under which the hook publishes. No token of a list has it: a list's name ends before `=`.
    #[must_use]
    pub fn publisher(&self) -> String {
        format!("hook={}", self.name)
    }
}

/// Says whether a text may be the name of a hook.
#[must_use]
pub fn is_hook_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=MAX_HOOK_BYTES).contains(&name.len()) && name.bytes().all(fits)
}

fn tables(given: Option<&Value>, mistakes: &mut Vec<String>) -> Map<String, Value> {
    let none = |mistakes: &mut Vec<String>, why: String| {
        mistakes.push(why);
        Map::new()
    };
    match given {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(tables)) => tables.clone(),
        Some(Value::String(json)) if json.trim().is_empty() => Map::new(),
        Some(Value::String(json)) => serde_json::from_str(json).unwrap_or_else(|why| {
            none(mistakes, format!("HOOKS is a table with a table for each hook, or the JSON of one: {why}"))
        }),
        Some(_) => none(mistakes, "HOOKS is a table: write [vars.HOOKS.<name>]".to_owned()),
    }
}

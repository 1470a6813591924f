//! Wrangler's configuration: TOML, or JSON with comments, and the part of it that a deployment gets.

use std::path::Path;

use serde_json::{Map, Value};

use crate::exit::Failure;
use crate::input;

/// Why a file is no configuration of a deployment.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfigError {
    /// The file is not JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// The file is not TOML.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// The file holds something else than a table.
    #[error("the file is no table")]
    NoTable,
    /// The environment does not stand in the file.
    #[error(
        "there is no [env.{name}]: write one, or give --env one of the environments in the file ({there})"
    )]
    NoEnvironment {
        /// The environment that was asked for.
        name: String,
        /// The environments in the file, with commas.
        there: String,
    },
}

/// The part of the file that concerns one deployment.
pub(crate) struct DeploymentFile {
    /// The variables of the deployment.
    pub(crate) vars: Map<String, Value>,
    /// Its own table: that of the environment, or the whole file.
    own: Map<String, Value>,
    /// The whole file, for the fields that an environment inherits.
    root: Map<String, Value>,
    /// The environment, as it is called in the file.
    pub(super) env: Option<String>,
}

impl DeploymentFile {
    /// Reads a file and picks an environment of it.
    pub(crate) fn read(path: &Path, env: Option<&str>) -> Result<Self, Failure> {
        let wrong = |why: ConfigError| Failure::Input(format!("{}: {why}", path.display()));
        let text = input::text(path)?;
        let is_json = path.extension().is_some_and(|ending| ending == "json" || ending == "jsonc");
        let root: Result<Value, ConfigError> = if is_json {
            serde_json::from_str(&without_comments(&text)).map_err(ConfigError::from)
        } else {
            toml::from_str(&text).map_err(ConfigError::from)
        };
        let root = root.map_err(wrong)?;
        Self::pick(root, env).map_err(wrong)
    }

    /// Picks an environment. Wrangler lets one inherit neither variables nor bindings.
    pub(super) fn pick(root: Value, env: Option<&str>) -> Result<Self, ConfigError> {
        let Value::Object(root) = root else { return Err(ConfigError::NoTable) };
        let own = match env {
            None => root.clone(),
            Some(name) => {
                let all = root.get("env").and_then(Value::as_object);
                let named = all.and_then(|all| all.get(name)).and_then(Value::as_object);
                named.cloned().ok_or_else(|| {
                    let names: Vec<&str> = all.into_iter().flat_map(Map::keys).map(String::as_str).collect();
                    let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                    ConfigError::NoEnvironment { name: name.to_owned(), there }
                })?
            }
        };
        let vars = own.get("vars").and_then(Value::as_object).cloned().unwrap_or_default();
        Ok(Self { vars, own, root, env: env.map(str::to_owned) })
    }

    /// Returns the bindings of a kind.
    pub(super) fn bindings(&self, kind: &str) -> Vec<&Map<String, Value>> {
        let bindings = match self.own.get(kind) {
            // Durable Objects have theirs one table deeper.
            Some(Value::Object(table)) => table.get("bindings"),
            other => other,
        };
        bindings.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object).collect()
    }

    /// Returns the producers or the consumers of queues.
    pub(super) fn queues(&self, kind: &str) -> Vec<&Map<String, Value>> {
        let all = self.own.get("queues").and_then(|queues| queues.get(kind)).and_then(Value::as_array);
        all.into_iter().flatten().filter_map(Value::as_object).collect()
    }

    /// Says whether anything is scheduled. This an environment inherits.
    pub(super) fn is_scheduled(&self) -> bool {
        self.crons().next().is_some()
    }

    /// Says whether a cron trigger is among those of this deployment.
    pub(super) fn is_scheduled_at(&self, cron: &str) -> bool {
        self.crons().filter_map(Value::as_str).any(|one| one.split_whitespace().eq(cron.split_whitespace()))
    }

    fn crons(&self) -> impl Iterator<Item = &Value> {
        let triggers = self.own.get("triggers").or_else(|| self.root.get("triggers"));
        let crons = triggers.and_then(|triggers| triggers.get("crons")).and_then(Value::as_array);
        crons.into_iter().flatten()
    }

    /// Returns the name of a table of this deployment in TOML: `vars`, or `env.staging.vars`.
    pub(super) fn table(&self, name: &str) -> String {
        self.env.as_ref().map_or_else(|| name.to_owned(), |env| format!("env.{env}.{name}"))
    }
}

/// Takes the comments, and the commas before an end, out of JSON as Wrangler reads it.
fn without_comments(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let length = match next {
            '"' => string_length(rest),
            '/' if rest.starts_with("//") => {
                rest = rest.split_once('\n').map_or("", |(_, after)| after);
                plain.push('\n');
                continue;
            }
            '/' if rest.starts_with("/*") => {
                rest = rest.split_once("*/").map_or("", |(_, after)| after);
                continue;
            }
            ']' | '}' => {
                let kept = plain.trim_end();
                let kept = kept.strip_suffix(',').unwrap_or(kept).len();
                plain.truncate(kept);
                1
            }
            other => other.len_utf8(),
        };
        let (taken, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        plain.push_str(taken);
        rest = after;
    }
    plain
}

/// Returns the bytes of the string that a text begins with, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, letter)| {
        let ends = *letter == '"' && !escaped;
        escaped = *letter == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_may_have_comments_and_commas_before_an_end() {
        let text = "{ // one\n \"a\": \"x // \\\" /* y\", /* two\n */ \"b\": [1, 2,], }";
        let read: Value = serde_json::from_str(&without_comments(text)).unwrap();
        assert_eq!(read, serde_json::json!({ "a": "x // \" /* y", "b": [1, 2] }));
        assert_eq!(without_comments("\"open"), "\"open");
    }

    #[test]
    fn an_environment_inherits_neither_variables_nor_bindings() {
        let root: Value = toml::from_str(
            "kv_namespaces = [{ binding = 'ENTRIES', id = 'x' }]
             triggers = { crons = ['0 4 * * *'] }
             vars = { EDGE = 'a' }
             [env.staging.vars]
             KV_TENDER = 'b'
             [[env.staging.durable_objects.bindings]]
             name = 'BROKER'",
        )
        .unwrap();
        let all = DeploymentFile::pick(root.clone(), None).unwrap();
        assert_eq!((all.bindings("kv_namespaces").len(), all.vars.len()), (1, 1));
        let staging = DeploymentFile::pick(root.clone(), Some("staging")).unwrap();
        assert!(staging.vars.contains_key("KV_TENDER") && !staging.vars.contains_key("EDGE"));
        assert_eq!(staging.bindings("kv_namespaces").len(), 0);
        assert_eq!(staging.bindings("durable_objects").len(), 1);
        assert!(staging.is_scheduled());
        let why = DeploymentFile::pick(root, Some("prod")).err().unwrap().to_string();
        assert!(why.contains("no [env.prod]") && why.contains("(staging)"), "{why}");
    }
}

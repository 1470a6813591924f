//! The kinds of values that variables have: how each is read, and how its rule and its default are worded.

use serde_json::{Value, json};
use url::Url;

use super::VariableError;
use crate::access::cors::Origins;
use crate::access::hooks::Hooks;
use crate::alerts::{AlertSettings, Receiver, receivers};
use crate::read::policy::{Override, Policies};
use crate::wire::name::Catalog;
use crate::wire::query::MAX_FOLLOWER_NAME_BYTES;

/// How the value of a variable is read.
pub trait Kind {
    /// The value as the Worker uses it.
    type Value;

    /// Reads what a deployment gives under `name`. An absent value and an empty text stand for the default.
    ///
    /// # Errors
    /// [`VariableError`] names the variable and says which values are taken.
    fn read(&self, name: &'static str, given: Option<&Value>) -> Result<Self::Value, VariableError>;

    /// Returns the values that are taken, in words that follow "is".
    fn expected(&self) -> String;

    /// Returns the default as it would be written; empty if an absent variable stands for nothing that can be
    /// written.
    fn default_text(&self) -> String {
        String::new()
    }

    /// Returns the default in words.
    fn default_words(&self) -> String;

    /// Returns the values that are taken as a JSON Schema, for editors of `wrangler.toml` and `wrangler.jsonc`.
    /// A text that the schema takes may still break a rule that [`Kind::read`] knows.
    fn schema(&self) -> Value {
        json!({ "type": "string" })
    }
}

/// A whole number within bounds.
#[derive(Debug, Clone, Copy)]
pub struct Number {
    /// The value of an absent variable.
    pub default: u64,
    /// The least value that is taken.
    pub min: u64,
    /// The greatest value that is taken; `u64::MAX` if there is no bound.
    pub max: u64,
    /// The unit of the number.
    pub unit: Unit,
}

/// The unit of a number, for the words of its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A time, counted in milliseconds.
    Milliseconds,
    /// A size, counted in bytes.
    Bytes,
    /// Things that the meaning of the variable names.
    Items,
    /// Calls in a second; 0 is no limit.
    PerSecond,
}

/// The address of a server, without the slash at its end; nothing if absent.
#[derive(Debug, Clone, Copy)]
pub struct Address {
    /// The meaning of an absent address, in words.
    pub default: &'static str,
}

/// The name of an edge; nothing if absent.
#[derive(Debug, Clone, Copy)]
pub struct EdgeName {
    /// The meaning of an absent name, in words.
    pub default: &'static str,
}

/// Names of catalogs with commas between them.
#[derive(Debug, Clone, Copy)]
pub struct CatalogList {
    /// The meaning of an empty list, in words.
    pub default: &'static str,
}

/// A schedule as a cron trigger of `wrangler.toml` has it: five fields.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// The schedule of an absent variable.
    pub default: &'static str,
}

/// Origins of web pages with commas between them.
#[derive(Debug, Clone, Copy)]
pub struct OriginList {}

/// A switch: the value is `true` or `false`.
#[derive(Debug, Clone, Copy)]
pub struct Switch {
    /// The value of an absent variable.
    pub default: bool,
}

/// A table of policies, a table for each class; or the JSON of one in a text.
#[derive(Debug, Clone, Copy)]
pub struct PolicyTable {}

/// A table of hooks, a table for each; or the JSON of one in a text.
#[derive(Debug, Clone, Copy)]
pub struct HookTable {}

/// A table of the rules of alerts.
#[derive(Debug, Clone, Copy)]
pub struct AlertTable {}

/// A list of receivers of alerts.
#[derive(Debug, Clone, Copy)]
pub struct ReceiverList {}

/// A secret: any text. The value is never repeated in an error.
#[derive(Debug, Clone, Copy)]
pub struct Secret {}

impl Kind for Number {
    type Value = u64;

    fn read(&self, name: &'static str, given: Option<&Value>) -> Result<u64, VariableError> {
        let Some(text) = text(self, name, given)? else { return Ok(self.default) };
        let number = text.parse().ok().filter(|number| (self.min..=self.max).contains(number));
        number.ok_or_else(|| unfit(self, name, given))
    }

    fn expected(&self) -> String {
        match (self.min, self.max) {
            (min, u64::MAX) => format!("a whole number of at least {min}"),
            (min, max) => format!("a whole number from {min} to {max}"),
        }
    }

    fn default_text(&self) -> String {
        self.default.to_string()
    }

    fn default_words(&self) -> String {
        match (self.unit, self.default) {
            (Unit::PerSecond, 0) => "0: no limit".to_owned(),
            (Unit::Milliseconds, millis) => {
                in_units(millis, &[(86_400_000, "days"), (1_000, "s"), (1, "ms")])
            }
            (Unit::Bytes, bytes) => in_units(bytes, &[(1 << 20, "MiB"), (1 << 10, "KiB"), (1, "bytes")]),
            (Unit::Items | Unit::PerSecond, count) => count.to_string(),
        }
    }

    fn schema(&self) -> Value {
        let number = match self.max {
            u64::MAX => json!({ "type": "integer", "minimum": self.min }),
            max => json!({ "type": "integer", "minimum": self.min, "maximum": max }),
        };
        json!({ "anyOf": [number, { "type": "string", "pattern": "^[0-9]+$" }] })
    }
}

impl Kind for Address {
    type Value = Option<String>;

    fn read(&self, name: &'static str, given: Option<&Value>) -> Result<Option<String>, VariableError> {
        let Some(text) = text(self, name, given)? else { return Ok(None) };
        let is_server = |url: &Url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some();
        match Url::parse(&text).ok().filter(is_server) {
            Some(_) => Ok(Some(text.trim_end_matches('/').to_owned())),
            None => Err(unfit(self, name, given)),
        }
    }

    fn expected(&self) -> String {
        "an http or https address".to_owned()
    }

    fn default_words(&self) -> String {
        self.default.to_owned()
    }
}

impl Kind for EdgeName {
    type Value = Option<String>;

    fn read(&self, name: &'static str, given: Option<&Value>) -> Result<Option<String>, VariableError> {
        let Some(text) = text(self, name, given)? else { return Ok(None) };
        // The name goes to the broker as that of a follower.
        let fits = text.len() <= MAX_FOLLOWER_NAME_BYTES && !text.contains(char::is_control);
        if fits { Ok(Some(text)) } else { Err(unfit(self, name, given)) }
    }

    fn expected(&self) -> String {
        format!(
            "the name of an edge, of at most {MAX_FOLLOWER_NAME_BYTES} bytes and without control characters"
        )
    }

    fn default_words(&self) -> String {
        self.default.to_owned()
    }
}

impl Kind for Schedule {
    type Value = String;

    fn read(&self, name: &'static str, given: Option<&Value>) -> Result<String, VariableError> {
        let text = text(self, name, given)?.unwrap_or_else(|| self.default.to_owned());
        if text.split_whitespace().count() == 5 { Ok(text) } else { Err(unfit(self, name, given)) }
    }

    fn expected(&self) -> String {
        "a cron trigger of wrangler.toml, five fields".to_owned()
    }

    fn default_text(&self) -> String {
        self.default.to_owned()
    }

    fn default_words(&self) -> String {
        format!("`{}`", self.default)
    }
}

impl Kind for CatalogList {
    type Value = Vec<Catalog>;

    fn read(&self, name: &'static str, given: Option<&Value>) -> Result<Vec<Catalog>, VariableError> {
        let text = text(self, name, given)?.unwrap_or_default();
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let catalog = |item: &str| {
            Catalog::new(item).map_err(|why| VariableError::Item {
                name,
                expected: CATALOGS_EXPECTED,
                item: item.to_owned(),
                why: format!(" ({why})"),
            })
        };
        items.map(catalog).collect()
    }

    fn expected(&self) -> String {
        CATALOGS_EXPECTED.to_owned()
    }

    fn default_words(&self) -> String {
        self.default.to_owned()
    }
}

const CATALOGS_EXPECTED: &str = "a list of catalogs with commas";

impl Kind for OriginList {
    type Value = Origins;

    fn read(&self, name: &'static str, given: Option<&Value>) -> Result<Origins, VariableError> {
        let text = text(self, name, given)?.unwrap_or_default();
        Origins::parse(&text).map_err(|error| VariableError::Item {
            name,
            expected: ORIGINS_EXPECTED,
            item: error.item,
            why: String::new(),
        })
    }

    fn expected(&self) -> String {
        ORIGINS_EXPECTED.to_owned()
    }

    fn default_words(&self) -> String {
        "no other pages".to_owned()
    }
}

const ORIGINS_EXPECTED: &str =
    "a list with commas of https://host, https://host:port, https://host:* (any port) or * (every page)";

impl Kind for Switch {
    type Value = bool;

    fn read(&self, name: &'static str, given: Option<&Value>) -> Result<bool, VariableError> {
        let Some(text) = text(self, name, given)? else { return Ok(self.default) };
        text.parse().map_err(|_| unfit(self, name, given))
    }

    fn expected(&self) -> String {
        "true or false".to_owned()
    }

    fn default_text(&self) -> String {
        self.default.to_string()
    }

    fn default_words(&self) -> String {
        self.default.to_string()
    }

    fn schema(&self) -> Value {
        json!({ "enum": [true, false, "true", "false"] })
    }
}

impl Kind for PolicyTable {
    type Value = Policies;

    fn read(&self, _name: &'static str, given: Option<&Value>) -> Result<Policies, VariableError> {
        let json = match given {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(json)) => json.clone(),
            Some(table) => table.to_string(),
        };
        Ok(Policies::from_json(&json)?)
    }

    fn expected(&self) -> String {
        "a table with a table for each class".to_owned()
    }

    fn default_words(&self) -> String {
        "the table below".to_owned()
    }

    fn schema(&self) -> Value {
        let class =
            json!({ "type": "object", "additionalProperties": false, "properties": Override::schema() });
        json!({ "anyOf": [{ "type": "object", "additionalProperties": class }, { "type": "string" }] })
    }
}

impl Kind for HookTable {
    type Value = Hooks;

    fn read(&self, _name: &'static str, given: Option<&Value>) -> Result<Hooks, VariableError> {
        Ok(Hooks::read(given)?)
    }

    fn expected(&self) -> String {
        "a table with a table for each hook".to_owned()
    }

    fn default_words(&self) -> String {
        "none".to_owned()
    }

    fn schema(&self) -> Value {
        let hook = json!({ "type": "object", "required": ["scheme"] });
        json!({ "anyOf": [{ "type": "object", "additionalProperties": hook }, { "type": "string" }] })
    }
}

impl Kind for AlertTable {
    type Value = AlertSettings;

    fn read(&self, _name: &'static str, given: Option<&Value>) -> Result<AlertSettings, VariableError> {
        Ok(AlertSettings::read(given)?)
    }

    fn expected(&self) -> String {
        "a table with a table for each rule".to_owned()
    }

    fn default_words(&self) -> String {
        "every rule is on, with its own thresholds".to_owned()
    }

    fn schema(&self) -> Value {
        AlertSettings::schema()
    }
}

impl Kind for ReceiverList {
    type Value = Vec<Receiver>;

    fn read(&self, _name: &'static str, given: Option<&Value>) -> Result<Vec<Receiver>, VariableError> {
        Ok(receivers::read(given)?)
    }

    fn expected(&self) -> String {
        "a list of tables, one for each receiver".to_owned()
    }

    fn default_words(&self) -> String {
        "nobody: alerts are in `GET alerts` and the console".to_owned()
    }

    fn schema(&self) -> Value {
        receivers::schema()
    }
}

impl Kind for Secret {
    type Value = String;

    fn read(&self, _name: &'static str, given: Option<&Value>) -> Result<String, VariableError> {
        Ok(match given {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.trim().to_owned(),
            // A list of keys that was given as a table of wrangler.toml.
            Some(other) => other.to_string(),
        })
    }

    fn expected(&self) -> String {
        "a secret".to_owned()
    }

    fn default_words(&self) -> String {
        "none".to_owned()
    }
}

/// Returns a value as the text that stands for it, trimmed; nothing if it is absent or empty. A number or a
/// boolean without quotes counts as its text.
fn text(
    kind: &impl Kind,
    name: &'static str,
    given: Option<&Value>,
) -> Result<Option<String>, VariableError> {
    let text = match given {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(Value::Bool(switch)) => switch.to_string(),
        Some(Value::Number(number)) => whole(number).unwrap_or_else(|| number.to_string()),
        Some(Value::Array(_) | Value::Object(_)) => return Err(unfit(kind, name, given)),
    };
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// Returns a whole number without its fraction: JavaScript has no other 5.0 than 5, so TOML's 5.0 reaches a
/// Worker as 5.
fn whole(number: &serde_json::Number) -> Option<String> {
    let float = number.as_f64().filter(|_| number.is_f64())?;
    (float.fract() == 0.0).then(|| format!("{float:.0}"))
}

fn unfit(kind: &impl Kind, name: &'static str, given: Option<&Value>) -> VariableError {
    let given = given.map(Value::to_string).unwrap_or_default();
    VariableError::Unfit { name, expected: kind.expected(), given }
}

/// Writes a number in the largest unit that it is a whole number of.
fn in_units(number: u64, units: &[(u64, &str)]) -> String {
    let unit = units.iter().find(|(size, _)| number >= *size && number.is_multiple_of(*size));
    unit.map_or_else(|| number.to_string(), |(size, name)| format!("{} {name}", number / size))
}

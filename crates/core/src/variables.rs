//! The variables, secrets and bindings of a deployment: one table, and the one reader of what a deployment
//! gives.
//!
//! The Worker's halves, `newsreel check-config`, `docs/configuration.md`, the comments of `wrangler.toml`, and
//! the types and the schema of the npm package `newsreel-worker` all go by the table in `table.rs`. To add a variable:
//!
//! 1. Write an entry in `table.rs`: name, kind with default and bounds, the half that reads the value, one
//!    sentence.
//! 2. Read the value where it is needed with [`Settings::read`]; in the Worker, `newsreel_gate::Deployment`
//!    has the settings of an `Env`. A [`VariableError`] becomes a `misconfigured` problem with `?`.
//! 3. Run `UPDATE_DOCS=1 cargo test -p newsreel-cli documents`, which renews the documents.

use serde_json::Value;

use crate::access::hooks::HooksError;
use crate::alerts::receivers::ReceiversError;
use crate::alerts::settings::AlertsError;
use crate::read::policy::{Policies, PolicyError};
use crate::wire::problem::{Code, Problem};

mod bindings;
mod kinds;
mod table;
#[cfg(test)]
mod tests;

pub use bindings::{
    ALERT_BOARD, BINDINGS, BROKER, Binding, BindingKind, COPIES, DEAD_QUEUE_SUFFIX, ENTRIES, HOOK_QUEUE,
    METRICS, REPLICA,
};
pub use kinds::{
    Address, AlertTable, CatalogList, EdgeName, HookTable, Kind, Number, OriginList, PolicyTable,
    ReceiverList, Schedule, Secret, Switch, Unit,
};
pub use table::*;

/// A variable of a deployment. The kind `K` says how its value is read.
#[derive(Debug, Clone, Copy)]
pub struct Variable<K> {
    /// The name, as `wrangler.toml` has it.
    pub name: &'static str,
    /// The half of the Worker that reads the value.
    pub half: Half,
    /// The values that are taken, and the default.
    pub kind: K,
    /// The effect of the value, in sentences for an operator.
    pub meaning: &'static str,
}

/// The half of the Worker that reads a variable or uses a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// The version log and its front door.
    Broker,
    /// The readers of entries, and the replicas that tell them of changes.
    Edge,
    /// The broker and the edge, each for itself.
    Both,
}

/// A value that a variable cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// The value is of another kind, or out of bounds.
    #[error("{name} is {expected}, not {given}")]
    Unfit {
        /// The name of the variable, as `wrangler.toml` has it.
        name: &'static str,
        /// The values that are taken, such as `a whole number from 1 to 6`.
        expected: String,
        /// The value as the deployment gives it, quoted if it is a text.
        given: String,
    },
    /// An item of a list is of another kind than the list.
    #[error("{name} is {expected}, and {item:?} is none{why}")]
    Item {
        /// The name of the variable, as `wrangler.toml` has it.
        name: &'static str,
        /// The lists that are taken, such as `a list of catalogs with commas`.
        expected: &'static str,
        /// The first item that is wrong.
        item: String,
        /// The rule that the item breaks, in brackets; empty if `expected` says it.
        why: String,
    },
    /// A table of policies that cannot be read or cannot be kept.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A table of hooks that cannot be read.
    #[error(transparent)]
    Hooks(#[from] HooksError),
    /// A table of rules that cannot be read.
    #[error(transparent)]
    Alerts(#[from] AlertsError),
    /// A list of receivers that cannot be read.
    #[error(transparent)]
    Receivers(#[from] ReceiversError),
}

impl From<VariableError> for Problem {
    fn from(error: VariableError) -> Self {
        Self::new(Code::Misconfigured, error.to_string())
    }
}

/// The values that a deployment gives to variables: an `Env` in the Worker, the table `vars` in
/// `wrangler.toml`.
pub trait Settings {
    /// Returns the value under a name, as JSON. Wrangler turns TOML's numbers, booleans and tables into those
    /// of JSON.
    fn value(&self, name: &str) -> Option<Value>;

    /// Reads a variable. A variable that is absent or an empty text has its default.
    ///
    /// # Errors
    /// [`VariableError`] names the variable and says which values are taken.
    fn read<K: Kind>(&self, variable: &Variable<K>) -> Result<K::Value, VariableError> {
        variable.read(self.value(variable.name).as_ref())
    }
}

impl Settings for serde_json::Map<String, Value> {
    fn value(&self, name: &str) -> Option<Value> {
        self.get(name).cloned()
    }
}

impl<K: Kind> Variable<K> {
    fn read(&self, given: Option<&Value>) -> Result<K::Value, VariableError> {
        self.kind.read(self.name, given)
    }
}

/// A variable of any kind, for code that goes through the whole table.
pub trait AnyVariable: Sync {
    /// Returns the name of the variable, as `wrangler.toml` has it.
    fn name(&self) -> &'static str;
    /// Returns the half of the Worker that reads the value.
    fn half(&self) -> Half;
    /// Returns the effect of the value, in sentences for an operator.
    fn meaning(&self) -> &'static str;
    /// Returns the values that are taken, such as `a whole number from 1 to 6`.
    fn expected(&self) -> String;
    /// Returns the value that an absent variable stands for, as it would be written; empty if there is none.
    fn default_text(&self) -> String;
    /// Returns what an absent variable stands for, in words.
    fn default_words(&self) -> String;
    /// Returns the values that are taken as a JSON Schema.
    fn schema(&self) -> Value;
    /// Checks a value by the rules of [`Settings::read`].
    ///
    /// # Errors
    /// [`VariableError`] names the variable and says which values are taken.
    fn check(&self, given: &Value) -> Result<(), VariableError>;
}

impl<K: Kind + Sync> AnyVariable for Variable<K> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn half(&self) -> Half {
        self.half
    }

    fn meaning(&self) -> &'static str {
        self.meaning
    }

    fn expected(&self) -> String {
        self.kind.expected()
    }

    fn default_text(&self) -> String {
        self.kind.default_text()
    }

    fn default_words(&self) -> String {
        self.kind.default_words()
    }

    fn schema(&self) -> Value {
        self.kind.schema()
    }

    fn check(&self, given: &Value) -> Result<(), VariableError> {
        self.read(Some(given)).map(drop)
    }
}

/// Checks that the log remembers for longer than any entry may be served.
///
/// # Errors
/// [`VariableError::Policy`] names the class and says what to write.
pub fn check_horizon(policies: &Policies, forget_after_ms: u64) -> Result<(), VariableError> {
    Ok(policies.check_horizon(std::time::Duration::from_millis(forget_after_ms))?)
}

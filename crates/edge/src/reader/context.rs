//! Where a read happens: the deployment, the catalog, the edge; and the replica it asks for floors.

use std::rc::Rc;

use newsreel_core::read::cache::ReadMachine;
use newsreel_core::read::policy::Policy;
use newsreel_core::read::sync::MinVersion;
use newsreel_core::wire::{Catalog, Key};
use worker::Env;

use crate::config::Config;
use crate::protocol::LocalReplica;

/// The circumstances that all reads of a request share.
pub(crate) struct ReadContext {
    pub(crate) env: Env,
    pub(crate) config: Rc<Config>,
    pub(crate) catalog: Catalog,
    pub(crate) edge: String,
    /// The replica in whose object the read happens; `None` in every other isolate.
    pub(crate) replica: Option<Rc<dyn LocalReplica>>,
}

impl ReadContext {
    /// Returns the policy of a key's class.
    pub(crate) fn policy(&self, key: &Key) -> Policy {
        self.config.policies.of(key.class())
    }

    /// Returns a read of a key.
    pub(crate) fn read(&self, key: &Key, at_least: Option<MinVersion>) -> ReadMachine {
        ReadMachine::new(key.clone(), self.policy(key), at_least).with_r2(self.config.has_r2)
    }
}

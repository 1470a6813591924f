//! Where a read happens: the deployment, the catalog, the edge; the replica it asks for floors, and what it asks for a
//! value that no tier has.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use newsreel_core::read::cache::ReadMachine;
use newsreel_core::read::policy::{Policy, ReadPolicy};
use newsreel_core::read::sync::MinVersion;
use newsreel_core::wire::{Catalog, Key};
use worker::Env;
use worker::js_sys::Function;

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
    /// The program that has the values.
    pub(crate) source: Source,
    /// The caller's changes of the policy, for these reads.
    pub(crate) policy: ReadPolicy,
    /// Whether answers carry the tags of their entry.
    pub(crate) sends_tags: bool,
    /// The keys whose turn to fill this request has taken, across isolates.
    pub(crate) turns: RefCell<Vec<Key>>,
    /// The name of this request among all that take turns, once it is asked for ([`ReadContext::holder`]).
    pub(crate) holder: OnceCell<String>,
}

/// The program that has the values, which a read asks when no tier serves.
pub(crate) enum Source {
    /// The deployment's origin, by HTTP.
    Origin,
    /// A function of the caller: given the reader's position, it returns the promise of a response.
    Function(Function),
    /// The caller itself, which gets a lease in place of an answer.
    Lease,
}

impl ReadContext {
    /// Returns the context of reads by the deployment's own origin and policies.
    pub(crate) fn new(env: Env, config: Rc<Config>, catalog: Catalog, edge: String) -> Self {
        let (replica, source, policy) = (None, Source::Origin, ReadPolicy::default());
        let sends_tags = config.send_cache_tag;
        let (turns, holder) = (RefCell::default(), OnceCell::new());
        Self { env, config, catalog, edge, replica, source, policy, sends_tags, turns, holder }
    }

    /// Returns the name of this request among all that take turns.
    pub(crate) fn holder(&self) -> &str {
        self.holder.get_or_init(|| {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes).expect("the runtime gives randomness while it answers a request");
            format!("{:032x}", u128::from_ne_bytes(bytes))
        })
    }

    /// Returns the policy of a key's class.
    pub(crate) fn policy(&self, key: &Key) -> Policy {
        let of_class = self.config.policies.of(key.class());
        // Tiers cannot be asked at once with a caller that only gets a lease.
        let quorum = of_class.quorum && !matches!(self.source, Source::Lease);
        Policy { quorum, ..self.policy.applied_to(of_class) }
    }

    /// Returns a read of a key.
    pub(crate) fn read(&self, key: &Key, at_least: Option<MinVersion>) -> ReadMachine {
        ReadMachine::new(key.clone(), self.policy(key), at_least).with_r2(self.config.has_r2)
    }

    /// Says whether an entry that is served old can be fetched anew behind the answer. The caller's own function is
    /// gone once the caller has its answer, so a caller that wants that asks for it.
    pub(crate) fn can_refresh(&self) -> bool {
        matches!(self.source, Source::Origin)
    }
}

//! The deployment's variables that concern the broker, checked.

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use newsreel_core::access::Caller;
use newsreel_core::follow::hub;
use newsreel_core::log::maintenance::RetentionLimits;
use newsreel_core::variables::{self, Settings as _};
use newsreel_core::wire::Problem;
use newsreel_gate::{Deployment, once};
use worker::Env;

/// The variables of the deployment, or their defaults.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Config {
    /// How much of a log is kept, and how long. `None` while a variable is wrong: the broker then keeps the
    /// whole log, because versions forgotten under wrong limits cannot be restored.
    pub(crate) maintenance: Option<RetentionLimits>,
    /// The limits at which the hub closes a follower as slow or silent.
    pub(crate) hub_limits: hub::Limits,
    /// How many publishes each token may make in a second, and a socket's texts; 0 is no limit.
    pub(crate) publish_per_second: u32,
    /// How often in a second each token may page, poll, or open a socket or a stream; 0 is no limit.
    pub(crate) follow_per_second: u32,
    /// Whether the letters of tags are written in lower case.
    pub(crate) fold_tags: bool,
}

thread_local! {
    static CONFIG: OnceCell<Rc<Config>> = const { OnceCell::new() };
}

/// Returns the deployment's configuration, which is read once in an isolate's life.
///
/// # Errors
/// `misconfigured`, naming the variable and what to write there.
pub(crate) fn config(env: &Env) -> Result<Rc<Config>, Problem> {
    once(&CONFIG, || Config::read(env))
}

impl Config {
    /// Reads the broker's variables, and checks them.
    ///
    /// # Errors
    /// `misconfigured`, naming the variable and what to write there.
    fn read(env: &Env) -> Result<Self, Problem> {
        let given = Deployment(env);
        let millis = |variable| given.read(variable).map(Duration::from_millis);
        let maintenance = RetentionLimits {
            segment_bytes: given.read(&variables::LOG_SEGMENT_BYTES)?,
            keep_bytes: given.read(&variables::LOG_KEEP_BYTES)?,
            forget_after: millis(&variables::FORGET_AFTER_MS)?,
        };
        let hub_limits = hub::Limits {
            slow_after: millis(&variables::SLOW_AFTER_MS)?,
            silent_after: millis(&variables::SILENT_AFTER_MS)?,
            slow_bytes: given.read(&variables::SLOW_BYTES)?,
            ..hub::Limits::default()
        };
        variables::check_horizon(&given.read(&variables::POLICY)?, given.read(&variables::FORGET_AFTER_MS)?)?;
        let rate = |variable| given.read(variable).map(|rate| u32::try_from(rate).unwrap_or(u32::MAX));
        let publish_per_second = rate(&variables::PUBLISH_PER_SECOND)?;
        let follow_per_second = rate(&variables::FOLLOW_PER_SECOND)?;
        let fold_tags = given.read(&variables::TAGS_FOLD_CASE)?;
        let maintenance = Some(maintenance);
        Ok(Self { maintenance, hub_limits, publish_per_second, follow_per_second, fold_tags })
    }

    /// Returns how often in a second a caller may follow; 0 is no limit. An admin token has none: replicas present one, and
    /// after a deploy they reconnect all at once.
    pub(crate) fn follows_per_second(&self, caller: &Caller) -> u32 {
        if caller.admin { 0 } else { self.follow_per_second }
    }

    /// Returns the configuration of an object whose deployment is wrong: the hub has default limits,
    /// and nothing is forgotten.
    pub(crate) fn misconfigured() -> Self {
        let hub_limits = hub::Limits::default();
        Self { maintenance: None, hub_limits, publish_per_second: 0, follow_per_second: 0, fold_tags: false }
    }
}

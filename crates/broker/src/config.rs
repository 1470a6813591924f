//! The deployment's variables that concern the broker, checked.

use std::time::Duration;

use js_sys::{JSON, Reflect};
use newsreel_core::follow::hub;
use newsreel_core::log::upkeep;
use newsreel_core::read::policy::Policies;
use newsreel_core::wire::{Code, Problem};
use wasm_bindgen::JsValue;
use worker::Env;

/// What the deployment says; the defaults where it says nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Config {
    /// How much of a log is kept, and how long. Nothing while a variable is wrong: then all of it is kept, for
    /// what was forgotten by limits that nobody meant does not come back.
    pub(crate) upkeep: Option<upkeep::Limits>,
    /// What is asked of followers.
    pub(crate) pace: hub::Limits,
    /// How many publishes each token may make in a second, and a socket's texts; 0 is no limit.
    pub(crate) publish_per_second: u32,
    /// How often each may page, poll or open a socket or a stream; 0 is no limit.
    pub(crate) follow_per_second: u32,
}

impl Config {
    /// Reads the variables.
    ///
    /// # Errors
    /// `misconfigured`, naming the variable and what to write there.
    pub(crate) fn read(env: &Env) -> Result<Self, Problem> {
        let (mut upkeep, mut pace) = (upkeep::Limits::default(), hub::Limits::default());
        upkeep.segment_bytes = at_least(1, env, "LOG_SEGMENT_BYTES", upkeep.segment_bytes)?;
        upkeep.keep_bytes = at_least(0, env, "LOG_KEEP_BYTES", upkeep.keep_bytes)?;
        upkeep.forget_after = duration(env, "FORGET_AFTER_MS", upkeep.forget_after)?;
        pace.slow_after = duration(env, "SLOW_AFTER_MS", pace.slow_after)?;
        pace.silent_after = duration(env, "SILENT_AFTER_MS", pace.silent_after)?;
        pace.slow_bytes = at_least(1, env, "SLOW_BYTES", pace.slow_bytes)?;
        let life = policies(env)?.longest_life();
        if upkeep.forget_after <= life {
            return Err(wrong(format!(
                "FORGET_AFTER_MS is {}, and an entry may be served for {} ms: the log must remember longer than that",
                upkeep.forget_after.as_millis(),
                life.as_millis(),
            )));
        }
        let rate = |name| at_least(0, env, name, 0).map(|rate| u32::try_from(rate).unwrap_or(u32::MAX));
        let (publish_per_second, follow_per_second) =
            (rate("PUBLISH_PER_SECOND")?, rate("FOLLOW_PER_SECOND")?);
        Ok(Self { upkeep: Some(upkeep), pace, publish_per_second, follow_per_second })
    }

    /// Returns what an object goes by whose deployment is wrong: it asks its followers as ever, and forgets nothing.
    pub(crate) fn misconfigured() -> Self {
        let pace = hub::Limits::default();
        Self { upkeep: None, pace, publish_per_second: 0, follow_per_second: 0 }
    }
}

fn duration(env: &Env, name: &str, default: Duration) -> Result<Duration, Problem> {
    let default = u64::try_from(default.as_millis()).unwrap_or(u64::MAX);
    at_least(1, env, name, default).map(Duration::from_millis)
}

fn at_least(least: u64, env: &Env, name: &str, default: u64) -> Result<u64, Problem> {
    let text = variable(env, name);
    if text.trim().is_empty() {
        return Ok(default);
    }
    let number = text.trim().parse().ok().filter(|number| *number >= least);
    number.ok_or_else(|| wrong(format!("{name} is a whole number of at least {least}, not {text}")))
}

fn policies(env: &Env) -> Result<Policies, Problem> {
    Policies::from_json(&variable(env, "POLICY")).map_err(wrong)
}

/// Returns a variable; nothing when it is not set. A number or a table of wrangler.toml comes as a JavaScript
/// value, one that was set by hand as the text of it.
fn variable(env: &Env, name: &str) -> String {
    let value = Reflect::get(env, &name.into()).unwrap_or(JsValue::UNDEFINED);
    match value.as_string() {
        Some(text) => text,
        None if value.is_undefined() => String::new(),
        None => JSON::stringify(&value).map(String::from).unwrap_or_default(),
    }
}

fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(Code::Misconfigured, detail)
}

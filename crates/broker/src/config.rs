//! The deployment's variables that concern the broker, checked.

use std::time::Duration;

use js_sys::{JSON, Reflect};
use newsreel_core::hub;
use newsreel_core::policy::Policies;
use newsreel_core::upkeep;
use newsreel_core::wire::{Code, Problem};
use wasm_bindgen::JsValue;
use worker::Env;

/// What the deployment says; the defaults where it says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Config {
    /// How much of a log is kept, and how long.
    pub(crate) upkeep: upkeep::Limits,
    /// What is asked of followers.
    pub(crate) pace: hub::Limits,
}

impl Config {
    /// Reads the variables.
    ///
    /// # Errors
    /// `misconfigured`, naming the variable and what to write there.
    pub(crate) fn read(env: &Env) -> Result<Self, Problem> {
        let mut config = Self::default();
        let whole = |name: &str, default: u64| number(env, name, default);
        config.upkeep.segment_bytes = whole("LOG_SEGMENT_BYTES", config.upkeep.segment_bytes)?;
        config.upkeep.keep_bytes = whole("LOG_KEEP_BYTES", config.upkeep.keep_bytes)?;
        config.upkeep.forget_after = duration(env, "FORGET_AFTER_MS", config.upkeep.forget_after)?;
        config.pace.slow_after = duration(env, "SLOW_AFTER_MS", config.pace.slow_after)?;
        config.pace.slow_bytes = whole("SLOW_BYTES", config.pace.slow_bytes)?;
        let life = policies(env)?.longest_life();
        if config.upkeep.forget_after <= life {
            return Err(wrong(format!(
                "FORGET_AFTER_MS is {}, and an entry may be served for {} ms: the log must remember longer than that",
                config.upkeep.forget_after.as_millis(),
                life.as_millis(),
            )));
        }
        Ok(config)
    }
}

fn duration(env: &Env, name: &str, default: Duration) -> Result<Duration, Problem> {
    let default = u64::try_from(default.as_millis()).unwrap_or(u64::MAX);
    number(env, name, default).map(Duration::from_millis)
}

fn number(env: &Env, name: &str, default: u64) -> Result<u64, Problem> {
    let Some(text) = variable(env, name).as_string().filter(|text| !text.trim().is_empty()) else {
        return Ok(default);
    };
    text.trim().parse().map_err(|_| wrong(format!("{name} is a whole number, as a string, not {text:?}")))
}

fn policies(env: &Env) -> Result<Policies, Problem> {
    let value = variable(env, "POLICY");
    // A table of wrangler.toml comes as an object, a variable set by hand as its JSON.
    let json = match value.as_string() {
        Some(text) => text,
        None if value.is_undefined() => String::new(),
        None => JSON::stringify(&value).map(String::from).unwrap_or_default(),
    };
    Policies::from_json(&json).map_err(wrong)
}

fn variable(env: &Env, name: &str) -> JsValue {
    Reflect::get(env, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(Code::Misconfigured, detail)
}

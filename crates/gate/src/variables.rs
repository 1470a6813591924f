//! Reading the variables and secrets of a deployment.

use js_sys::Reflect;
use worker::Env;

/// Returns a secret or a variable; empty when it is not set.
pub(crate) fn text(env: &Env, name: &str) -> String {
    Reflect::get(env, &name.into()).ok().and_then(|value| value.as_string()).unwrap_or_default()
}

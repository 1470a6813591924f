//! The hooks of the deployment, each read once in an isolate's life: declarations, mappings, secrets.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use newsreel_core::access::hooks::{Hook, Hooks, PUBLISH_HOOK};
use newsreel_core::variables::{self, Settings as _};
use newsreel_core::wire::{Catalog, Code, Problem};
use newsreel_gate::{Deployment, once};
use newsreel_hooks::mapping_of;
use newsreel_mapping::Mapping;
use worker::Env;

thread_local! {
    static HOOKS: OnceCell<Rc<Hooks>> = const { OnceCell::new() };
    static MAPPINGS: RefCell<BTreeMap<String, Rc<Mapping>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Returns the hook of a name for a catalog.
///
/// # Errors
/// `unknown-hook`; `misconfigured` when `HOOKS` cannot be read.
pub(super) fn hook(env: &Env, name: &str, catalog: &Catalog) -> Result<Hook, Problem> {
    let hooks = once(&HOOKS, || Deployment(env).read(&variables::HOOKS))?;
    hooks.of(name, catalog).cloned().ok_or_else(|| unknown(name, catalog))
}

fn unknown(name: &str, catalog: &Catalog) -> Problem {
    let text = match name {
        PUBLISH_HOOK => format!(
            "events and envelopes are published by the mapping of [vars.HOOKS.{PUBLISH_HOOK}], which is not declared for {catalog}"
        ),
        name => format!("HOOKS declares no hook {name:?} for {catalog}"),
    };
    Problem::new(Code::UnknownHook, text)
}

/// Returns the mapping of a hook.
///
/// # Errors
/// `misconfigured`, with every mistake of the mapping.
pub(super) fn mapping(hook: &Hook) -> Result<Rc<Mapping>, Problem> {
    if let Some(known) = MAPPINGS.with_borrow(|known| known.get(&hook.name).cloned()) {
        return Ok(known);
    }
    let read = mapping_of(hook).map_err(|why| Problem::new(Code::Misconfigured, why.to_string()))?;
    let read = Rc::new(read);
    MAPPINGS.with_borrow_mut(|known| known.insert(hook.name.clone(), Rc::clone(&read)));
    Ok(read)
}

/// Returns the secrets of a hook that are set, each with its name.
///
/// # Errors
/// `misconfigured` when none is.
pub(super) fn secrets(env: &Env, hook: &Hook) -> Result<Vec<(String, String)>, Problem> {
    let set = |name: &String| {
        let value = Deployment(env).value(name)?;
        let text = value.as_str().unwrap_or_default().trim();
        (!text.is_empty()).then(|| (name.clone(), text.to_owned()))
    };
    let secrets: Vec<(String, String)> = hook.secrets.iter().filter_map(set).collect();
    if secrets.is_empty() {
        let names = hook.secrets.join(", ");
        let text = format!(
            "the hook {} has no secret that is set: run `wrangler secret put` for {names}",
            hook.name
        );
        return Err(Problem::new(Code::Misconfigured, text));
    }
    Ok(secrets)
}

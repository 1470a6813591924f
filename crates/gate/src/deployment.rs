//! The variables of a deployment as an `Env` holds them.

use std::cell::OnceCell;
use std::rc::Rc;
use std::thread::LocalKey;

use js_sys::{JSON, Reflect};
use newsreel_core::variables::Settings;
use serde_json::Value;
use worker::Env;

/// The values that a deployment gives to variables and secrets.
///
/// `newsreel_core::variables` has the table of variables, and reads each value by its rules.
#[derive(Debug, Clone, Copy)]
pub struct Deployment<'a>(pub &'a Env);

impl Settings for Deployment<'_> {
    fn value(&self, name: &str) -> Option<Value> {
        let value = Reflect::get(self.0, &name.into()).ok().filter(|value| !value.is_undefined())?;
        if let Some(text) = value.as_string() {
            return Some(Value::String(text));
        }
        // A number, a boolean or a table of wrangler.toml is that of JavaScript. A value without
        // JSON is no variable.
        let json = JSON::stringify(&value).ok().and_then(|json| json.as_string())?;
        serde_json::from_str(&json).ok()
    }
}

/// Returns what `read` makes of the variables, which it does once in an isolate's life: they do not change in it. After an
/// error the next call reads them again.
///
/// # Errors
/// That of `read`.
pub fn once<T, E>(
    cell: &'static LocalKey<OnceCell<Rc<T>>>,
    read: impl FnOnce() -> Result<T, E>,
) -> Result<Rc<T>, E> {
    cell.with(|cell| match cell.get() {
        Some(known) => Ok(Rc::clone(known)),
        None => {
            let known = Rc::new(read()?);
            Ok(Rc::clone(cell.get_or_init(|| known)))
        }
    })
}

//! A panic ends the call with a trap that says nothing; its message is kept for the error that JavaScript
//! makes of it.

use std::sync::{Mutex, Once};

use wasm_bindgen::prelude::wasm_bindgen;

static LAST: Mutex<String> = Mutex::new(String::new());

/// Keeps the message of every panic from here on.
pub(crate) fn keep_messages() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            if let Ok(mut last) = LAST.lock() {
                *last = panic.to_string();
            }
        }));
    });
}

/// Returns the message of the last panic; empty if there was none.
#[wasm_bindgen(js_name = lastPanic)]
#[must_use]
pub fn last_panic() -> String {
    LAST.lock().map(|last| last.clone()).unwrap_or_default()
}

//! Calls by a service binding: the Worker's own entrypoint calls with a token that only this isolate knows.
//!
//! A binding is a capability. The account that deploys the Worker decides which of its Workers hold one, so such a call
//! needs no token of the deployment's lists. The entrypoint writes this isolate's token into the requests that it makes.

use std::cell::OnceCell;

use newsreel_core::access::{Caller, Grant};
use subtle::ConstantTimeEq as _;

/// What such a token begins with; no token of a list may.
const PREFIX: &str = "newsreel-binding.";

thread_local! {
    static SECRET: OnceCell<String> = const { OnceCell::new() };
}

/// Returns the value of `Authorization` for a call by the entrypoint, in the name of `publisher`.
#[must_use]
pub fn authorization(publisher: &str) -> String {
    format!("Bearer {PREFIX}{}.{}", secret(), publisher)
}

/// Returns the caller of a token that [`authorization`] made.
pub(crate) fn caller(token: &str) -> Option<Caller> {
    let (given, publisher) = token.strip_prefix(PREFIX)?.split_once('.')?;
    let is_ours: bool = given.as_bytes().ct_eq(secret().as_bytes()).into();
    is_ours.then(|| Caller { name: publisher.to_owned(), admin: true, grant: Grant::default() })
}

fn secret() -> String {
    let drawn = || {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the runtime gives randomness while it answers a request");
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    SECRET.with(|secret| secret.get_or_init(drawn).clone())
}

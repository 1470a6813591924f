//! Who may ask the edge for more than entries: whoever has an admin token.

use newsreel_core::access::{self, Caller, Scope, Tokens};
use newsreel_core::wire::{Catalog, Code, Problem};
use worker::{Env, Request, Result};

/// Says who is calling, if it has an admin token for the catalog.
pub(crate) fn admit(
    request: &Request,
    env: &Env,
    catalog: &Catalog,
) -> Result<std::result::Result<Caller, Problem>> {
    // The others too: one of them is known, and may not.
    let secret = |name: &str| env.secret(name).map(|secret| secret.to_string()).unwrap_or_default();
    let tokens =
        match Tokens::parse(&secret("PUBLISH_TOKENS"), &secret("FOLLOW_TOKENS"), &secret("ADMIN_TOKENS")) {
            Ok(tokens) => tokens,
            Err(error) => return Ok(Err(Problem::new(Code::Misconfigured, error.to_string()))),
        };
    let header = request.headers().get("Authorization")?.unwrap_or_default();
    Ok(tokens.authorize(access::bearer(&header), Scope::Admin, catalog))
}

//! Who may pass: the deployment's tokens and the one that a request shows; and in which language.

use newsreel_core::access::{self, Caller, Scope, Tokens};
use newsreel_core::wire::frame::{self, SUBPROTOCOL};
use newsreel_core::wire::{Catalog, Code, Problem};
use worker::{Env, Request, Result};

/// Returns the problem of a socket that offers subprotocols and not ours.
pub(crate) fn unspoken(request: &Request) -> Result<Option<Problem>> {
    if !request.headers().has("Upgrade")? {
        return Ok(None);
    }
    let offered = request.headers().get("Sec-WebSocket-Protocol")?;
    let text = format!("the broker speaks {SUBPROTOCOL}");
    let problem = || Problem::new(Code::UnsupportedProtocol, text).with("subprotocol", SUBPROTOCOL);
    Ok((!frame::is_spoken(offered.as_deref())).then(problem))
}

/// Says who is calling, if it may do `scope` on `catalog`.
///
/// The token is in `Authorization` or, from a browser's WebSocket, in a subprotocol.
pub(crate) fn authorize(
    request: &Request,
    env: &Env,
    scope: Scope,
    catalog: &Catalog,
) -> Result<std::result::Result<Caller, Problem>> {
    let secret = |name: &str| env.secret(name).map(|secret| secret.to_string()).unwrap_or_default();
    let tokens = Tokens::parse(&secret("PUBLISH_TOKENS"), &secret("FOLLOW_TOKENS"), &secret("ADMIN_TOKENS"));
    let tokens = match tokens {
        Ok(tokens) => tokens,
        Err(error) => return Ok(Err(Problem::new(Code::Misconfigured, error.to_string()))),
    };
    let header = request.headers().get("Authorization")?.unwrap_or_default();
    let offered = request.headers().get("Sec-WebSocket-Protocol")?.unwrap_or_default();
    let presented =
        access::bearer(&header).map(str::to_owned).or_else(|| access::subprotocol_bearer(&offered));
    Ok(tokens.authorize(presented.as_deref(), scope, catalog))
}

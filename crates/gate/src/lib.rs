//! Who may pass: what both front doors check before any Durable Object is touched.
//!
//! A shell around `newsreel_core::access` and `rate`. [`catalog`]: which catalogs there are; [`admit`]: who calls, by
//! a token of the lists or by a signed one, whose signature `signatures` has the platform verify; [`rated`]: how
//! often. What an isolate knows of keys and rates is here, and nothing of it outlives the isolate.
//!
//! *Architecture invariant:* no Durable Object is known here, and no secret leaves in a text.

mod signatures;

use std::cell::RefCell;
use std::pin::Pin;

use newsreel_core::access::{self, Caller, Scope, Tokens};
use newsreel_core::rate::{self, FAILURES_PER_SECOND, Rates, Who};
use newsreel_core::wire::{Catalog, Code, Problem, UnixMillis};
use worker::{Env, Request, Result};

thread_local! {
    static FAILURES: RefCell<Rates> = RefCell::default();
    static CALLERS: RefCell<Rates> = RefCell::default();
}

/// Who is admitted, or why nobody is; an error is a defect of ours.
pub type Admission = Result<std::result::Result<Caller, Problem>>;

/// Says whether the deployment serves a catalog (`CATALOGS`).
///
/// # Errors
/// `unknown-catalog`.
pub fn catalog(env: &Env, catalog: &Catalog) -> std::result::Result<(), Problem> {
    let list = env.var("CATALOGS").map(|list| list.to_string()).unwrap_or_default();
    access::served(&list, catalog)
}

/// Says who is calling, if it may do `scope` on `catalog`.
///
/// The token is in `Authorization` or, from a browser's WebSocket, in a subprotocol. Whoever fails too often is sent
/// away before a signature is verified; tokens of the lists cost nothing and always pass.
///
/// # Errors
/// When the platform's cryptography fails; everything else is a problem.
///
/// Boxed: a future that another crate polls is in the wasm twice, once for each.
#[must_use]
pub fn admit<'a>(
    request: &'a Request,
    env: &'a Env,
    scope: Scope,
    catalog: &'a Catalog,
) -> Pin<Box<dyn Future<Output = Admission> + 'a>> {
    Box::pin(admit_here(request, env, scope, catalog))
}

/// Takes one of the `per_second` that each caller may of a scope; 0 is no limit.
///
/// # Errors
/// `rate-limited`.
pub fn rated(caller: &Caller, scope: Scope, per_second: u32) -> std::result::Result<(), Problem> {
    let who = Who::of(&format!("{} {}", scope.text(), caller.name));
    CALLERS.with_borrow_mut(|rates| rates.take(now(), who, per_second)).map_err(rate::limited)
}

async fn admit_here(request: &Request, env: &Env, scope: Scope, catalog: &Catalog) -> Admission {
    let header = request.headers().get("Authorization")?.unwrap_or_default();
    let offered = request.headers().get("Sec-WebSocket-Protocol")?.unwrap_or_default();
    let presented =
        access::bearer(&header).map(str::to_owned).or_else(|| access::subprotocol_bearer(&offered));
    let tokens = Tokens::parse(
        &secret(env, "PUBLISH_TOKENS"),
        &secret(env, "FOLLOW_TOKENS"),
        &secret(env, "ADMIN_TOKENS"),
    );
    let listed = match tokens {
        Ok(tokens) => tokens.authorize(presented.as_deref(), scope, catalog),
        Err(error) => return Ok(Err(Problem::new(Code::Misconfigured, error.to_string()))),
    };
    let (token, unknown) = match (presented, listed) {
        (Some(token), Err(problem)) if problem.kind() == Code::Unauthorized => (token, problem),
        (_, listed) => return Ok(listed),
    };
    let from = Who::of(&request.headers().get("CF-Connecting-IP")?.unwrap_or_default());
    if let Err(wait) = FAILURES.with_borrow(|rates| rates.look(now(), from, FAILURES_PER_SECOND)) {
        return Ok(Err(rate::limited(wait)));
    }
    let keys = secret(env, "TOKEN_KEYS");
    let signed = match keys.is_empty() {
        true => Err(unknown),
        false => match signatures::claims(&keys, &token).await? {
            Ok(claims) => claims.authorize(now(), scope, catalog),
            Err(problem) => Err(problem),
        },
    };
    if signed.as_ref().is_err_and(|problem| problem.kind() == Code::Unauthorized) {
        // It is told what is wrong with its token; only the next is told to wait.
        let _ = FAILURES.with_borrow_mut(|rates| rates.take(now(), from, FAILURES_PER_SECOND));
    }
    Ok(signed)
}

fn secret(env: &Env, name: &str) -> String {
    env.secret(name).map(|secret| secret.to_string()).unwrap_or_default()
}

/// Returns this machine's time.
fn now() -> UnixMillis {
    UnixMillis(worker::Date::now().as_millis())
}

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

use js_sys::Reflect;
use newsreel_core::access::rate::{self, FAILURES_PER_SECOND, Rates, Who};
use newsreel_core::access::{self, Caller, Scope, Tokens};
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
    access::served(&text(env, "CATALOGS"), catalog)
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
    Box::pin(async move {
        let signed = match listed(request, env, scope, catalog)? {
            Listed::Answer(answer) => return Ok(answer),
            Listed::Signed(signed) => signed,
        };
        let claims = signatures::claims(&text(env, "TOKEN_KEYS"), &signed.token).await?;
        let answer = claims.and_then(|claims| claims.authorize(now(), scope, catalog));
        if answer.as_ref().is_err_and(|problem| problem.kind() == Code::Unauthorized) {
            // It is told what is wrong with its token; only the next is told to wait.
            let _ = FAILURES.with_borrow_mut(|rates| rates.take(now(), signed.from, FAILURES_PER_SECOND));
        }
        Ok(answer)
    })
}

/// Takes one of the `per_second` that each caller may of a scope; 0 is no limit.
///
/// # Errors
/// `rate-limited`.
pub fn rated(caller: &Caller, scope: Scope, per_second: u32) -> std::result::Result<(), Problem> {
    let who = Who::of(&[scope.text(), &caller.name].concat());
    CALLERS.with_borrow_mut(|rates| rates.take(now(), who, per_second)).map_err(rate::limited)
}

/// What the lists say of a request.
enum Listed {
    /// Who calls, or why nobody may.
    Answer(std::result::Result<Caller, Problem>),
    /// Nothing: it may be a signed one.
    Signed(Signed),
}

/// A token that is on no list.
struct Signed {
    token: String,
    /// Whose failures are counted.
    from: Who,
}

fn listed(request: &Request, env: &Env, scope: Scope, catalog: &Catalog) -> Result<Listed> {
    let header = |name: &str| request.headers().get(name).map(Option::unwrap_or_default);
    let (authorization, offered) = (header("Authorization")?, header("Sec-WebSocket-Protocol")?);
    let token =
        access::bearer(&authorization).map(str::to_owned).or_else(|| access::subprotocol_bearer(&offered));
    let [publish, follow, admin] =
        ["PUBLISH_TOKENS", "FOLLOW_TOKENS", "ADMIN_TOKENS"].map(|name| text(env, name));
    let answer = Tokens::parse(&publish, &follow, &admin)
        .map_err(|error| Problem::new(Code::Misconfigured, error.to_string()))
        .and_then(|tokens| tokens.authorize(token.as_deref(), scope, catalog));
    let Some(token) = token.filter(|_| answer.as_ref().is_err_and(|why| why.kind() == Code::Unauthorized))
    else {
        return Ok(Listed::Answer(answer));
    };
    let from = Who::of(&header("CF-Connecting-IP")?);
    Ok(match FAILURES.with_borrow(|rates| rates.look(now(), from, FAILURES_PER_SECOND)) {
        Ok(()) => Listed::Signed(Signed { token, from }),
        Err(wait) => Listed::Answer(Err(rate::limited(wait))),
    })
}

/// Returns a secret or a variable; empty when it is not set.
fn text(env: &Env, name: &str) -> String {
    Reflect::get(env, &name.into()).ok().and_then(|value| value.as_string()).unwrap_or_default()
}

/// Returns this machine's time.
fn now() -> UnixMillis {
    UnixMillis(worker::Date::now().as_millis())
}

//! The caller of a request: its token is on a list of the deployment, or signed.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use newsreel_core::access::rate::{self, FAILURES_PER_SECOND, RateKey, RateLimiter};
use newsreel_core::access::{self, Caller, Scope, Tokens};
use newsreel_core::variables::{self, Settings as _};
use newsreel_core::wire::{Catalog, Code, Problem};
use worker::{Env, Request};

use crate::{Deployment, Failure, binding, now, once, signatures};

thread_local! {
    static FAILURES: RefCell<RateLimiter> = RefCell::default();
    static CALLERS: RefCell<RateLimiter> = RefCell::default();
    static TOKENS: OnceCell<Rc<Tokens>> = const { OnceCell::new() };
    static CATALOGS: OnceCell<Rc<Vec<Catalog>>> = const { OnceCell::new() };
}

/// Returns the caller of a request, if its token allows `scope` on `catalog`.
///
/// The token is in `Authorization` or, from a browser's WebSocket, in a subprotocol. An address that fails too often
/// has to wait before another signature is verified for it; a token of the lists costs nothing and always passes.
///
/// # Errors
/// [`Failure::Problem`] tells the caller why not; [`Failure::Platform`] when the platform's cryptography fails.
pub async fn admit(request: &Request, env: &Env, scope: Scope, catalog: &Catalog) -> Result<Caller, Failure> {
    let header = |name: &str| request.headers().get(name).map(Option::unwrap_or_default);
    let token = presented(&header("Authorization")?, &header("Sec-WebSocket-Protocol")?);
    let refused = match by_lists(env, token.as_deref(), scope, catalog) {
        Ok(caller) => return Ok(caller),
        Err(problem) => problem,
    };
    // Only a token that is on no list may be a signed one.
    let Some(token) = token.filter(|_| refused.kind() == Code::Unauthorized) else {
        return Err(refused.into());
    };
    let address = FailingAddress::of(request)?;
    let claims = signatures::claims(&Deployment(env).read(&variables::TOKEN_KEYS)?, &token).await;
    let caller = claims.and_then(|claims| Ok(claims.authorize(now(), scope, catalog)?));
    if let Err(Failure::Problem(problem)) = &caller
        && problem.kind() == Code::Unauthorized
    {
        address.failed();
    }
    caller
}

/// Returns the caller whose token is on a list of the deployment, by the two headers that may show it: no signature is
/// verified.
///
/// # Errors
/// `unauthorized` without a token of the lists, `forbidden` with one that does not reach so far.
pub fn listed(
    env: &Env,
    authorization: &str,
    offered: &str,
    scope: Scope,
    catalog: &Catalog,
) -> Result<Caller, Problem> {
    by_lists(env, presented(authorization, offered).as_deref(), scope, catalog)
}

/// The address of a caller that may fail to prove itself. An address that fails too often has to wait.
#[derive(Debug)]
pub struct FailingAddress(RateKey);

impl FailingAddress {
    /// Returns the address of a request, unless it has to wait.
    ///
    /// # Errors
    /// `rate-limited`, with the time until the next try is allowed.
    pub fn of(request: &Request) -> Result<Self, Failure> {
        let address = RateKey::of(&request.headers().get("CF-Connecting-IP")?.unwrap_or_default());
        let free = FAILURES.with_borrow(|failures| failures.peek(now(), address, FAILURES_PER_SECOND));
        free.map_err(rate::limited)?;
        Ok(Self(address))
    }

    /// Counts a failure.
    pub fn failed(&self) {
        // This caller is told why it is refused. Each such failure also drains the token bucket of its
        // address: once that is empty, the address has to wait.
        let _ = FAILURES.with_borrow_mut(|failures| failures.acquire(now(), self.0, FAILURES_PER_SECOND));
    }
}

/// Counts one call of `caller` in a scope, of the `per_second` that each caller may make; 0 is no limit.
///
/// # Errors
/// `rate-limited`, with the time until the next call is allowed.
pub fn check_rate(caller: &Caller, scope: Scope, per_second: u32) -> Result<(), Problem> {
    if per_second == 0 {
        return Ok(());
    }
    let who = RateKey::of(&[scope.text(), &caller.name].concat());
    CALLERS.with_borrow_mut(|callers| callers.acquire(now(), who, per_second)).map_err(rate::limited)
}

/// Says whether the deployment serves a catalog (`CATALOGS`).
///
/// # Errors
/// `unknown-catalog`; `misconfigured` when `CATALOGS` cannot be read.
pub fn check_catalog(env: &Env, catalog: &Catalog) -> Result<(), Problem> {
    let listed = once(&CATALOGS, || Deployment(env).read(&variables::CATALOGS))?;
    access::served(&listed, catalog)
}

/// Returns the token that `Authorization` or an offered subprotocol shows.
fn presented(authorization: &str, offered: &str) -> Option<String> {
    access::bearer(authorization).map(str::to_owned).or_else(|| access::subprotocol_bearer(offered))
}

/// Returns the caller by the lists of the deployment.
fn by_lists(env: &Env, token: Option<&str>, scope: Scope, catalog: &Catalog) -> Result<Caller, Problem> {
    if let Some(caller) = token.and_then(binding::caller) {
        return Ok(caller);
    }
    once(&TOKENS, || tokens(env))?.authorize(token, scope, catalog)
}

/// Reads the lists of the deployment.
fn tokens(env: &Env) -> Result<Tokens, Problem> {
    let given = Deployment(env);
    let (publish, follow) = (given.read(&variables::PUBLISH_TOKENS)?, given.read(&variables::FOLLOW_TOKENS)?);
    let (fill, admin) = (given.read(&variables::FILL_TOKENS)?, given.read(&variables::ADMIN_TOKENS)?);
    Tokens::parse(&publish, &follow, &fill, &admin)
        .map_err(|error| Problem::new(Code::Misconfigured, error.to_string()))
}

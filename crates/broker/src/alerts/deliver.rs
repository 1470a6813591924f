//! Messages to receivers: each in the form that its receiver takes, signed where the form is.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use futures_util::future::{Either, select};
use newsreel_core::alerts::message::Form;
use newsreel_core::alerts::receivers::Address;
use newsreel_core::alerts::{Notice, Receiver};
use newsreel_core::variables::Settings as _;
use newsreel_core::wire::{Catalog, UnixMillis};
use newsreel_gate::Deployment;
use newsreel_hooks::sign::standard;
use serde_json::Value;
use worker::{AbortController, Delay, Env, Fetch, Headers, Method, Request, RequestInit, RequestRedirect};

/// How long a receiver may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long after each attempt the next one is made; after the last the times stay the same.
const PAUSES: [Duration; 6] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
    Duration::from_secs(3_600),
    Duration::from_secs(4 * 3_600),
];
/// How long a message is sent again.
pub(super) const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// Why a message did not arrive.
pub(super) enum DeliveryError {
    /// The receiver wants no more messages.
    Gone,
    /// Another attempt may go well.
    Failed(String),
}

impl From<worker::Error> for DeliveryError {
    fn from(error: worker::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Display for DeliveryError {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => to.write_str("the receiver answered 410: it wants no messages"),
            Self::Failed(why) => to.write_str(why),
        }
    }
}

/// Returns how long to wait after so many attempts.
pub(super) fn pause(attempts: u32) -> Duration {
    let at = usize::try_from(attempts).unwrap_or(usize::MAX);
    PAUSES.get(at).or(PAUSES.last()).copied().unwrap_or_default()
}

/// Sends a message. The same message has the same name each time, so that a receiver that heard it knows it.
pub(super) async fn deliver(
    env: &Env,
    catalog: &Catalog,
    receiver: &Receiver,
    notice: &Notice,
    now: UnixMillis,
) -> Result<(), DeliveryError> {
    let url = match &receiver.address {
        Address::Url(url) => url.clone(),
        Address::Secret(name) => secret(env, name)?,
    };
    #[expect(clippy::cast_precision_loss, reason = "a time is below 2^53")]
    let at = notice.at.0 as f64;
    let when = String::from(js_sys::Date::new(&at.into()).to_iso_string());
    let body = notice.body(catalog, receiver.form, &when).to_string();
    let headers = Headers::new();
    headers.set("Content-Type", "application/json")?;
    if let (Form::Standard, Some(name)) = (receiver.form, &receiver.secret) {
        let secret = secret(env, name)?;
        let signed = standard(&secret, &notice.id, now, body.as_bytes(), &|_, _| None);
        let signed = signed.map_err(|why| DeliveryError::Failed(format!("the secret {name}: {why}")))?;
        for (name, value) in signed {
            headers.set(&name, &value)?;
        }
    }
    let mut init = RequestInit::new();
    init.with_method(Method::Post)
        .with_headers(headers)
        .with_body(Some(body.into()))
        .with_redirect(RequestRedirect::Manual);
    let request = Request::new_with_init(&url, &init)?;
    let controller = AbortController::default();
    let signal = controller.signal();
    let fetch = Fetch::Request(request);
    let sent = std::pin::pin!(fetch.send_with_signal(&signal));
    let response = match select(sent, Delay::from(TIMEOUT)).await {
        Either::Left((response, _)) => response?,
        Either::Right(_) => {
            controller.abort();
            return Err(DeliveryError::Failed(format!("no answer came within {} s", TIMEOUT.as_secs())));
        }
    };
    match response.status_code() {
        200..=299 => Ok(()),
        410 => Err(DeliveryError::Gone),
        status => Err(DeliveryError::Failed(format!("the receiver answered {status}"))),
    }
}

fn secret(env: &Env, name: &str) -> Result<String, DeliveryError> {
    match Deployment(env).value(name) {
        Some(Value::String(secret)) if !secret.trim().is_empty() => Ok(secret.trim().to_owned()),
        _ => {
            let why = format!("the secret {name} is not set: run `wrangler secret put {name}`");
            Err(DeliveryError::Failed(why))
        }
    }
}

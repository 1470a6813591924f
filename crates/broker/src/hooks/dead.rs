//! Dead letters, on the Worker's side: kept by the catalog's object, and replayed from there.

use newsreel_core::wire::dead_letters::{DeadLetter, DeadLettersCall, Settle, Settled, Unsettled};
use newsreel_core::wire::{Catalog, Code};
use newsreel_gate::{Answer, Failure};
use newsreel_hooks::HookMessage;
use worker::{Env, Error, Headers, Request};

use super::body::body_of;
use super::publish::{Published, lines_of, object, publish};
use crate::http::json_response;

/// The call of the object, which no request from outside has.
pub(crate) const INTERNAL_CALL: &str = "internal/dead-letters";

/// Hook, reason and text of a message.
pub(super) type Letter = (String, String, String);

/// Returns the letter of a message.
pub(super) fn letter(message: &HookMessage, reason: &str) -> Letter {
    let text = serde_json::to_string(message).expect("a message serializes");
    (message.hook.clone(), reason.to_owned(), text)
}

/// Has a catalog's object keep letters.
pub(super) async fn keep(env: &Env, catalog: &Catalog, letters: Vec<Letter>) -> worker::Result<()> {
    call(env, catalog, &DeadLettersCall::Add(letters)).await.map(drop)
}

async fn call(env: &Env, catalog: &Catalog, call: &DeadLettersCall) -> worker::Result<String> {
    let body = serde_json::to_string(call)?;
    let mut answer = object(env, catalog, INTERNAL_CALL, &Headers::new(), &body).await?;
    match answer.status_code() {
        200 => answer.text().await,
        status => Err(Error::from(format!("the object answered {status}: {}", answer.text().await?))),
    }
}

/// Publishes dead letters again, and forgets others. Tells what became of each.
pub(crate) async fn settle(request: &Request, env: &Env, catalog: &Catalog) -> Answer {
    let Settle { replay, drop } = Settle::parse(&body_of(request).await?)?;
    let letters: Vec<DeadLetter> = match replay.as_slice() {
        [] => Vec::new(),
        ids => serde_json::from_str(&call(env, catalog, &DeadLettersCall::Read(ids.to_vec())).await?)
            .map_err(Error::from)?,
    };
    let mut settled = Settled { dropped: drop.clone(), ..Settled::default() };
    for id in replay {
        let letter = letters.iter().find(|letter| letter.id == id);
        match again(env, catalog, letter).await? {
            Ok(()) => settled.replayed.push(id),
            Err(reason) => settled.failed.push(Unsettled { id, reason }),
        }
    }
    let forgotten: Vec<u64> = settled.replayed.iter().chain(&drop).copied().collect();
    if !forgotten.is_empty() {
        call(env, catalog, &DeadLettersCall::Forget(forgotten)).await?;
    }
    json_response(&settled)
}

/// Publishes a letter; says why it cannot be.
async fn again(
    env: &Env,
    catalog: &Catalog,
    letter: Option<&DeadLetter>,
) -> Result<Result<(), String>, Failure> {
    let Some(letter) = letter else { return Ok(Err("there is no such letter".to_owned())) };
    let Some(message) = HookMessage::read(&letter.message) else {
        return Ok(Err("the letter is of a newer build, which can replay it".to_owned()));
    };
    let (caller, lines) = match lines_of(env, &message) {
        Ok(mapped) => mapped,
        Err(problem) if problem.kind() == Code::Misconfigured => return Err(problem.into()),
        Err(problem) => return Ok(Err(problem.detail().to_owned())),
    };
    for published in publish(env, catalog, &caller, &lines).await? {
        match published {
            Published::Receipt(_) => {}
            Published::Refused(refused) => {
                return Ok(Err(refused.detail));
            }
            Published::Later => return Ok(Err("the broker has too much to do; replay it later".to_owned())),
        }
    }
    Ok(Ok(()))
}

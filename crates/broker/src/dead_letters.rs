//! The dead letters of a catalog, in its object: messages of hooks that could not be published.

use newsreel_core::wire::dead_letters::{DeadLettersCall, MAX_DEAD_BYTES, MAX_DEAD_LETTERS};
use newsreel_core::wire::query::DeadQuery;
use newsreel_core::wire::{Code, Problem};
use newsreel_gate::{Answer, now};
use worker::{Error, Request};

use crate::driver::BrokerDriver;
use crate::http::json_response;

/// Lists a page of letters.
pub(crate) fn list(driver: &BrokerDriver, query: DeadQuery) -> Answer {
    json_response(&driver.rows().dead_letters(query)?)
}

/// Does what the Worker asks.
pub(crate) async fn call(driver: &BrokerDriver, mut request: Request) -> Answer {
    let call: DeadLettersCall = serde_json::from_slice(&request.bytes().await?).map_err(Error::from)?;
    let rows = driver.rows();
    match call {
        DeadLettersCall::Add(letters) => {
            let (count, bytes) = rows.dead_letter_stock()?;
            let more: u64 = letters.iter().map(|(.., message)| message.len() as u64).sum();
            if count + letters.len() as u64 > MAX_DEAD_LETTERS || bytes + more > MAX_DEAD_BYTES {
                // The queue keeps what does not fit, until somebody has replayed or dropped some.
                let text = "the catalog has as many dead letters as it keeps: replay or drop some";
                return Err(Problem::new(Code::Busy, text).into());
            }
            rows.bury(&letters, now())?;
            json_response(&letters.len())
        }
        DeadLettersCall::Read(ids) => json_response(&rows.dead_letters_of(&ids)?),
        DeadLettersCall::Forget(ids) => {
            rows.forget_dead_letters(&ids)?;
            json_response(&ids.len())
        }
    }
}

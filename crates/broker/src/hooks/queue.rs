//! The way of a message through a Cloudflare Queue: the producer at the door, and the consumer.
//!
//! The consumer publishes a batch in the order of arrival, with one request for each catalog. A message that the broker
//! cannot take now is handed out again, each time later; the queue gives up at last, and leaves it in the queue of dead
//! letters, whose consumer keeps it in the catalog's object. A message that can never be published goes there at once.

use std::collections::BTreeMap;

use js_sys::{Promise, Reflect};
use newsreel_core::access::Caller;
use newsreel_core::variables::{DEAD_QUEUE_SUFFIX, HOOK_QUEUE};
use newsreel_core::wire::{Catalog, Code, Problem};
use newsreel_hooks::HookMessage;
use newsreel_hooks::message::MAX_QUEUED_BYTES;
use wasm_bindgen::prelude::*;
use worker::wasm_bindgen_futures::JsFuture;
use worker::{Env, console_error, console_warn};

use super::dead;
use super::publish::{Published, lines_of, publish};

#[wasm_bindgen(module = "/src/hooks/queue.js")]
extern "C" {
    /// A batch of messages.
    pub type Batch;

    #[wasm_bindgen(method, getter)]
    fn queue(this: &Batch) -> String;

    #[wasm_bindgen(catch)]
    fn send(env: &Env, text: &str) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_name = messagesOf)]
    fn messages_of(batch: &Batch) -> Result<String, JsValue>;

    #[wasm_bindgen(catch)]
    fn settle(batch: &Batch, delays: Vec<i32>) -> Result<(), JsValue>;
}

/// The delay that acknowledges a message.
const DONE: i32 = -1;
/// The longest time until a message is handed out again: an hour.
const MAX_DELAY_S: i32 = 3_600;
/// The reason of a letter that the queue has given up.
const GIVEN_UP: &str = "the broker could not take it, and the queue has given up";

/// Puts a message into the queue; returns whether it is there. Without a queue it is not, nor if the queue is full or the
/// message too large for it: then it is published at once.
pub(super) async fn enqueue(env: &Env, message: &HookMessage) -> bool {
    if !Reflect::has(env, &HOOK_QUEUE.name.into()).unwrap_or_default() {
        return false;
    }
    let Ok(text) = serde_json::to_string(message) else { return false };
    if text.len() > MAX_QUEUED_BYTES {
        return false;
    }
    let sent = match send(env, &text) {
        Ok(promise) => JsFuture::from(promise).await,
        Err(error) => Err(error),
    };
    if let Err(error) = &sent {
        console_warn!("the queue of hooks took no message, which is published at once: {error:?}");
    }
    sent.is_ok()
}

/// One message of a batch.
struct Delivered {
    /// Its place in the batch.
    place: usize,
    attempts: u32,
    message: HookMessage,
}

/// The lines of a hook's messages, in order, each with the place of its message.
struct LinesOfHook {
    caller: Caller,
    places: Vec<usize>,
    lines: Vec<String>,
}

/// Why a message is not done.
enum Undone {
    /// The broker could not take it now.
    Later,
    /// The message can never be published, for this reason.
    Dead(String),
}

/// Consumes a batch of the queue of hooks, or of its dead letters.
///
/// # Errors
/// When the platform fails: the whole batch is handed out again.
pub async fn consume(batch: Batch, env: Env) -> worker::Result<()> {
    let handed: Vec<(String, u32, String)> = serde_json::from_str(&messages_of(&batch)?)?;
    let mut delays: Vec<i32> = handed.iter().map(|(_, attempts, _)| delay(*attempts)).collect();
    let mut delivered = Vec::new();
    for (place, (id, attempts, text)) in handed.into_iter().enumerate() {
        match HookMessage::read(&text) {
            // The id of the queue is the same however often it hands a message out.
            Some(message) => {
                delivered.push(Delivered { place, attempts, message: message.with_fallback_id(&id) });
            }
            None => {
                console_error!("the queue has a message of another build, {id}: it is handed out again later")
            }
        }
    }
    delivered.sort_by_key(|one| (one.message.at, one.place));
    let undone = if batch.queue().ends_with(DEAD_QUEUE_SUFFIX) {
        delivered.iter().map(|one| (one.place, Undone::Dead(GIVEN_UP.to_owned()))).collect()
    } else {
        publish_all(&env, &delivered).await
    };
    let dead = bury(&env, &delivered, &undone).await;
    for Delivered { place, attempts, message } in &delivered {
        let is_done = !undone.contains_key(place) || dead.contains(place);
        if let Some(settled) = delays.get_mut(*place).filter(|_| is_done) {
            *settled = DONE;
        }
        if !is_done && *attempts > 1 {
            console_warn!(
                "the hook {}: a message waits for the broker, tried {attempts} times",
                message.hook
            );
        }
    }
    Ok(settle(&batch, delays)?)
}

/// Returns the seconds until a message is handed out again: 2, 4, 8 and so on.
fn delay(attempts: u32) -> i32 {
    2_i32.checked_pow(attempts.max(1)).unwrap_or(MAX_DELAY_S).min(MAX_DELAY_S)
}

/// Publishes messages in order. Returns those that are not done, by their place in the batch.
async fn publish_all(env: &Env, delivered: &[Delivered]) -> BTreeMap<usize, Undone> {
    let mut undone = BTreeMap::new();
    let mut lines: BTreeMap<(&Catalog, &String), LinesOfHook> = BTreeMap::new();
    for Delivered { place, message, .. } in delivered {
        match lines_of(env, message) {
            Ok((caller, mapped)) => {
                let of_hook = lines.entry((&message.catalog, &message.hook)).or_insert_with(|| LinesOfHook {
                    caller,
                    places: Vec::new(),
                    lines: Vec::new(),
                });
                of_hook.places.extend(mapped.iter().map(|_| *place));
                of_hook.lines.extend(mapped);
            }
            Err(problem) => drop(undone.insert(*place, undone_by(&problem))),
        }
    }
    for ((catalog, _), LinesOfHook { caller, places, lines }) in lines {
        let published = publish(env, catalog, &caller, &lines).await.unwrap_or_else(|error| {
            console_warn!("the broker of {catalog} could not be reached: {error}");
            lines.iter().map(|_| Published::Later).collect()
        });
        for (place, published) in places.into_iter().zip(published) {
            match published {
                Published::Receipt(_) => {}
                Published::Later => drop(undone.entry(place).or_insert(Undone::Later)),
                Published::Refused(refused) => drop(undone.insert(place, Undone::Dead(refused.detail))),
            }
        }
    }
    undone
}

/// Says what becomes of a message that has no lines.
fn undone_by(problem: &Problem) -> Undone {
    if problem.kind() != Code::Misconfigured {
        return Undone::Dead(problem.detail().to_owned());
    }
    // The deployment has to be mended, and the messages wait until it is.
    console_error!("{}", problem.detail());
    Undone::Later
}

/// Has the catalogs' objects keep the messages that can never be published. Returns the places of those that are kept.
async fn bury(env: &Env, delivered: &[Delivered], undone: &BTreeMap<usize, Undone>) -> Vec<usize> {
    let mut letters: BTreeMap<&Catalog, Vec<(usize, dead::Letter)>> = BTreeMap::new();
    for Delivered { place, message, .. } in delivered {
        if let Some(Undone::Dead(reason)) = undone.get(place) {
            let letter = dead::letter(message, reason);
            letters.entry(&message.catalog).or_default().push((*place, letter));
        }
    }
    let mut buried = Vec::new();
    for (catalog, letters) in letters {
        let (places, letters): (Vec<usize>, Vec<dead::Letter>) = letters.into_iter().unzip();
        match dead::keep(env, catalog, letters).await {
            Ok(()) => buried.extend(places),
            Err(error) => console_error!("the dead letters of {catalog} could not be kept: {error}"),
        }
    }
    buried
}

//! One fill of a key at a time across the isolates of an edge, where the value is a caller's and R2 is bound: a render may
//! cost seconds. Best effort: the replica gives turns, and R2 shows the entry of the request that had one.

use std::rc::Rc;
use std::time::Duration;

use newsreel_core::read::cache::ReadMachine;
use newsreel_core::read::entry_names::r2_name;
use newsreel_core::wire::{Key, Position};
use worker::{Context, Delay, Result};

use crate::clock::now;
use crate::protocol::{Call, FillTurn, TurnAnswer};
use crate::reader::context::{ReadContext, Source};
use crate::reader::state::reader;
use crate::reader::sync::post;
use crate::tiers::{Entry, r2};

/// How often a request that waits for another's fill looks whether it is there: the second, third … time half as often.
const LOOK_FIRST: Duration = Duration::from_millis(20);
const LOOK_LAST: Duration = Duration::from_millis(320);

/// Waits while another isolate fills the key, and returns that isolate's entry; `None` when this one is to fill it.
pub(crate) async fn entry_of_another(
    context: &ReadContext,
    read: &ReadMachine,
    position: Position,
    heartbeat: impl Fn(),
) -> Option<Entry> {
    if !matches!(context.source, Source::Function(_)) || !context.config.has_r2 {
        return None;
    }
    let key = read.key();
    let deadline = now().plus(context.config.origin_timeout);
    let name = r2_name(&context.catalog, &position.epoch, key);
    let mut pause = LOOK_FIRST;
    while !may_fill(context, key).await && now() < deadline {
        Delay::from(pause).await;
        heartbeat();
        pause = (pause * 2).min(LOOK_LAST);
        if let Ok((Some(entry), _)) = r2::get(&context.env, &name).await
            && reader(&context.catalog, |reader| read.is_hit(now(), &reader.known, &entry.envelope))
        {
            return Some(entry);
        }
    }
    None
}

/// Says whether this request may fill the key. A replica that gives no answer keeps nobody waiting.
async fn may_fill(context: &ReadContext, key: &Key) -> bool {
    let free = ask(context, key, false).await.unwrap_or(true);
    if free && !context.turns.borrow().contains(key) {
        context.turns.borrow_mut().push(key.clone());
    }
    free
}

/// Gives back the turns that this request took, after `stored` has ended: the entries are where others look.
pub(crate) fn give_back_after(
    context: &Rc<ReadContext>,
    event: &Context,
    stored: impl Future<Output = ()> + 'static,
) {
    let (context, keys) = (Rc::clone(context), context.turns.take());
    event.wait_until(async move {
        stored.await;
        for key in keys {
            // A turn that is not given back ends by itself.
            let _ = ask(&context, &key, true).await;
        }
    });
}

async fn ask(context: &ReadContext, key: &Key, done: bool) -> Result<bool> {
    let turn = FillTurn { key: key.clone(), holder: context.holder().to_owned(), done };
    let mut response = post(context, Call::Turn, &serde_json::to_string(&turn)?).await?;
    Ok(serde_json::from_str::<TurnAnswer>(&response.text().await?)?.free)
}

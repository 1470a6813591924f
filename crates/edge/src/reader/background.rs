//! The work behind an answer, for the next reads: KV and R2 are filled, entries fetched
//! anew, floors proved anew.

use std::rc::Rc;

use newsreel_core::read::cache::Answer;
use newsreel_core::read::drive::SyncQuestion;
use newsreel_core::read::sync::FloorLookup;
use newsreel_core::wire::Key;
use worker::{Context, console_warn};

use crate::clock::now;
use crate::reader::context::ReadContext;
use crate::reader::drive::{FinishedRead, fetch};
use crate::reader::state::{may_sync_behind, reader, synced_behind};
use crate::reader::store::put_all;
use crate::reader::sync::sync;
use crate::reader::{metrics, singleflight, turns, window};

/// Starts the work that finished reads leave: counts, fills and refreshes. Opens a window and syncs where the
/// next reads need newer floors.
pub(crate) fn after_response(context: &Rc<ReadContext>, event: &Context, reads: &[FinishedRead]) {
    metrics::count(context, reads);
    let fills: Vec<_> = reads.iter().filter_map(|read| read.fill(context)).collect();
    if !fills.is_empty() || !context.turns.borrow().is_empty() {
        let storing = Rc::clone(context);
        turns::give_back_after(context, event, async move {
            put_all(&storing, fills).await;
        });
    }
    for read in reads.iter().filter(|read| context.can_refresh() && wants_refresh(read)) {
        let (context, key) = (Rc::clone(context), read.key().clone());
        // One refresh at a time for a key.
        if singleflight::may_refresh(&context.catalog, &key) {
            event.wait_until(async move {
                refresh(&context, &key).await;
            });
        }
    }
    if window::may_open(&context.catalog) {
        let context = Rc::clone(context);
        event.wait_until(async move {
            if let Err(error) = window::follow(&context).await {
                console_warn!("{}@{}: no window: {error}", context.catalog, context.edge);
            }
        });
    }
    if let Some(half) = lagging(context, reads)
        && may_sync_behind(&context.catalog)
    {
        let context = Rc::clone(context);
        event.wait_until(async move {
            let question = SyncQuestion { max_age: half, at_least: None, look: FloorLookup::default() };
            if let Err(error) = sync(&context, &question).await {
                console_warn!("{}@{}: {error}", context.catalog, context.edge);
            }
            synced_behind(&context.catalog);
        });
    }
}

fn wants_refresh(read: &FinishedRead) -> bool {
    matches!(read.answer(), Answer::Serve { refresh: true, .. })
}

/// Returns half of the tightest bound among the reads that want their floors proved anew.
fn lagging(context: &ReadContext, reads: &[FinishedRead]) -> Option<std::time::Duration> {
    let now = now();
    reader(&context.catalog, |reader| {
        let lagging = reads.iter().filter(|read| read.machine().sync_behind(now, &reader.known));
        lagging.map(|read| context.policy(read.key()).lag_bound / 2).min()
    })
}

/// Fetches an entry anew, with the same care as a read that waits for it, and stores it. Returns the fetch.
pub(crate) async fn refresh(context: &ReadContext, key: &Key) -> Vec<FinishedRead> {
    let reads = fetch(context, key).await;
    metrics::count_refresh(context, &reads);
    put_all(context, reads.iter().filter_map(|read| read.fill(context)).collect()).await;
    reads
}

//! The work behind an answer, for the next reads: KV and R2 are filled, entries fetched
//! anew, floors proved anew.

use std::rc::Rc;

use newsreel_core::read::cache::Answer;
use newsreel_core::read::drive::SyncQuestion;
use newsreel_core::read::sync::FloorLookup;
use newsreel_core::wire::Key;
use worker::{Context, console_warn};

use crate::clock::now;
use crate::reader::context::Place;
use crate::reader::drive::{Walk, fetch};
use crate::reader::state::{may_sync_behind, reader, synced_behind};
use crate::reader::store::put_all;
use crate::reader::sync::sync;
use crate::reader::{metrics, singleflight, window};

/// Starts the work that finished walks leave: counts, fills and refreshes. Opens a window and syncs where the
/// next reads need newer floors.
pub(crate) fn keep_up(place: &Rc<Place>, context: &Context, walks: &[Walk]) {
    metrics::count(place, walks);
    let fills: Vec<_> = walks.iter().filter_map(|walk| walk.fill(place)).collect();
    if !fills.is_empty() {
        let place = Rc::clone(place);
        context.wait_until(async move {
            put_all(&place, fills).await;
        });
    }
    for walk in walks.iter().filter(|walk| wants_refresh(walk)) {
        let (place, key) = (Rc::clone(place), walk.key().clone());
        // One refresh at a time for a key.
        if singleflight::may_refresh(&place.catalog, &key) {
            context.wait_until(async move { refresh(&place, &key).await });
        }
    }
    if window::may_open(&place.catalog) {
        let place = Rc::clone(place);
        context.wait_until(async move {
            if let Err(error) = window::follow(&place).await {
                console_warn!("{}@{}: no window: {error}", place.catalog, place.edge);
            }
        });
    }
    if let Some(half) = lagging(place, walks)
        && may_sync_behind(&place.catalog)
    {
        let place = Rc::clone(place);
        context.wait_until(async move {
            let question = SyncQuestion { max_age: half, at_least: None, look: FloorLookup::default() };
            if let Err(error) = sync(&place, &question).await {
                console_warn!("{}@{}: {error}", place.catalog, place.edge);
            }
            synced_behind(&place.catalog);
        });
    }
}

fn wants_refresh(walk: &Walk) -> bool {
    matches!(walk.answer(), Answer::Serve { refresh: true, .. })
}

/// Returns half of the tightest bound among the reads that want their floors proved anew.
fn lagging(place: &Place, walks: &[Walk]) -> Option<std::time::Duration> {
    let now = now();
    reader(&place.catalog, |reader| {
        let lagging = walks.iter().filter(|walk| walk.read().sync_behind(now, &reader.known));
        lagging.map(|walk| place.policy(walk.key()).lag_bound / 2).min()
    })
}

/// Fetches an entry anew, with the same care as a read that waits for it.
pub(crate) async fn refresh(place: &Place, key: &Key) {
    let walks = fetch(place, key).await;
    metrics::count_fetch(place, &walks);
    put_all(place, walks.iter().filter_map(|walk| walk.fill(place)).collect()).await;
}

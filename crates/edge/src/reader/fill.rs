//! Fills: keys that a caller has put into KV and R2 before their first read.

use std::rc::Rc;

use newsreel_core::wire::{Code, Key};
use worker::{Context, Response, Result};

use crate::http::text_response;
use crate::reader::background::keep_up;
use crate::reader::context::Place;
use crate::reader::drive::{Values, run};
use crate::reader::metrics;
use crate::reader::outcome::{Outcome, outcome};
use crate::reader::response::body::{heard, quoted};
use crate::reader::response::headers::Served;
use crate::reader::store::{Fill, put_all};

/// How many keys are filled at once: each value stays in memory until KV and R2 have it.
const FILLED_AT_ONCE: usize = 4;

/// The outcome of a fill: keys by what became of each, as texts of JSON.
#[derive(Default)]
struct Filled {
    filled: Vec<String>,
    kept: Vec<String>,
    absent: Vec<String>,
    failed: Vec<String>,
    /// The JSON members with the catalog, and the reader's position and lag.
    head: String,
}

/// Answers `POST fill`: reads each key with no client waiting for its value, so that KV and R2 have it.
pub(crate) async fn ahead(place: &Rc<Place>, context: &Context, keys: &[Key]) -> Result<Response> {
    let mut all = Filled::default();
    for some in keys.chunks(FILLED_AT_ONCE) {
        all.fill(place, some).await;
    }
    keep_up(place, context, &[]);
    let Filled { filled, kept, absent, failed, head } = all;
    let [filled, kept, absent, failed] = [filled, kept, absent, failed].map(|list| list.join(","));
    let json =
        format!(r#"{{{head},"filled":[{filled}],"kept":[{kept}],"absent":[{absent}],"failed":[{failed}]}}"#);
    text_response("application/json", json)
}

impl Filled {
    /// Fills some keys. The writes to KV and R2 are awaited, so that the answer tells which of them failed.
    async fn fill(&mut self, place: &Place, keys: &[Key]) {
        let reads = keys.iter().map(|key| place.read(key, None).ahead()).collect();
        let walks = run(place, reads, Values::All).await;
        metrics::count_fills(place, &walks);
        let fills: Vec<Option<Fill>> = walks.iter().map(|walk| walk.fill(place)).collect();
        let is_filled: Vec<bool> = fills.iter().map(Option::is_some).collect();
        let mut puts = put_all(place, fills.into_iter().flatten().collect()).await.into_iter();
        for (walk, is_filled) in walks.iter().zip(is_filled) {
            let served = Served::by(place, walk);
            self.head = heard(place, &served);
            let key = quoted(walk.key().as_str());
            let refused = is_filled.then(|| puts.next()).flatten().and_then(Result::err);
            let outcome = outcome(place, walk, None, &served);
            let not_stored = walk.entry().and_then(|entry| entry.envelope.not_stored.as_ref());
            match (outcome, not_stored, refused) {
                (Outcome::Failed(problem), ..) => self.failed(&key, problem.code(), problem.detail()),
                (_, Some(why), _) => self.failed(&key, "not-storable", &why.to_string()),
                (_, _, Some(refused)) => self.failed(&key, Code::Busy.text(), &refused.to_string()),
                (Outcome::NotFound(..), ..) => self.absent.push(key),
                (Outcome::Value, ..) if is_filled => self.filled.push(key),
                (Outcome::Value, ..) => self.kept.push(key),
            }
        }
    }

    fn failed(&mut self, key: &str, code: &str, detail: &str) {
        let detail = quoted(detail);
        self.failed.push(format!(r#"{{"key":{key},"code":"{code}","detail":{detail}}}"#));
    }
}

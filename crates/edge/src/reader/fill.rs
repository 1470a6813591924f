//! Fills: keys that a caller has put into KV and R2 before their first read.

use std::rc::Rc;

use newsreel_core::wire::{Code, Key};
use serde::Serialize;
use worker::{Context, Response, Result};

use crate::http::json_response;
use crate::reader::background::after_response;
use crate::reader::context::ReadContext;
use crate::reader::drive::{Values, run};
use crate::reader::metrics;
use crate::reader::outcome::{Outcome, outcome};
use crate::reader::response::headers::Provenance;
use crate::reader::response::wrapped::KnownAt;
use crate::reader::store::{Fill, put_all};

/// How many keys are filled at once: each value stays in memory until KV and R2 have it.
const FILLED_AT_ONCE: usize = 4;

/// The answer to a fill: keys by what became of each, and what the reader knew when it judged the last.
#[derive(Default, Serialize)]
struct Filled<'a> {
    #[serde(flatten)]
    known: Option<KnownAt>,
    filled: Vec<&'a Key>,
    kept: Vec<&'a Key>,
    absent: Vec<&'a Key>,
    failed: Vec<FailedKey<'a>>,
}

/// A key that was not filled, with the parts of a problem.
#[derive(Serialize)]
struct FailedKey<'a> {
    key: &'a Key,
    code: &'static str,
    detail: String,
}

/// Answers `POST fill`: reads each key with no client waiting for its value, so that KV and R2 have it.
pub(crate) async fn fill_all(context: &Rc<ReadContext>, event: &Context, keys: &[Key]) -> Result<Response> {
    let mut all = Filled::default();
    for some in keys.chunks(FILLED_AT_ONCE) {
        all.fill(context, some).await;
    }
    after_response(context, event, &[]);
    json_response(&all)
}

impl<'a> Filled<'a> {
    /// Fills some keys. The writes to KV and R2 are awaited, so that the answer tells which of them failed.
    async fn fill(&mut self, context: &ReadContext, keys: &'a [Key]) {
        let reads = keys.iter().map(|key| context.read(key, None).prefetching()).collect();
        let reads = run(context, reads, Values::All).await;
        metrics::count_fills(context, &reads);
        let fills: Vec<Option<Fill>> = reads.iter().map(|read| read.fill(context)).collect();
        let is_filled: Vec<bool> = fills.iter().map(Option::is_some).collect();
        let mut puts = put_all(context, fills.into_iter().flatten().collect()).await.into_iter();
        for ((key, read), is_filled) in keys.iter().zip(&reads).zip(is_filled) {
            let provenance = Provenance::by(context, read);
            self.known = Some(KnownAt::of(context, &provenance));
            let refused = is_filled.then(|| puts.next()).flatten().and_then(Result::err);
            let outcome = outcome(context, read, None, &provenance);
            let not_stored = read.entry().and_then(|entry| entry.envelope.not_stored.as_ref());
            match (outcome, not_stored, refused) {
                (Outcome::Failed(problem), ..) => self.failed(key, problem.code(), problem.detail()),
                (_, Some(why), _) => self.failed(key, "not-storable", &why.to_string()),
                (_, _, Some(refused)) => self.failed(key, Code::Busy.text(), &refused.to_string()),
                (Outcome::NotFound(..), ..) => self.absent.push(key),
                (Outcome::Value, ..) if is_filled => self.filled.push(key),
                (Outcome::Value, ..) => self.kept.push(key),
            }
        }
    }

    fn failed(&mut self, key: &'a Key, code: &'static str, detail: &str) {
        self.failed.push(FailedKey { key, code, detail: detail.to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_fill_has_the_released_members_in_their_order() {
        let key = Key::new("title:1").unwrap();
        let mut all = Filled { filled: vec![&key], ..Filled::default() };
        all.failed(&key, "busy", "a \"reason\"");
        assert_eq!(
            serde_json::to_string(&all).unwrap(),
            concat!(
                r#"{"filled":["title:1"],"kept":[],"absent":[],"#,
                r#""failed":[{"key":"title:1","code":"busy","detail":"a \"reason\""}]}"#
            )
        );
    }
}

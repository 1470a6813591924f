//! A read of many keys, answered together.

use std::rc::Rc;

use newsreel_core::read::sync::AtLeast;
use newsreel_core::wire::Key;
use newsreel_gate::Answer;
use worker::{Context, Request};

use crate::http::text_response;
use crate::reader::background::keep_up;
use crate::reader::context::Place;
use crate::reader::drive::{Values, Walk, run};
use crate::reader::outcome::{Outcome, outcome};
use crate::reader::request::min_version;
use crate::reader::response::body::{WRAPPED_BYTES, heard, members, quoted};
use crate::reader::response::headers::Served;

/// Answers `entries?key=…` and its twin with a body: one JSON with the answer that each key
/// alone would have had.
pub(crate) async fn many(request: &Request, place: &Rc<Place>, context: &Context, keys: &[Key]) -> Answer {
    let at_least = min_version(request)?;
    let reads = keys.iter().map(|key| place.read(key, at_least)).collect();
    let walks = run(place, reads, Values::Small).await;
    let (mut entries, mut head, mut room) = (Vec::new(), String::new(), WRAPPED_BYTES);
    for walk in &walks {
        let served = Served::by(place, walk);
        head = heard(place, &served);
        entries.push(entry(place, walk, at_least, &served, room));
        let length = walk.entry().map_or(0, |entry| entry.body.length());
        room -= if length <= room { length } else { 0 };
    }
    let json = format!("{{{head},\"entries\":[{}]}}", entries.join(","));
    keep_up(place, context, &walks);
    Ok(text_response("application/json", json)?)
}

fn entry(place: &Place, walk: &Walk, at_least: Option<AtLeast>, served: &Served, room: u64) -> String {
    let fetched_at = walk.entry().map(|entry| entry.envelope.fetched_at);
    let rest = match outcome(place, walk, at_least, served) {
        Outcome::Value => {
            format!(
                r#""status":200,{}"#,
                members(walk.entry().expect("what is served was held"), served, room)
            )
        }
        Outcome::NotFound(problem, _) | Outcome::Failed(problem) => {
            let (status, code, detail) = (problem.status(), problem.code(), quoted(problem.detail()));
            format!(r#""status":{status},"code":"{code}","detail":{detail}"#)
        }
    };
    format!(
        r#"{{"key":{},{rest},"cache_status":{}}}"#,
        quoted(walk.key().as_str()),
        quoted(&served.cache_status(fetched_at))
    )
}

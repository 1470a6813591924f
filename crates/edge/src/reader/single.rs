//! A read of one key.

use std::rc::Rc;

use newsreel_core::read::sync::MinVersion;
use newsreel_core::wire::Key;
use newsreel_gate::{Answer, Failure};
use worker::{Context, Request};

use crate::http::json_response;
use crate::reader::background::keep_up;
use crate::reader::context::Place;
use crate::reader::drive::{Values, Walk, run};
use crate::reader::explain::Explanation;
use crate::reader::outcome::{Outcome, outcome};
use crate::reader::request::min_version;
use crate::reader::response::headers::Served;
use crate::reader::response::{body, headers};

/// Answers `GET /v1/catalogs/{catalog}/entries/{key}`: with the value, or with how the read came to it.
pub(crate) async fn one(
    request: &Request,
    place: &Rc<Place>,
    context: &Context,
    key: &Key,
    explain: bool,
) -> Answer {
    let at_least = min_version(request)?;
    let read = place.read(key, at_least);
    let read = if explain { read.explained() } else { read };
    let walks = run(place, vec![read], Values::All).await;
    let walk = walks.first().expect("one read has one answer");
    let served = Served::by(place, walk);
    let answered = if explain {
        json_response(&Explanation::of(place, walk, &served)).map_err(Failure::from)
    } else {
        respond(request, place, walk, at_least, &served).await
    };
    keep_up(place, context, &walks);
    answered
}

async fn respond(
    request: &Request,
    place: &Place,
    walk: &Walk,
    at_least: Option<MinVersion>,
    served: &Served,
) -> Answer {
    match outcome(place, walk, at_least, served) {
        Outcome::Value => {
            let entry = walk.entry().expect("what is served was held");
            body::respond(place, request, entry, served).await
        }
        Outcome::NotFound(problem, at) => {
            Ok(headers::problem_with_proof(&problem, served, at, walk.entry())?)
        }
        Outcome::Failed(problem) => Ok(headers::failure_response(&problem, served)?),
    }
}

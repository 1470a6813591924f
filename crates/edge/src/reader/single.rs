//! A read of one key.

use std::rc::Rc;

use newsreel_core::read::sync::MinVersion;
use newsreel_core::wire::Key;
use newsreel_gate::{Answer, Failure};
use worker::{Context, Request};

use crate::http::json_response;
use crate::reader::background::after_response;
use crate::reader::context::ReadContext;
use crate::reader::drive::{FinishedRead, Values, run};
use crate::reader::explain::Explanation;
use crate::reader::outcome::{Outcome, outcome};
use crate::reader::request::min_version;
use crate::reader::response::headers::Provenance;
use crate::reader::response::{body, headers};

/// Answers `GET /v1/catalogs/{catalog}/entries/{key}`: with the value, or with how the read came to it.
pub(crate) async fn one(
    request: &Request,
    context: &Rc<ReadContext>,
    event: &Context,
    key: &Key,
    explain: bool,
) -> Answer {
    let at_least = min_version(request)?;
    let read = context.read(key, at_least);
    let read = if explain { read.explained() } else { read };
    let reads = run(context, vec![read], Values::All).await;
    let read = reads.first().expect("one read has one answer");
    let provenance = Provenance::by(context, read);
    let answered = if explain {
        json_response(&Explanation::of(context, read, &provenance)).map_err(Failure::from)
    } else {
        respond(request, context, read, at_least, &provenance).await
    };
    after_response(context, event, &reads);
    answered
}

/// Answers with what a finished read gives, and starts the work that the read leaves.
pub(crate) async fn finish(
    request: &Request,
    context: &Rc<ReadContext>,
    event: &Context,
    read: FinishedRead,
    at_least: Option<MinVersion>,
) -> Answer {
    let provenance = Provenance::by(context, &read);
    let answered = respond(request, context, &read, at_least, &provenance).await;
    after_response(context, event, &[read]);
    answered
}

async fn respond(
    request: &Request,
    context: &ReadContext,
    read: &FinishedRead,
    at_least: Option<MinVersion>,
    provenance: &Provenance,
) -> Answer {
    match outcome(context, read, at_least, provenance) {
        Outcome::Value => {
            let entry = read.entry().expect("what is served was held");
            body::respond(context, request, entry, provenance).await
        }
        Outcome::NotFound(problem, at) => {
            Ok(headers::problem_with_proof(&problem, provenance, at, read.entry())?)
        }
        Outcome::Failed(problem) => Ok(headers::failure_response(&problem, provenance)?),
    }
}

//! Shadow mode (`SHADOW`): the address that served the values so far still does. Behind its answer the same key is read as
//! usual, and the two are compared and counted. No client notices.

use std::rc::Rc;

use newsreel_core::metrics::counts::Count;
use newsreel_core::wire::keys::encoded_key;
use newsreel_core::wire::{Code, Key, Problem};
use newsreel_gate::Answer;
use worker::{Context, Fetch, Headers, Request, Response, console_log, console_warn};

use crate::http::get;
use crate::reader::background::refresh;
use crate::reader::context::ReadContext;
use crate::reader::drive::{FinishedRead, Values, run};
use crate::reader::metrics;
use crate::reader::outcome::{Outcome, outcome};
use crate::reader::response::headers::Provenance;
use crate::reader::state::reader;
use crate::reader::store::put_all;
use crate::streams;

/// The headers of a request that the old address is sent.
const PASSED: [&str; 4] = ["Accept", "If-None-Match", "If-Range", "Range"];

/// What one side gives for a key: the bytes of its value, or that there is none.
type Given = Option<Rc<[u8]>>;

/// Answers a read with what the old address says, and compares it with Newsreel's own answer behind it.
pub(crate) async fn serve_old(
    request: &Request,
    context: &Rc<ReadContext>,
    event: &Context,
    key: &Key,
    old: &str,
) -> Answer {
    let headers = Headers::new();
    for name in PASSED {
        if let Some(value) = request.headers().get(name)? {
            headers.set(name, &value)?;
        }
    }
    let url = format!("{old}/{}/{}", context.catalog, encoded_key(key));
    let mut response = Fetch::Request(get(&url, &headers)?).send().await.map_err(|error| {
        Problem::new(Code::OriginFailed, format!("SHADOW: {url} gives no answer: {error}"))
    })?;
    // A part of a value, or none because the client has it, is not the value.
    if matches!(response.status_code(), 200 | 404 | 410) {
        let (served, context, key) = (response.cloned()?, Rc::clone(context), key.clone());
        event.wait_until(async move {
            if let Err(error) = compare(&context, &key, served).await {
                console_warn!("shadow: {key} is not compared: {error}");
            }
        });
    }
    Ok(response)
}

async fn compare(context: &ReadContext, key: &Key, served: Response) -> worker::Result<()> {
    let old: Given = match served.status_code() {
        200 => Some(streams::read_body(&served, &[]).await?.to_vec().into()),
        _ => None,
    };
    let reads = run(context, vec![context.read(key, None)], Values::All).await;
    metrics::count(context, &reads);
    put_all(context, reads.iter().filter_map(|read| read.fill(context)).collect()).await;
    let verdict = match reads.first().and_then(|read| given(context, read)) {
        None => Count::ShadowFailed,
        Some(ours) if ours == old => Count::ShadowSame,
        Some(ours) => which_is_newer(context, key, &old, &ours).await,
    };
    reader(&context.catalog, |reader| reader.counts.add(key.class(), verdict, 1));
    if !matches!(verdict, Count::ShadowSame) {
        let (catalog, cache) = (&context.catalog, reads.first().map(|read| cache_status(context, read)));
        console_log!("shadow: {catalog} {key}: {verdict:?}; {}", cache.unwrap_or_default());
    }
    Ok(())
}

/// Asks the origin once more: the side that says the same is the newer one.
async fn which_is_newer(context: &ReadContext, key: &Key, old: &Given, ours: &Given) -> Count {
    let reads = refresh(context, key).await;
    match reads.first().and_then(|read| given(context, read)) {
        None => Count::ShadowFailed,
        Some(now) if now == *ours => Count::ShadowNewer,
        Some(now) if now == *old => Count::ShadowOlder,
        Some(_) => Count::ShadowDiffers,
    }
}

/// Returns what a read gives; `None` where it fails, or where its bytes are not at hand.
fn given(context: &ReadContext, read: &FinishedRead) -> Option<Given> {
    match outcome(context, read, None, &Provenance::by(context, read)) {
        Outcome::Value => read.entry()?.body.bytes().map(Some),
        Outcome::NotFound(..) => Some(None),
        Outcome::Failed(_) => None,
    }
}

fn cache_status(context: &ReadContext, read: &FinishedRead) -> String {
    Provenance::by(context, read).cache_status(read.entry().map(|entry| entry.envelope.fetched_at))
}

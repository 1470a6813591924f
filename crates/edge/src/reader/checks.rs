//! The wrong answers that the check by schedule found, for an operator.

use newsreel_core::wire::Catalog;
use serde::Serialize;
use serde_json::Value;
use worker::{Response, Result};

use crate::http::json_response;
use crate::protocol::Call;
use crate::reader::context::ReadContext;
use crate::reader::cron::home;
use crate::reader::edges::ask;

/// The answer of `GET checks`.
#[derive(Serialize)]
struct Checks<'a> {
    catalog: &'a Catalog,
    /// The newest first.
    findings: Vec<Value>,
}

/// Answers `GET checks`.
///
/// # Errors
/// When the replica that keeps them cannot be reached.
pub(crate) async fn show(context: &ReadContext) -> Result<Response> {
    let findings = ask(context, &home(&context.config), Call::Findings, "").await?;
    json_response(&Checks { catalog: &context.catalog, findings })
}

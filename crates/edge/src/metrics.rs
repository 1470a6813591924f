//! The counters.

use worker::{Response, Result};

use crate::headers::text_response;
use crate::place::Place;

/// Answers `GET metrics`.
pub(crate) async fn show(place: &Place) -> Result<Response> {
    crate::sync::post(place, "metrics", "").await?;
    text_response("text/plain; version=0.0.4", String::new())
}

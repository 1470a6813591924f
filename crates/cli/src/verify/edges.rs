//! The edges, read as any client reads them, and asked for their explanations.

use std::time::Duration;

use newsreel_core::wire::keys::encoded_key;
use newsreel_core::wire::{Catalog, Key, Position};
use reqwest::Client;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::judge::{Fingerprint, ServedValue, Word};
use super::options::EdgeAddress;
use super::truth::{digest, why};
use crate::exit::Failure;
use crate::following::SteadyClock;
use crate::http::{self, exchange, problem};

/// How long an edge may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The headers of an answer that a trace shows.
const SHOWN: [&str; 8] = [
    "Newsreel-Version",
    "Newsreel-Entry-Version",
    "Newsreel-Freshness",
    "Cache-Status",
    "CF-Cache-Status",
    "Age",
    "Date",
    "Via",
];

/// One edge.
pub(super) struct EdgeClient {
    /// The name in the report.
    pub(super) name: String,
    client: Client,
    /// Up to the slash before the key.
    entries: String,
    bearer: Option<HeaderValue>,
    clock: SteadyClock,
}

/// An answer of an edge, with what a trace shows of it.
pub(super) struct EdgeAnswer {
    pub(super) served: ServedValue,
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
}

impl EdgeClient {
    /// Returns the edge at an address. The token is for explanations alone.
    pub(super) fn new(
        at: &EdgeAddress,
        catalog: &Catalog,
        bearer: Option<HeaderValue>,
        clock: SteadyClock,
    ) -> Result<Self, Failure> {
        let entries = format!("{}/v1/catalogs/{catalog}/entries/", at.url.as_str().trim_end_matches('/'));
        Ok(Self { name: at.name.clone(), client: http::client(&at.url)?, entries, bearer, clock })
    }

    /// Reads a key.
    ///
    /// # Errors
    /// In words, if the edge gives neither a value nor "not found".
    pub(super) async fn read(&self, key: &Key) -> Result<EdgeAnswer, String> {
        let asked_at = self.clock.now();
        let request = self.client.get(format!("{}{}", self.entries, encoded_key(key))).timeout(ANSWER_WITHIN);
        let answer = exchange(request).await.map_err(why)?;
        let answered_at = self.clock.now();
        let text = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
        let value = match answer.status.as_u16() {
            200 => Fingerprint::Value(digest(&answer.body), text("Content-Type").map(str::to_owned)),
            404 if problem(answer.status, &answer.body).0 == "not-found" => Fingerprint::NotFound,
            status => {
                let (code, detail) = problem(answer.status, &answer.body);
                return Err(format!("{status} {code}: {detail}"));
            }
        };
        let position = |name| text(name).and_then(|text| text.parse::<Position>().ok());
        let served = ServedValue {
            value,
            word: word(&answer.headers),
            position: position("Newsreel-Version"),
            entry: position("Newsreel-Entry-Version"),
            asked_at,
            answered_at,
        };
        let headers = SHOWN.iter().filter_map(|name| Some((*name, text(name)?.to_owned()))).collect();
        Ok(EdgeAnswer { served, status: answer.status.as_u16(), headers })
    }

    /// Returns why the edge answers as it does, as it says itself, or why it does not say.
    pub(super) async fn explain(&self, key: &Key) -> Value {
        let Some(bearer) = &self.bearer else { return json!({ "unexplained": "no token" }) };
        let request = self.client.get(format!("{}{}?explain=1", self.entries, encoded_key(key)));
        match exchange(request.timeout(ANSWER_WITHIN).header("Authorization", bearer)).await {
            Ok(answer) => serde_json::from_slice(&answer.body)
                .unwrap_or_else(|_| json!({ "unexplained": answer.status.to_string() })),
            Err(error) => json!({ "unexplained": why(error) }),
        }
    }
}

fn word(headers: &HeaderMap) -> Word {
    let text = headers.get("Newsreel-Freshness").and_then(|value| value.to_str().ok()).unwrap_or_default();
    match text.split(';').next().unwrap_or_default().trim() {
        "stale" => Word::Stale,
        "revalidating" => Word::Revalidating,
        _ => Word::Fresh,
    }
}

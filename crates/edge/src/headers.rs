//! What a response says of itself: which tiers were asked, how old the answer is, how much may be reused.

use std::time::Duration;

use newsreel_core::cache::{Freshness, Tier, Visit};
use newsreel_core::floors::By;
use newsreel_core::policy::Policy;
use newsreel_core::wire::etag;
use newsreel_core::wire::problem::{MEDIA_TYPE, Problem};
use newsreel_core::wire::{Address, Position, Tag, UnixMillis};
use worker::{Headers, Method, Request, Response, ResponseBuilder, Result};

use crate::tiers::Entry;

/// How an answer came about.
pub(crate) struct Served {
    /// When it was judged.
    pub(crate) now: UnixMillis,
    /// The reader's position then.
    pub(crate) position: Option<Position>,
    /// Its lag then.
    pub(crate) lag: Option<Duration>,
    /// What its class promises.
    pub(crate) policy: Policy,
    /// Whose entry it is; none where the log itself had the answer.
    pub(crate) from: Option<Tier>,
    /// How recent it is.
    pub(crate) freshness: Freshness,
    /// What each tier had, in the order asked.
    pub(crate) visits: Vec<(Tier, Visit)>,
    /// Which tiers it was put into.
    pub(crate) filled: Vec<Tier>,
}

/// Returns the response that carries a value: 200, or 304 where the reader has it already.
pub(crate) fn value_response(request: &Request, entry: &Entry, served: &Served) -> Result<Response> {
    let envelope = &entry.envelope;
    let headers = proof(served, Some(envelope.position), Some(envelope.fetched_at))?;
    headers.set("ETag", &envelope.etag)?;
    headers.set("Cache-Control", &served.reusable_for(envelope.expires_at))?;
    if !envelope.tags.is_empty() {
        let tags: Vec<&str> = envelope.tags.iter().map(Tag::as_str).collect();
        headers.set("Cache-Tag", &tags.join(","))?;
    }
    let wanted = request.headers().get("If-None-Match")?;
    let builder = ResponseBuilder::new();
    if wanted.is_some_and(|wanted| etag::is_named(&wanted, &envelope.etag)) {
        return Ok(builder.with_headers(headers).with_status(304).empty());
    }
    let (content_type, body) = if asks_for_envelope(request) {
        ("application/json", wrapped(entry, served).into_bytes())
    } else {
        (envelope.content_type.as_str(), entry.body.to_vec())
    };
    headers.set("Content-Type", content_type)?;
    if request.method() == Method::Head {
        headers.set("Content-Length", &body.len().to_string())?;
        return Ok(builder.with_headers(headers).empty());
    }
    Ok(builder.with_headers(headers).fixed(body))
}

/// Returns a problem that is an answer of the cache, with the proof of how recent it is.
pub(crate) fn problem_with_proof(
    problem: &Problem,
    served: &Served,
    entry: Option<Position>,
    fetched_at: Option<UnixMillis>,
) -> Result<Response> {
    let headers = proof(served, entry, fetched_at)?;
    headers.set("Content-Type", MEDIA_TYPE)?;
    headers.set("Cache-Control", &served.reusable_for(served.now.plus(served.policy.ttl)))?;
    let builder = ResponseBuilder::new().with_status(problem.status()).with_headers(headers);
    Ok(builder.fixed(problem.to_json().into_bytes()))
}

/// Returns a problem that no entry is behind.
pub(crate) fn problem_response(problem: &Problem) -> Result<Response> {
    let headers = Headers::new();
    headers.set("Content-Type", MEDIA_TYPE)?;
    for (name, value) in problem.headers() {
        headers.set(name, &value)?;
    }
    let builder = ResponseBuilder::new().with_status(problem.status()).with_headers(headers);
    Ok(builder.fixed(problem.to_json().into_bytes()))
}

fn proof(served: &Served, entry: Option<Position>, fetched_at: Option<UnixMillis>) -> Result<Headers> {
    let headers = Headers::new();
    if let Some(position) = served.position {
        headers.set("Newsreel-Version", &position.to_string())?;
    }
    if let Some(entry) = entry {
        headers.set("Newsreel-Entry-Version", &entry.to_string())?;
    }
    let age = fetched_at.map_or(Duration::ZERO, |at| served.now.since(at));
    let word = match served.freshness {
        Freshness::Fresh => "fresh",
        Freshness::Revalidating => "revalidating",
        Freshness::Stale => "stale",
    };
    let lag = served.lag.map_or(String::new(), |lag| format!("; lag={}", seconds(lag)));
    headers.set("Newsreel-Freshness", &format!("{word}; age={}{lag}", seconds(age)))?;
    headers.set("Age", &age.as_secs().to_string())?;
    let status = served.cache_status(fetched_at);
    if !status.is_empty() {
        headers.set("Cache-Status", &status)?;
    }
    Ok(headers)
}

impl Served {
    /// Returns RFC 9211's list: a member for each cache asked, the one nearest to the origin first.
    fn cache_status(&self, fetched_at: Option<UnixMillis>) -> String {
        let caches = self.visits.iter().filter(|(tier, _)| *tier != Tier::Origin);
        let mut members: Vec<String> =
            caches.map(|(tier, visit)| self.member(*tier, *visit, fetched_at)).collect();
        members.reverse();
        members.join(", ")
    }

    fn member(&self, tier: Tier, visit: Visit, fetched_at: Option<UnixMillis>) -> String {
        let name = match tier {
            Tier::Memory => "newsreel-memory",
            Tier::Kv => "newsreel-kv",
            Tier::Origin => "newsreel-origin",
        };
        let outcome = match visit {
            _ if self.from == Some(tier) => format!("hit; ttl={}", self.time_left(fetched_at)),
            Visit::Hit => "hit".to_owned(),
            Visit::Miss => "fwd=uri-miss".to_owned(),
            Visit::OtherEpoch => "fwd=stale; detail=other-epoch".to_owned(),
            Visit::Expired => "fwd=stale; detail=expired".to_owned(),
            Visit::Soft => "fwd=stale; detail=below-soft-floor".to_owned(),
            Visit::Below(By::Key) => "fwd=stale; detail=below-floor-of-key".to_owned(),
            Visit::Below(By::Tag) => "fwd=stale; detail=below-floor-of-tag".to_owned(),
            Visit::Below(By::Prefix) => "fwd=stale; detail=below-floor-of-prefix".to_owned(),
            Visit::Below(By::All) => "fwd=stale; detail=below-floor-of-all".to_owned(),
            Visit::Failed => "fwd=bypass; detail=failed".to_owned(),
        };
        let stored = if self.filled.contains(&tier) { "; stored" } else { "" };
        format!("{name}; {outcome}{stored}")
    }

    /// Returns the seconds of freshness left, negative when it is past.
    fn time_left(&self, fetched_at: Option<UnixMillis>) -> i64 {
        let age = fetched_at.map_or(0, |at| self.now.since(at).as_secs());
        let ttl = self.policy.ttl.as_secs();
        i64::try_from(ttl).unwrap_or(i64::MAX) - i64::try_from(age).unwrap_or(i64::MAX)
    }

    /// Returns for how long others may reuse the answer: the unused part of the lag bound, for beyond it no
    /// floor reaches them; nothing if it is not fresh.
    fn reusable_for(&self, expires_at: UnixMillis) -> String {
        let unused = match (self.freshness, self.lag) {
            (Freshness::Fresh, Some(lag)) => self.policy.lag_bound.saturating_sub(lag),
            (Freshness::Fresh, None) | (Freshness::Revalidating | Freshness::Stale, _) => Duration::ZERO,
        };
        let seconds = unused.min(expires_at.since(self.now)).as_secs();
        if seconds == 0 {
            "public, max-age=0, must-revalidate".to_owned()
        } else {
            format!("public, max-age={seconds}")
        }
    }
}

fn asks_for_envelope(request: &Request) -> bool {
    Address::new(request.inner().url()).says("envelope", "1")
}

/// Wraps the value in JSON, with what is known of its freshness.
fn wrapped(entry: &Entry, served: &Served) -> String {
    let envelope = &entry.envelope;
    let text = std::str::from_utf8(&entry.body).ok();
    let is_json = envelope.content_type.split(';').next().is_some_and(|kind| kind.trim().ends_with("json"));
    let json = text.filter(|_| is_json).and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    let (value, encoding) = match (json, text) {
        (Some(json), _) => (json, "json"),
        (None, Some(text)) => (text.into(), "text"),
        (None, None) => (base64(&entry.body).into(), "base64"),
    };
    let confidence = match served.freshness {
        Freshness::Fresh => 1.0,
        Freshness::Revalidating => 0.5,
        Freshness::Stale => 0.0,
    };
    serde_json::json!({
        "value": value,
        "encoding": encoding,
        "content_type": envelope.content_type,
        "etag": envelope.etag,
        "tags": envelope.tags,
        "freshness": {
            "version": envelope.position.version,
            "position": envelope.position,
            "fetched_at": envelope.fetched_at,
            "expires_at": envelope.expires_at,
            "stale": served.freshness != Freshness::Fresh,
            "confidence": confidence,
            "last_updated": envelope.fetched_at,
            "next_update": envelope.expires_at,
        },
    })
    .to_string()
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Writes a duration in seconds, to the millisecond.
fn seconds(duration: Duration) -> String {
    format!("{}.{:03}", duration.as_secs(), duration.subsec_millis())
}

#[cfg(test)]
mod tests {
    use newsreel_core::policy::Policies;

    use super::*;

    fn served(freshness: Freshness, lag_ms: u64) -> Served {
        Served {
            now: UnixMillis(100_000),
            position: None,
            lag: Some(Duration::from_millis(lag_ms)),
            policy: Policies::default().of("embedding"),
            from: Some(Tier::Kv),
            freshness,
            visits: vec![(Tier::Memory, Visit::Below(By::Tag)), (Tier::Kv, Visit::Hit)],
            filled: vec![Tier::Memory],
        }
    }

    #[test]
    fn others_may_reuse_an_answer_for_the_unused_part_of_the_lag_bound() {
        let until = UnixMillis(10_000_000);
        assert_eq!(served(Freshness::Fresh, 10_500).reusable_for(until), "public, max-age=49");
        assert_eq!(
            served(Freshness::Fresh, 0).reusable_for(UnixMillis(103_000)),
            "public, max-age=3",
            "it expires before"
        );
        for spent in [
            served(Freshness::Fresh, 60_000),
            served(Freshness::Stale, 0),
            served(Freshness::Revalidating, 0),
        ] {
            assert_eq!(spent.reusable_for(until), "public, max-age=0, must-revalidate");
        }
    }

    #[test]
    fn the_cache_nearest_to_the_origin_is_named_first() {
        let status = served(Freshness::Fresh, 0).cache_status(Some(UnixMillis(40_000)));
        let memory = "newsreel-memory; fwd=stale; detail=below-floor-of-tag; stored";
        assert_eq!(status, format!("newsreel-kv; hit; ttl=86340, {memory}"));
    }
}

//! The headers of a response: which tiers were asked, how old the answer is, and for how long
//! caches may reuse it.

use std::time::Duration;

use newsreel_core::read::cache::{Envelope, Freshness, Tier, TierResult};
use newsreel_core::read::policy::Policy;
use newsreel_core::wire::problem::{MEDIA_TYPE, Problem};
use newsreel_core::wire::{Position, Tag, UnixMillis};
use worker::{Response, Result};

use crate::http::problem_of;
use crate::respond::HeaderList;
use crate::tiers::Entry;

/// The facts of an answer that its headers tell.
pub(crate) struct Provenance {
    /// When the answer was judged, by this isolate's clock.
    pub(crate) now: UnixMillis,
    /// The reader's position at that time; `None` before its first sync.
    pub(crate) position: Option<Position>,
    /// The time since the reader's floors were last proved complete; `None` if they never were.
    pub(crate) lag: Option<Duration>,
    /// The policy of the key's class: its time to live and its lag bound.
    pub(crate) policy: Policy,
    /// The tier whose entry is the answer; `None` for a removal, which the log itself tells,
    /// and for a failure.
    pub(crate) from: Option<Tier>,
    /// Whether the answer is fresh, is revalidated behind it, or is stale.
    pub(crate) freshness: Freshness,
    /// Each tier that was asked, in that order, with what the read found there.
    pub(crate) visits: Vec<(Tier, TierResult)>,
    /// The tiers that the entry is put into.
    pub(crate) filled: Vec<Tier>,
    /// Whether the entry came from a fetch that another request had begun (singleflight).
    pub(crate) collapsed: bool,
    /// Whether the entry holds a value; an entry can also record that the origin has none.
    pub(crate) found: bool,
    /// Whether web pages may be shown it, each by a header with its own origin.
    pub(crate) shown_to_pages: bool,
}

/// The longest `Cache-Tag`, which is what Cloudflare reads of one. Clients have less room for all headers together, so
/// it is sent to caches only (`SEND_CACHE_TAG`).
const CACHE_TAG_BYTES: usize = 16 << 10;

/// Returns the headers of a value but for its entity tag, with its tags if they are to be sent.
pub(crate) fn value_headers(entry: &Entry, provenance: &Provenance, send_cache_tag: bool) -> HeaderList {
    let mut headers = passing(entry, provenance);
    add_lasting(&mut headers, entry, provenance.shown_to_pages, send_cache_tag);
    headers
}

/// Returns the headers that say how recent a value is, and so differ between its responses.
pub(crate) fn passing(entry: &Entry, provenance: &Provenance) -> HeaderList {
    let envelope = &entry.envelope;
    let mut headers = recency(provenance, Some(envelope.fetched_at));
    headers.add("Cache-Control", provenance.cache_control(Some(envelope)));
    headers
}

/// Adds the headers that are the same in every response with this value, but for its entity tag.
pub(crate) fn add_lasting(
    headers: &mut HeaderList,
    entry: &Entry,
    shown_to_pages: bool,
    send_cache_tag: bool,
) {
    let envelope = &entry.envelope;
    headers.add("Newsreel-Entry-Version", envelope.position);
    headers.add("Vary", vary(shown_to_pages));
    if send_cache_tag && !envelope.tags.is_empty() {
        headers.add("Cache-Tag", cache_tag(&envelope.tags));
    }
}

/// A cache must not answer a request for a minimum version with a response kept for a request without one.
fn vary(shown_to_pages: bool) -> &'static str {
    if shown_to_pages { "Newsreel-Min-Version, Origin" } else { "Newsreel-Min-Version" }
}

/// Writes the tags that fit, in their order.
fn cache_tag(tags: &[Tag]) -> String {
    let mut text = String::new();
    for tag in tags.iter().map(Tag::as_str) {
        if text.len() + 1 + tag.len() > CACHE_TAG_BYTES {
            break;
        }
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(tag);
    }
    text
}

/// Returns a problem that is an answer of the cache, with the proof of how recent it is.
pub(crate) fn problem_with_proof(
    problem: &Problem,
    provenance: &Provenance,
    says: Option<Position>,
    entry: Option<&Entry>,
) -> Result<Response> {
    let mut headers = recency(provenance, entry.map(|entry| entry.envelope.fetched_at));
    if let Some(says) = says {
        headers.add("Newsreel-Entry-Version", says);
    }
    headers.add("Vary", vary(provenance.shown_to_pages));
    headers.add("Content-Type", MEDIA_TYPE);
    headers.add("Cache-Control", provenance.cache_control(entry.map(|entry| &*entry.envelope)));
    Ok(headers.respond(problem.status(), problem.to_json().as_bytes())?.into())
}

/// Returns the problem with which a read failed, with the reader's position and what each tier had.
pub(crate) fn failure_response(problem: &Problem, provenance: &Provenance) -> Result<Response> {
    let headers = heard(provenance, None);
    problem_of(problem, headers.to_headers()?)
}

/// Returns the reader's position, what each tier had, and how old the answer is.
fn recency(provenance: &Provenance, fetched_at: Option<UnixMillis>) -> HeaderList {
    let mut headers = heard(provenance, fetched_at);
    let age = fetched_at.map_or(Duration::ZERO, |at| provenance.now.since(at));
    let word = provenance.freshness.name();
    let lag = provenance.lag.map_or(String::new(), |lag| format!("; lag={}", seconds(lag)));
    headers.add("Newsreel-Freshness", format_args!("{word}; age={}{lag}", seconds(age)));
    headers.add("Age", age.as_secs());
    headers
}

/// Returns the headers that a failure has too: the reader's position, and what each tier had.
fn heard(provenance: &Provenance, fetched_at: Option<UnixMillis>) -> HeaderList {
    let mut headers = HeaderList::default();
    if let Some(position) = provenance.position {
        headers.add("Newsreel-Version", position);
    }
    let status = provenance.cache_status(fetched_at);
    if !status.is_empty() {
        headers.add("Cache-Status", status);
    }
    headers
}

impl Provenance {
    /// Returns RFC 9211's list: a member for each cache asked, the one nearest to the origin first. Only that
    /// member tells the origin's status, or that another read's fetch was shared.
    pub(crate) fn cache_status(&self, fetched_at: Option<UnixMillis>) -> String {
        let caches = self.visits.iter().filter(|(tier, _)| *tier != Tier::Origin);
        let mut members: Vec<String> =
            caches.map(|(tier, visit)| self.member(*tier, *visit, fetched_at)).collect();
        if let Some(last) = members.last_mut().filter(|_| self.from == Some(Tier::Origin)) {
            last.push_str(match (self.collapsed, self.found) {
                (true, _) => "; collapsed",
                (false, true) => "; fwd-status=200",
                (false, false) => "; fwd-status=404",
            });
        }
        members.reverse();
        members.join(", ")
    }

    fn member(&self, tier: Tier, visit: TierResult, fetched_at: Option<UnixMillis>) -> String {
        let outcome = match visit {
            _ if self.from == Some(tier) && (visit == TierResult::Hit || !self.was_forwarded()) => {
                format!("hit; ttl={}", self.time_left(fetched_at))
            }
            TierResult::Hit => "hit".to_owned(),
            TierResult::Miss => "fwd=uri-miss".to_owned(),
            TierResult::Failed => "fwd=bypass; detail=failed".to_owned(),
            TierResult::OtherEpoch
            | TierResult::Expired
            | TierResult::Soft
            | TierResult::Below(_)
            | TierResult::Unknown
            | TierResult::Outvoted => format!("fwd=stale; detail={}", visit.name()),
        };
        let stored = if self.filled.contains(&tier) { "; stored" } else { "" };
        format!("newsreel-{}; {outcome}{stored}", tier.name())
    }

    /// Says whether the origin was asked before the answer.
    fn was_forwarded(&self) -> bool {
        self.visits.iter().any(|(tier, _)| *tier == Tier::Origin)
    }

    /// Returns the seconds of freshness left, negative when it is past.
    fn time_left(&self, fetched_at: Option<UnixMillis>) -> i64 {
        let age = fetched_at.map_or(0, |at| self.now.since(at).as_secs());
        let ttl = self.policy.ttl.as_secs();
        i64::try_from(ttl).unwrap_or(i64::MAX) - i64::try_from(age).unwrap_or(i64::MAX)
    }

    /// Returns `Cache-Control` for the answer: the origin's own, where it forbids to store the value;
    /// else reuse for the unused part of the lag bound, for beyond it no floor reaches them; nothing if
    /// it is not fresh.
    fn cache_control(&self, envelope: Option<&Envelope>) -> String {
        if let Some(why) = envelope.and_then(|envelope| envelope.not_stored.as_ref()) {
            return why.cache_control().to_owned();
        }
        let unused = match (self.freshness, self.lag) {
            (Freshness::Fresh, Some(lag)) => self.policy.lag_bound.saturating_sub(lag),
            (Freshness::Fresh, None) | (Freshness::Revalidating | Freshness::Stale, _) => Duration::ZERO,
        };
        // A removal has no expiry of its own, so the time to live of its class counts.
        let life = envelope.map_or(self.policy.ttl, |envelope| envelope.expires_at.since(self.now));
        let seconds = unused.min(life).as_secs();
        if seconds == 0 {
            return "public, max-age=0, must-revalidate".to_owned();
        }
        // Caches take `Age` off `max-age` (RFC 9111, 4.2).
        let age = envelope.map_or(0, |envelope| self.now.since(envelope.fetched_at).as_secs());
        format!("public, max-age={}", age + seconds)
    }
}

/// Writes a duration in seconds, to the millisecond.
fn seconds(duration: Duration) -> String {
    format!("{}.{:03}", duration.as_secs(), duration.subsec_millis())
}

#[cfg(test)]
pub(crate) mod tests {
    use newsreel_core::read::floors::FloorKind;
    use newsreel_core::read::policy::Policies;

    use newsreel_core::read::origin_answer::NotStored;

    use super::*;
    use crate::tiers::memory::tests::entry;

    /// A hit of KV, with this freshness and lag.
    pub(crate) fn provenance(freshness: Freshness, lag_ms: u64) -> Provenance {
        Provenance {
            now: UnixMillis(100_000),
            position: None,
            lag: Some(Duration::from_millis(lag_ms)),
            policy: Policies::default().of("embedding"),
            from: Some(Tier::Kv),
            freshness,
            visits: vec![(Tier::Memory, TierResult::Below(FloorKind::Tag)), (Tier::Kv, TierResult::Hit)],
            filled: vec![Tier::Memory],
            collapsed: false,
            found: true,
            shown_to_pages: false,
        }
    }

    /// An entry fetched and expiring at these times.
    fn envelope(fetched_at: u64, expires_at: u64) -> Envelope {
        let times = (UnixMillis(fetched_at), UnixMillis(expires_at));
        Envelope { fetched_at: times.0, expires_at: times.1, ..Envelope::clone(&entry(1, b"").envelope) }
    }

    #[test]
    fn others_may_reuse_an_answer_for_the_unused_part_of_the_lag_bound() {
        let reuse = |provenance: Provenance, fetched_at, expires_at| {
            provenance.cache_control(Some(&envelope(fetched_at, expires_at)))
        };
        assert_eq!(reuse(provenance(Freshness::Fresh, 10_500), 100_000, 10_000_000), "public, max-age=49");
        let soon = reuse(provenance(Freshness::Fresh, 0), 100_000, 103_000);
        assert_eq!(soon, "public, max-age=3", "it expires before");
        for spent in [
            provenance(Freshness::Fresh, 60_000),
            provenance(Freshness::Stale, 0),
            provenance(Freshness::Revalidating, 0),
        ] {
            assert_eq!(reuse(spent, 100_000, 10_000_000), "public, max-age=0, must-revalidate");
        }
        let removed = provenance(Freshness::Fresh, 10_500).cache_control(None);
        assert_eq!(removed, "public, max-age=49");
    }

    #[test]
    fn what_caches_may_reuse_is_beside_the_age_that_they_take_off_it() {
        let old = envelope(100_000 - 3_900, 10_000_000);
        let provenance = provenance(Freshness::Fresh, 58_200);
        assert_eq!(
            provenance.cache_control(Some(&old)),
            "public, max-age=4",
            "Age: 3, and 1 is left of the bound"
        );
    }

    #[test]
    fn an_answer_that_may_not_be_stored_is_never_public() {
        for (why, wanted) in [
            (NotStored::Private, "private, max-age=0, must-revalidate"),
            (NotStored::NoStore, "no-store"),
            (NotStored::NoCache, "no-cache"),
            (NotStored::Vary("Cookie".to_owned()), "no-store"),
        ] {
            let envelope = Envelope { not_stored: Some(why), ..envelope(100_000, 10_000_000) };
            assert_eq!(provenance(Freshness::Fresh, 0).cache_control(Some(&envelope)), wanted);
        }
    }

    #[test]
    fn tags_are_cut_where_one_ends() {
        let tags = |count: usize| -> Vec<Tag> {
            (0..count).map(|n| Tag::new(format!("tag:{n:014}")).unwrap()).collect()
        };
        assert_eq!(cache_tag(&tags(2)), "tag:00000000000000,tag:00000000000001");
        let cut = cache_tag(&tags(1_000));
        assert!(cut.len() <= CACHE_TAG_BYTES && cut.len() > CACHE_TAG_BYTES - 19, "{}", cut.len());
        assert!(cut.split(',').all(|tag| tag.len() == 18));
    }

    #[test]
    fn the_cache_nearest_to_the_origin_is_named_first() {
        let status = provenance(Freshness::Fresh, 0).cache_status(Some(UnixMillis(40_000)));
        let memory = "newsreel-memory; fwd=stale; detail=below-floor-of-tag; stored";
        assert_eq!(status, format!("newsreel-kv; hit; ttl=86340, {memory}"));
    }
}

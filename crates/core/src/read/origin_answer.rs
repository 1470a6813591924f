//! The meaning of an origin's answer: a value, "not found" or a failure, and whether caches may keep the answer.
//!
//! Every program that asks an origin reads the answer here: the Worker, `newsreel fill` and the simulator. This module
//! sees the status and the headers and never the body; how the body is to be read (its length, its content codings) is
//! part of the decision.

mod cache_control;
mod coding;
mod http_date;

use std::time::Duration;

pub use coding::Coding;

use crate::read::cache::{Envelope, ReadMachine};
use crate::read::policy::{OriginCacheControl, Policies, Policy};
use crate::wire::etag::EntityTag;
use crate::wire::name::{NameError, Tag, tags_from_header};
use crate::wire::position::{Position, UnixMillis};
use cache_control::Directives;
use coding::UnknownCoding;

/// The media type of a value that the origin sends without a `Content-Type`.
const DEFAULT_TYPE: &str = "application/octet-stream";
/// The longest `Location` that a message shows, in characters.
const SHOWN: usize = 200;

/// An answer of an origin, before its body is read.
pub struct OriginResponse<'a> {
    /// The status code of the HTTP answer.
    pub status: u16,
    /// Returns the value of a header, several lines of it joined with ", ", or `None` where there is none.
    pub header: &'a dyn Fn(&str) -> Option<String>,
    /// When the answer came, by the asking machine's clock.
    pub received_at: UnixMillis,
    /// Whether workerd fetched the answer: workerd undoes some codings itself.
    pub on_workerd: bool,
    /// Whether the letters of tags are read in lower case (`TAGS_FOLD_CASE`).
    pub fold_tags: bool,
}

/// The meaning of an origin's answer that is no failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginAnswer {
    /// The origin has a value: the bytes of the body, once its codings are undone.
    Value(OriginValue),
    /// The origin has no value for the key.
    NotFound(Keeping),
}

/// A value, as far as the headers describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginValue {
    /// The tags of `Cache-Tag` and `Surrogate-Key`, each once.
    pub tags: Vec<Tag>,
    /// The media type that the origin names, else `application/octet-stream`.
    pub content_type: String,
    /// The entity tag, quoted. `None` where the origin gives no tag that can be compared.
    pub etag: Option<String>,
    /// The length of the value in bytes, where the origin says so and no coding has to be undone.
    pub length: Option<u64>,
    /// The codings that are left to undo, in this order, before the body is the value.
    pub codings: Vec<Coding>,
    /// Whether caches may keep the value, and for how long.
    pub keeping: Keeping,
}

/// Whether caches may keep an answer, and for how long. An origin can shorten the times of the class, never
/// lengthen them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keeping {
    /// Why no tier may store the answer and no other read may share it; `None` where they may.
    pub not_stored: Option<NotStored>,
    /// How long the answer is fresh, from the start of the fetch.
    pub ttl: Duration,
    /// How long after that the answer may be served, marked.
    pub stale_for: Duration,
}

/// Why an answer is for the read that fetched it and for no other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotStored {
    /// The origin says `Cache-Control: no-store`: no cache may store the answer.
    #[error("the origin says Cache-Control: no-store")]
    NoStore,
    /// The origin says `Cache-Control: private`: the answer is for one user.
    #[error("the origin says Cache-Control: private")]
    Private,
    /// `Cache-Control: no-cache`, or a lifetime of 0 and no stale time.
    #[error(
        "the origin says that it is to be asked every time (Cache-Control: no-cache, or a lifetime of 0)"
    )]
    NoCache,
    /// `Vary` names a header that the policy does not allow.
    #[error("the origin's answer varies by {0}, which the class's origin_vary does not allow")]
    Vary(String),
}

/// Why an origin's answer is a failure of the origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginFailure {
    /// A redirect. No redirect is followed, because the target may as well be a page for people as the value.
    #[error("the origin answered {status}, a redirect, which is not followed, to {location:?}")]
    Redirect {
        /// The status of the answer.
        status: u16,
        /// The `Location` of the answer.
        location: String,
    },
    /// A status that is neither a value nor "not found".
    #[error("the origin answered {0}")]
    Status(u16),
    /// A content coding that cannot be undone.
    #[error("the origin answered with the content coding {0:?}, which is not undone here")]
    Coding(String),
    /// A header of tags holds a text that is no tag.
    #[error("{header}: {why}")]
    Tags {
        /// The name of the header: `Cache-Tag` or `Surrogate-Key`.
        header: &'static str,
        /// The rule that the text breaks.
        why: NameError,
    },
}

impl OriginResponse<'_> {
    /// Reads the answer to a question for a key of `class`.
    ///
    /// # Errors
    /// [`OriginFailure`] for everything but a value and "not found".
    pub fn meaning(&self, policies: &Policies, class: &str) -> Result<OriginAnswer, OriginFailure> {
        self.meaning_by(&policies.of(class), policies.origin_vary(class))
    }

    /// Reads the answer by one policy; `vary` are the headers by which it may vary and be stored.
    ///
    /// # Errors
    /// Those of [`Self::meaning`].
    pub fn meaning_by(&self, policy: &Policy, vary: &[String]) -> Result<OriginAnswer, OriginFailure> {
        match self.status {
            200 => self.value(policy, vary).map(OriginAnswer::Value),
            404 | 410 => Ok(OriginAnswer::NotFound(self.keeping(policy, vary))),
            301 | 302 | 303 | 307 | 308 => Err(self.redirect()),
            other => Err(OriginFailure::Status(other)),
        }
    }

    /// Reads the answer to a question for a list of the origin's own, not for a value: returns the codings to
    /// undo before the body is the list.
    ///
    /// # Errors
    /// [`OriginFailure`] for a status other than 200 and for a coding that cannot be undone.
    pub fn list(&self) -> Result<Vec<Coding>, OriginFailure> {
        match self.status {
            200 => Ok(self.codings()?.0),
            301 | 302 | 303 | 307 | 308 => Err(self.redirect()),
            other => Err(OriginFailure::Status(other)),
        }
    }

    fn value(&self, policy: &Policy, vary: &[String]) -> Result<OriginValue, OriginFailure> {
        let (codings, is_plain) = self.codings()?;
        let content_type = self.text_of("Content-Type").unwrap_or_else(|| DEFAULT_TYPE.to_owned());
        let etag = self.text_of("ETag").filter(|text| EntityTag::parse(text).is_some());
        let length = self.text_of("Content-Length").and_then(|text| text.parse().ok());
        Ok(OriginValue {
            tags: self.tags()?,
            content_type,
            etag,
            length: length.filter(|_| is_plain),
            codings,
            keeping: self.keeping(policy, vary),
        })
    }

    /// Returns the tags of `Cache-Tag` and then those of `Surrogate-Key`, each once.
    fn tags(&self) -> Result<Vec<Tag>, OriginFailure> {
        let mut tags: Vec<Tag> = Vec::new();
        for header in ["Cache-Tag", "Surrogate-Key"] {
            let text = (self.header)(header).unwrap_or_default();
            let more = tags_from_header(&text).map_err(|why| OriginFailure::Tags { header, why })?;
            for tag in more.into_iter().map(|tag| if self.fold_tags { tag.folded() } else { tag }) {
                if !tags.contains(&tag) {
                    tags.push(tag);
                }
            }
        }
        Ok(tags)
    }

    fn codings(&self) -> Result<(Vec<Coding>, bool), OriginFailure> {
        let header = (self.header)("Content-Encoding").unwrap_or_default();
        coding::left_to_undo(&header, self.on_workerd)
            .map_err(|UnknownCoding(name)| OriginFailure::Coding(name))
    }

    fn redirect(&self) -> OriginFailure {
        let location = (self.header)("Location").unwrap_or_default().chars().take(SHOWN).collect();
        OriginFailure::Redirect { status: self.status, location }
    }

    /// Returns a header's value that is not empty, and that an answer of ours can carry: one of Latin-1.
    fn text_of(&self, name: &str) -> Option<String> {
        let carried = |one: char| u32::from(one) < 0x100 && (!one.is_control() || one == '\t');
        let text = (self.header)(name)?;
        let text = text.trim();
        (!text.is_empty() && text.chars().all(carried)).then(|| text.to_owned())
    }

    fn keeping(&self, policy: &Policy, vary: &[String]) -> Keeping {
        let said = Directives::parse(&(self.header)("Cache-Control").unwrap_or_default());
        let keeping = match policy.origin_cache_control {
            OriginCacheControl::Respect => self.respected(&said, policy),
            OriginCacheControl::Ignore => {
                Keeping { not_stored: None, ttl: policy.ttl, stale_for: policy.stale_for }
            }
        };
        // A policy has no say in what is for one user or for no cache.
        let not_stored =
            forbidden(&said).or(keeping.not_stored).or_else(|| self.varies_by(vary).map(NotStored::Vary));
        Keeping { not_stored, ..keeping }
    }

    /// Follows what the origin says of time (RFC 9111), within the times of the class.
    fn respected(&self, said: &Directives, policy: &Policy) -> Keeping {
        let lifetime = self.lifetime(said);
        let ttl = lifetime.map_or(policy.ttl, |lifetime| lifetime.min(policy.ttl));
        let stale_for = match said.stale_for {
            _ if said.must_revalidate => Duration::ZERO,
            Some(stale_for) => stale_for.min(policy.stale_for),
            // `s-maxage` implies `proxy-revalidate`, and a lifetime of 0 asks for the origin every time.
            None if said.s_maxage.is_some() || lifetime == Some(Duration::ZERO) => Duration::ZERO,
            None => policy.stale_for,
        };
        let asks_every_time = said.no_cache || (ttl.is_zero() && stale_for.is_zero());
        Keeping { not_stored: asks_every_time.then_some(NotStored::NoCache), ttl, stale_for }
    }

    /// Returns how long the origin says that its answer is fresh; `None` if it says nothing of it.
    fn lifetime(&self, said: &Directives) -> Option<Duration> {
        let lifetime = said.s_maxage.or(said.max_age).or_else(|| self.until_expires())?;
        // A cache in front of the origin has used up a part.
        let age = (self.header)("Age").and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        Some(lifetime.saturating_sub(age.unwrap_or_default()))
    }

    /// Returns the time between `Date` and `Expires`. An `Expires` that is no date is in the past (RFC 9111, 5.3).
    fn until_expires(&self) -> Option<Duration> {
        let expires = (self.header)("Expires")?;
        let date = (self.header)("Date").and_then(|date| http_date::parse(&date));
        let expires = http_date::parse(&expires).unwrap_or_default();
        Some(expires.since(date.unwrap_or(self.received_at)))
    }

    /// Returns the first header that the answer varies by and the policy does not allow. A reader's headers do not
    /// reach the origin; `Accept-Encoding` is allowed, since codings are undone.
    fn varies_by(&self, allowed: &[String]) -> Option<String> {
        let vary = (self.header)("Vary")?;
        let is_allowed = |name: &str| {
            let listed = allowed.iter().any(|one| one.eq_ignore_ascii_case(name));
            name != "*" && (listed || name.eq_ignore_ascii_case("Accept-Encoding"))
        };
        let mut names = vary.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.find(|name| !is_allowed(name)).map(str::to_owned)
    }
}

/// Returns why no shared cache may store the answer, for however short a time (RFC 9111, 3).
fn forbidden(said: &Directives) -> Option<NotStored> {
    if said.no_store { Some(NotStored::NoStore) } else { said.private.then_some(NotStored::Private) }
}

impl OriginValue {
    /// Returns the envelope of the fill. `etag` is the value's where the origin gives none.
    #[must_use]
    pub fn envelope(
        self,
        read: &ReadMachine,
        position: Position,
        fetched_at: UnixMillis,
        etag: impl FnOnce() -> String,
    ) -> Envelope {
        let etag = self.etag.unwrap_or_else(etag);
        let filled = read.filled(position, fetched_at, true, self.tags, self.content_type, etag);
        self.keeping.kept(filled)
    }
}

impl Keeping {
    /// Returns the envelope of a "not found".
    #[must_use]
    pub fn envelope(self, read: &ReadMachine, position: Position, fetched_at: UnixMillis) -> Envelope {
        self.kept(read.filled(position, fetched_at, false, Vec::new(), String::new(), String::new()))
    }

    fn kept(self, filled: Envelope) -> Envelope {
        let expires_at = filled.fetched_at.plus(self.ttl);
        let stale_until = expires_at.plus(self.stale_for);
        Envelope { expires_at, stale_until, not_stored: self.not_stored, ..filled }
    }
}

impl NotStored {
    /// Returns the reason in one word, as an explanation and the metrics name it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::NoCache => "no-cache",
            Self::Vary(_) => "vary",
        }
    }

    /// Returns the `Cache-Control` of an answer that no tier keeps, so that later caches go by the origin's
    /// reason too.
    #[must_use]
    pub fn cache_control(&self) -> &'static str {
        match self {
            Self::NoStore | Self::Vary(_) => "no-store",
            Self::Private => "private, max-age=0, must-revalidate",
            Self::NoCache => "no-cache",
        }
    }
}

#[cfg(test)]
mod tests;

//! A question of a feed: its address, and what is known of the answer; and how far a feed has come by answers.

use newsreel_mapping::feed::Places;
use serde::{Deserialize, Serialize};

use super::seen::Seen;

/// How far a feed has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reached {
    /// Everything before this time is published: Unix milliseconds by the server's clock.
    pub(super) since: Option<i64>,
    /// Everything before this cursor is published.
    pub(super) cursor: Option<String>,
    /// The validators of the last answer.
    pub(super) validators: Option<Validators>,
    /// A digest of the last body.
    pub(super) body: Option<String>,
    /// The changes that were published.
    pub(super) seen: Seen,
    /// Why changes may be missing that a wide change has to stand for.
    pub(super) gap: Option<String>,
}

/// The validators of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Validators {
    /// The question that the answer is of.
    #[serde(default)]
    pub(super) of: String,
    /// The header `ETag`.
    pub(super) etag: Option<String>,
    /// The header `Last-Modified`.
    pub(super) last_modified: Option<String>,
}

/// The address of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum To {
    /// The feed's address with these places.
    Places(Places),
    /// An address that an answer gave.
    Link(String),
}

/// A question to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) to: To,
    /// The validators of an answer that is known.
    pub(super) validators: Option<Validators>,
}

impl To {
    /// Returns the question as a text without secrets.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Link(address) => address.clone(),
            Self::Places(Places { cursor, since, until, page }) => {
                let named = [("cursor", cursor.clone()), ("since", since.clone()), ("until", until.clone())];
                let page = [("page", if *page == 0 { String::new() } else { page.to_string() })];
                let said = named.into_iter().chain(page).filter(|(_, value)| !value.is_empty());
                said.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
            }
        }
    }
}

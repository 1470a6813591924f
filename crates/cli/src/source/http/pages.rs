//! The pages of an answer: which one is next, and that they lead on.

use std::collections::BTreeSet;

use newsreel_mapping::Feed;
use newsreel_mapping::feed::Place;

use super::page::NextPage;

/// How many answers one round may have.
pub(super) const MAX_PAGES: usize = 10_000;

/// Why a round failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RoundError {
    /// A page leads to one that was read.
    #[error("the pages go in a circle: {0} was read before")]
    Circle(String),
    /// Too many pages.
    #[error("the answer has more than {MAX_PAGES} pages")]
    TooManyPages,
    /// The API forgets even where a feed begins.
    #[error("the API says that it forgot what was asked for, also from the beginning")]
    Expired,
}

/// The pages of one pass.
#[derive(Debug, Default)]
pub(super) struct Pages {
    pub(super) read: usize,
    links: BTreeSet<String>,
    pub(super) link: Option<String>,
    pub(super) number: u64,
}

impl Pages {
    /// Begins at a page.
    pub(super) fn begin(first: u64) -> Self {
        Self { number: first, ..Self::default() }
    }

    /// Goes on to the next page, and says whether there is one.
    pub(super) fn turn(
        &mut self,
        feed: &Feed,
        next: Option<NextPage>,
        pages: Option<u64>,
        is_empty: bool,
    ) -> Result<bool, RoundError> {
        match next {
            Some(NextPage::Link(address)) => {
                if !self.links.insert(address.clone()) {
                    return Err(RoundError::Circle(address));
                }
                self.link = Some(address);
                return Ok(true);
            }
            Some(NextPage::Number(number)) if number <= self.number => {
                return Err(RoundError::Circle(format!("page {number}")));
            }
            Some(NextPage::Number(number)) => self.number = number,
            None if feed.paging.next.is_some() => return Ok(false),
            None if !feed.url.has(Place::Page) => return Ok(false),
            None => {
                let last = pages.map(|pages| (pages + feed.paging.first_page).saturating_sub(1));
                if last.map_or(is_empty, |last| self.number >= last) {
                    return Ok(false);
                }
                self.number += 1;
            }
        }
        Ok(true)
    }
}

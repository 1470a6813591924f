//! A window of time: its bounds, the passes over its pages, and how far it reaches.

use std::time::Duration;

use newsreel_mapping::Feed;
use newsreel_mapping::feed::{Place, Places, TimeForm};

use crate::source::http::pages::Pages;
use crate::source::http::question::{Reached, To};

/// How often the pages of a window are read until they bring nothing new.
const MAX_PASSES: u32 = 5;
const DAY_MILLIS: i64 = 86_400_000;

/// One window.
pub(super) struct Window {
    from: i64,
    until: i64,
    /// The server's time at the first answer.
    first: Option<i64>,
    pub(super) pages: Pages,
    pass: u32,
    /// How many rows of this pass are new.
    added: usize,
}

impl Window {
    /// Begins the window that follows what is reached.
    pub(super) fn begin(feed: &Feed, reached: &Reached, now: i64) -> Self {
        let known = reached.since.filter(|_| reached.gap.is_none());
        let earliest = feed.window.reach.map_or(i64::MIN, |reach| now - millis(reach));
        let from = (known.unwrap_or(now) - overlap(feed)).max(earliest);
        let longest = feed.window.longest.map_or(i64::MAX, |longest| from.saturating_add(millis(longest)));
        // Where the clock here is behind, a window still moves on by a second, and the answer tells the time.
        let until = now.max(known.map_or(now, |since| since + 1_000)).min(longest);
        let pages = Pages::begin(feed.paging.first_page);
        Self { from, until, first: None, pages, pass: 1, added: 0 }
    }

    /// Returns the address of the page to ask for.
    pub(super) fn to(&self, feed: &Feed) -> To {
        if let Some(link) = &self.pages.link {
            return To::Link(link.clone());
        }
        let has = |place| feed.url.has(place);
        let time = feed.window.time;
        To::Places(Places {
            since: time.write(self.from),
            until: if has(Place::Until) { time.write(self.until) } else { String::new() },
            page: if has(Place::Page) { self.pages.number } else { 0 },
            ..Places::default()
        })
    }

    /// Notes a page.
    pub(super) fn read(&mut self, added: usize, date: Option<i64>) {
        self.first = self.first.or(date);
        self.added += added;
        self.pages.read += 1;
    }

    /// Returns up to when the window has everything, by the server's clock.
    pub(super) fn covered(&self, feed: &Feed, date: Option<i64>) -> i64 {
        let at = self.first.or(date).unwrap_or(self.until);
        if !feed.url.has(Place::Until) {
            return at;
        }
        let unit = unit(feed.window.time);
        // The day of today is asked for as a whole, and is as far as it is.
        if unit == DAY_MILLIS && self.until.div_euclid(unit) == at.div_euclid(unit) {
            return at;
        }
        (self.until.div_euclid(unit) * unit).min(at)
    }

    /// Begins another pass over the pages, unless the last one brought nothing new or there were enough. Says whether
    /// it did.
    pub(super) fn read_again(&mut self, feed: &Feed) -> bool {
        if self.is_still() || self.pass >= MAX_PASSES {
            return false;
        }
        (self.pass, self.added) = (self.pass + 1, 0);
        self.pages = Pages::begin(feed.paging.first_page);
        true
    }

    /// Says whether no row can have moved past the reader: there is one page, or a pass brought nothing new. A row that
    /// moves to another page has changed, and is new there.
    pub(super) fn is_still(&self) -> bool {
        self.pages.read <= 1 || self.added == 0
    }

    /// Returns a reason if the API does not remember as far back as it would have to.
    pub(super) fn forgotten(&self, feed: &Feed, since: Option<i64>, date: Option<i64>) -> Option<String> {
        let (reach, since) = (millis(feed.window.reach?), since?);
        let now = self.first.or(date).unwrap_or(self.until).max(self.until);
        let days = |millis: i64| format!("{:.1} d", millis as f64 / DAY_MILLIS as f64);
        let needed = now - since + overlap(feed);
        (needed > reach).then(|| {
            let (needed, reach) = (days(needed), days(reach));
            format!(
                "changes of {needed} have to be asked for, overlap included, and the API remembers {reach}"
            )
        })
    }

    /// Says whether the window ended before the present.
    pub(super) fn is_behind(&self, feed: &Feed, covered: i64, since: Option<i64>, date: Option<i64>) -> bool {
        let now = date.or(self.first).unwrap_or(self.until);
        let moved = since.is_none_or(|since| covered > since);
        feed.url.has(Place::Until) && moved && now - covered > unit(feed.window.time)
    }
}

/// Returns how far a window reaches back before what is reached.
pub(super) fn overlap(feed: &Feed) -> i64 {
    millis(feed.window.overlap)
}

/// Returns the steps in which an address tells the time.
fn unit(time: TimeForm) -> i64 {
    match time {
        TimeForm::Millis => 1,
        TimeForm::Seconds | TimeForm::Rfc3339 => 1_000,
        TimeForm::Date => DAY_MILLIS,
    }
}

/// Returns a duration as sums of times have it.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

//! One round of a feed: what is asked next, what was found, and what is reached. No I/O and no clock.
//!
//! A round is told of each answer by `hear`. Where it ends, the rows that `take_fresh` returned are to be published,
//! and only when they are durable is [`End::reached`] true. A round that fails changes nothing.

use newsreel_mapping::Feed;
use newsreel_mapping::feed::{FeedKind, Places};
use serde_json::Value;

use self::window::Window;
use super::page::Page;
use super::pages::{MAX_PAGES, RoundError};
use super::question::{Question, Reached, To, Validators};
use super::seen::change_of;

mod cursor;
#[cfg(test)]
mod stories;
mod window;

/// An answer to a question.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// The answer is the one whose validators were sent.
    Unchanged,
    /// The API forgot what was asked for.
    Expired,
    /// The answer, a digest of its body, and its validators.
    Page(Page, String, Validators),
}

/// The step that follows an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask the next question.
    Ask,
    /// The round is over.
    End(Box<End>),
}

/// The end of a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    /// What is reached once everything is durable.
    pub(super) reached: Reached,
    /// Why everything that the feed's rules cover has to be published as changed.
    pub(super) wide: Option<String>,
    /// Whether more is there to be asked for at once.
    pub(super) again: bool,
}

/// One round.
pub(super) struct Round<'a> {
    feed: &'a Feed,
    reached: Reached,
    /// The server's time at the beginning, as far as it is known.
    now: i64,
    kind: Kind,
    asked: usize,
    fresh: Vec<Value>,
    repeated: u64,
    expired: bool,
}

enum Kind {
    Window(Window),
    Cursor,
    Body,
}

impl<'a> Round<'a> {
    /// Begins a round at a time, by the server's clock as far as it is known.
    pub(super) fn begin(feed: &'a Feed, reached: Reached, now: i64) -> Self {
        let kind = match feed.kind {
            FeedKind::UpdatedSince => Kind::Window(Window::begin(feed, &reached, now)),
            FeedKind::Cursor => Kind::Cursor,
            FeedKind::Etag | FeedKind::WholeFile => Kind::Body,
        };
        Self { feed, reached, now, kind, asked: 0, fresh: Vec::new(), repeated: 0, expired: false }
    }

    /// Returns the question to ask.
    pub(super) fn question(&self) -> Question {
        let to = match &self.kind {
            Kind::Window(window) => window.to(self.feed),
            Kind::Cursor => To::Places(Places { cursor: self.cursor().to_owned(), ..Places::default() }),
            Kind::Body => To::Places(Places::default()),
        };
        // A wide change has to follow an answer, and a list that is published again has to be read again.
        let is_needed = self.reached.gap.is_some() || self.feed.identity.repeat.is_some() || self.asked > 0;
        let known = self.reached.validators.clone().filter(|known| !is_needed && known.of == to.text());
        Question { to, validators: known }
    }

    /// Takes an answer, with the time that the server said.
    ///
    /// # Errors
    /// If the pages lead nowhere.
    pub(super) fn hear(&mut self, answer: Answer, date: Option<i64>) -> Result<Step, RoundError> {
        let to = self.question().to.text();
        self.asked += 1;
        match answer {
            Answer::Unchanged => Ok(self.unchanged(date)),
            Answer::Expired if self.expired || matches!(self.kind, Kind::Body) => Err(RoundError::Expired),
            Answer::Expired => {
                self.expire(&to);
                Ok(Step::Ask)
            }
            Answer::Page(page, body, validators) => {
                let validators = Validators { of: to, ..validators };
                let is_one = self.asked == 1;
                let step = match &self.kind {
                    Kind::Window(_) => self.hear_window(page, date)?,
                    Kind::Cursor => self.hear_cursor(page),
                    Kind::Body => self.hear_body(page, body),
                };
                Ok(match step {
                    Step::Ask => Step::Ask,
                    // The validators of one page say nothing of others.
                    Step::End(mut end) => {
                        let lasts =
                            is_one && (validators.etag.is_some() || validators.last_modified.is_some());
                        end.reached.validators = lasts.then_some(validators);
                        Step::End(end)
                    }
                })
            }
        }
    }

    /// Returns the rows that are to be published, in order.
    pub(super) fn take_fresh(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.fresh)
    }

    /// Returns how many rows were reported that had been published before.
    pub(super) fn repeated(&self) -> u64 {
        self.repeated
    }

    /// Says whether the API forgot what it was asked for, so that the round began anew.
    pub(super) fn restarted(&self) -> bool {
        self.expired
    }

    fn unchanged(&mut self, date: Option<i64>) -> Step {
        if let Kind::Window(window) = &self.kind {
            let covered = window.covered(self.feed, date);
            self.reached.since = self.reached.since.max(Some(covered));
        }
        Step::End(Box::new(End { reached: self.reached.clone(), wide: None, again: false }))
    }

    /// Begins anew: everything that the API may have told is published as changed in the end.
    fn expire(&mut self, asked: &str) {
        self.expired = true;
        self.reached.gap = Some(format!("the API forgot what it was asked for ({asked})"));
        self.reached.cursor = None;
        self.fresh.clear();
        if matches!(self.kind, Kind::Window(_)) {
            self.kind = Kind::Window(Window::begin(self.feed, &self.reached, self.now));
        }
    }

    fn hear_body(&mut self, page: Page, body: String) -> Step {
        let wide = self.reached.gap.take();
        if wide.is_none() && self.reached.body.as_ref() != Some(&body) {
            self.fresh = page.items;
        }
        self.reached.body = Some(body);
        Step::End(Box::new(End { reached: self.reached.clone(), wide, again: false }))
    }

    /// Takes the rows that were not published, and returns how many they are.
    fn take_new(&mut self, items: Vec<Value>, now: i64, name: impl Fn(&Value) -> String) -> usize {
        let repeat = self.feed.identity.repeat.map(window::millis);
        let before = self.fresh.len();
        for item in items {
            if self.reached.seen.is_new(name(&item), now, repeat) {
                self.fresh.push(item);
            } else {
                self.repeated += 1;
            }
        }
        self.fresh.len() - before
    }

    /// Hears a page of a window.
    fn hear_window(&mut self, page: Page, date: Option<i64>) -> Result<Step, RoundError> {
        let (feed, since) = (self.feed, self.reached.since);
        let Page { items, next, pages, .. } = page;
        let is_empty = items.is_empty();
        let published_at = date.unwrap_or(self.now);
        let added = self.take_new(items, published_at, |item| change_of(&feed.identity, item));
        let Kind::Window(window) = &mut self.kind else { return Ok(Step::Ask) };
        window.read(added, date);
        if self.asked > MAX_PAGES {
            return Err(RoundError::TooManyPages);
        }
        if window.pages.turn(feed, next, pages, is_empty)? {
            return Ok(Step::Ask);
        }
        let covered = window.covered(feed, date);
        let is_free = self.reached.gap.is_some() || feed.paging.still;
        if !is_free && window.read_again(feed) {
            return Ok(Step::Ask);
        }
        // The next window asks for the rows of a short one again.
        let is_asked_again = since.is_some_and(|since| covered - since <= window::overlap(feed) / 2);
        let moved = (!is_free && !window.is_still() && !is_asked_again)
            .then(|| "rows kept moving between the pages while they were read".to_owned());
        let forgotten = window.forgotten(feed, since, date);
        let wide = self.reached.gap.take().or(forgotten).or(moved);
        let again = window.is_behind(feed, covered, since, date);
        if wide.is_some() {
            self.fresh.clear();
        }
        self.reached.since = since.max(Some(covered));
        self.reached.seen.end_round();
        Ok(Step::End(Box::new(End { reached: self.reached.clone(), wide, again })))
    }
}

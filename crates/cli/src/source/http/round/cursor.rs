//! A stream behind a cursor: each answer is a round of its own.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::Value;

use super::{End, Round, Step};
use crate::source::http::page::Page;
use crate::source::http::seen::change_of;

impl Round<'_> {
    /// Returns the cursor that is asked with.
    pub(super) fn cursor(&self) -> &str {
        self.reached.cursor.as_deref().unwrap_or(&self.feed.cursor.start)
    }

    /// Hears what follows the cursor. After a gap everything is read up to the end, and then published as changed.
    pub(super) fn hear_cursor(&mut self, page: Page) -> Step {
        let asked = self.cursor().to_owned();
        let Page { items, cursor, is_end, .. } = page;
        let is_empty = items.is_empty() && self.feed.cursor.more.is_none();
        let is_end = is_end || is_empty || cursor.as_ref().is_none_or(|cursor| *cursor == asked);
        let name = self.name(&asked);
        self.take_new(items, self.now, name);
        self.reached.cursor = Some(cursor.unwrap_or(asked));
        self.reached.seen.end_round();
        let wide = if is_end { self.reached.gap.take() } else { None };
        if wide.is_some() || self.reached.gap.is_some() {
            self.fresh.clear();
        }
        Step::End(Box::new(End { reached: self.reached.clone(), wide, again: !is_end }))
    }

    /// Returns how changes are told apart. Without a stamp every row behind a cursor is a change of its own: only
    /// where the same cursor is asked again, as at the end of a stream, does a row come a second time.
    fn name(&self, asked: &str) -> impl Fn(&Value) -> String + use<> {
        let (identity, asked) = (self.feed.identity.clone(), asked.to_owned());
        let counts = RefCell::new(BTreeMap::<String, u64>::new());
        move |item| {
            let change = change_of(&identity, item);
            if identity.stamp.is_some() {
                return change;
            }
            let mut counts = counts.borrow_mut();
            let count = counts.entry(change.clone()).or_default();
            *count += 1;
            format!("{change} {count} {asked}")
        }
    }
}

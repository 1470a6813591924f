//! Dead letters: messages of hooks that could not be published.
//!
//! The table is made by its first letter and is no part of the schema: a build that does not know it lets it be.

use newsreel_core::wire::UnixMillis;
use newsreel_core::wire::dead_letters::{DeadLetter, DeadLetters};
use newsreel_core::wire::publish::digest_of_key;
use newsreel_core::wire::query::DeadQuery;
use newsreel_sqlite_rows::integer;
use serde::Deserialize;
use worker::Result;

use super::Rows;

/// How many bytes of messages a page has; its first letter may be larger.
const PAGE_BYTES: usize = 1 << 20;

#[derive(Deserialize)]
struct StockRow {
    count: u64,
    bytes: u64,
}

impl Rows {
    /// Keeps letters, each a hook, a reason and a message. A message that is kept already gets the newer reason.
    pub(crate) fn bury(&self, letters: &[(String, String, String)], at: UnixMillis) -> Result<()> {
        self.make_dead_letters()?;
        self.database.transaction(|| {
            letters.iter().try_for_each(|(hook, reason, message)| {
                let bindings = vec![
                    digest_of_key(hook, message).into(),
                    integer(at.0),
                    hook.as_str().into(),
                    reason.as_str().into(),
                    message.as_str().into(),
                ];
                self.database.run(include_str!("sql/bury.sql"), bindings)
            })
        })
    }

    /// Returns how many letters there are, and how many bytes their messages have.
    pub(crate) fn dead_letter_stock(&self) -> Result<(u64, u64)> {
        self.make_dead_letters()?;
        let row: Option<StockRow> = self.database.first(include_str!("sql/dead_stock.sql"), vec![])?;
        Ok(row.map_or((0, 0), |row| (row.count, row.bytes)))
    }

    /// Returns a page of letters, the oldest first.
    pub(crate) fn dead_letters(&self, query: DeadQuery) -> Result<DeadLetters> {
        let (total, _) = self.dead_letter_stock()?;
        let bindings = vec![integer(query.after), integer(query.limit as u64 + 1)];
        let mut letters: Vec<DeadLetter> = self.database.rows(include_str!("sql/dead_page.sql"), bindings)?;
        let mut bytes = 0;
        let fits = |letter: &&DeadLetter| {
            bytes += letter.message.len();
            bytes <= PAGE_BYTES
        };
        let count = letters.iter().take(query.limit).take_while(fits).count().max(1);
        let next = letters.get(count).and(letters.get(count - 1)).map(|letter| letter.id);
        letters.truncate(count);
        Ok(DeadLetters { letters, total, next })
    }

    /// Returns letters by their numbers.
    pub(crate) fn dead_letters_of(&self, ids: &[u64]) -> Result<Vec<DeadLetter>> {
        self.make_dead_letters()?;
        let ids = serde_json::to_string(ids)?;
        self.database.rows(include_str!("sql/dead_of.sql"), vec![ids.into()])
    }

    /// Deletes the dead letters with these ids.
    pub(crate) fn forget_dead_letters(&self, ids: &[u64]) -> Result<()> {
        self.make_dead_letters()?;
        let ids = serde_json::to_string(ids)?;
        self.database.run(include_str!("sql/forget_dead.sql"), vec![ids.into()])
    }

    fn make_dead_letters(&self) -> Result<()> {
        self.database.run(include_str!("sql/make_dead.sql"), vec![])
    }
}

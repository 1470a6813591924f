//! Messages: what a stream, a channel, a webhook or a feed carries, and the changes that it publishes.
//!
//! A source hands a [`Message`] to [`Mapping::message`], with the name of where it came from. The rules whose `from` is
//! that name, or a pattern of it, read the message by their `format`; rules of Debezium are also found by the table in
//! the envelope. A message is mapped as a whole or not at all: nothing of it is published if one of its rows is wrong.

mod cloudevents;
mod content;
mod debezium;
mod entry;
pub(crate) mod form;
mod read;

pub use content::{Message, MessageError, Outcome};

use std::collections::BTreeSet;

use newsreel_core::wire::{Change, Target};
use serde_json::Value;

use crate::file::Mapping;
use crate::pattern;
use crate::rule::{RowChange, Rule};
use crate::skip::Skips;
use content::{Documents, document_kind};
use form::{Fit, Form};
use read::Parsed;

/// The column under which a row of `rows` has the message around it.
pub const AROUND: &str = "$message";

impl Mapping {
    /// Hands the changes that a message publishes to `publish`, once all of the message is mapped.
    ///
    /// # Errors
    /// If no rule fits the message, or one of its rows names nothing. Then nothing was published.
    pub fn message(
        &self,
        from: &str,
        message: &Message<'_>,
        skips: &mut Skips,
        publish: &mut impl FnMut(Change),
    ) -> Result<Outcome, MessageError> {
        let mut reading = Reading { message, read: Vec::new() };
        let mut mapped = Mapped::default();
        let mut misfit = None;
        for rule in self.candidates(from) {
            match mapped.apply(rule, from, &mut reading) {
                Ok(()) => {}
                Err(error @ MessageError::Unnamed(_)) => return Err(error),
                Err(error) => misfit = misfit.or(Some(error)),
            }
        }
        if !mapped.fits {
            return Err(misfit.unwrap_or_else(|| MessageError::NoRule(from.to_owned())));
        }
        skips.append(mapped.skips);
        mapped.changes.into_iter().for_each(publish);
        Ok(mapped.outcome)
    }

    /// Returns targets that cover everything that the messages from a stream or channel, or from those of a pattern, may
    /// ever have named.
    #[must_use]
    pub fn wide_from(&self, from: &str) -> BTreeSet<Target> {
        let may_be_about =
            |rule: &&Rule| rule.is_from(from) || rule.form.is_debezium() || pattern::is_pattern(from);
        let targets: BTreeSet<Target> = self.rules.iter().filter(may_be_about).flat_map(Rule::wide).collect();
        if targets.contains(&Target::All) { BTreeSet::from([Target::All]) } else { targets }
    }

    /// Returns the rules that a message may fit: those about where it came from; if there are none, those that find
    /// their messages by the table in them.
    fn candidates<'a>(&'a self, from: &'a str) -> Vec<&'a Rule> {
        let named: Vec<&Rule> = self.rules.iter().filter(|rule| rule.is_from(from)).collect();
        if named.is_empty() {
            return self.rules.iter().filter(|rule| rule.form.is_debezium()).collect();
        }
        named
    }
}

/// A message, and what it was read as so far: rules with the same form share it.
struct Reading<'a> {
    message: &'a Message<'a>,
    read: Vec<(Form, Result<Parsed, MessageError>)>,
}

impl Reading<'_> {
    fn of(&mut self, form: &Form) -> Result<&mut Parsed, MessageError> {
        let place = self.read.iter().position(|(read, _)| read.reads_as(form));
        let place = place.unwrap_or_else(|| {
            self.read.push((form.clone(), read::message(form, self.message)));
            self.read.len() - 1
        });
        match self.read.get_mut(place) {
            Some((_, Ok(parsed))) => Ok(parsed),
            Some((_, Err(error))) => Err(error.clone()),
            None => Err(MessageError::Form("the message was not read".to_owned())),
        }
    }
}

/// What the rules made of a message so far.
#[derive(Default)]
struct Mapped {
    changes: Vec<Change>,
    skips: Skips,
    outcome: Outcome,
    /// Whether one of the rules fits the message.
    fits: bool,
}

impl Mapped {
    fn apply(&mut self, rule: &Rule, from: &str, reading: &mut Reading<'_>) -> Result<(), MessageError> {
        match reading.of(&rule.form)? {
            Parsed::Nothing => {}
            Parsed::Publish { changes, id, traceparent } => {
                self.changes.extend(changes.iter().cloned());
                self.outcome.rows += 1;
                self.outcome.id.clone_from(id);
                self.outcome.traceparent.clone_from(traceparent);
            }
            Parsed::Documents(documents) => self.documents(rule, documents)?,
            Parsed::Envelope(envelope) => {
                if !rule.is_from(from) && !envelope.is_of(&rule.from) {
                    let table = envelope.table();
                    return Err(MessageError::NoRule(table));
                }
                let old = envelope.old_of(rule);
                self.row(rule, &envelope.change(&old), true)?;
            }
        }
        self.fits = true;
        Ok(())
    }

    fn documents(&mut self, rule: &Rule, documents: &mut Documents) -> Result<(), MessageError> {
        for document in &mut documents.documents {
            let Some(rows) = &rule.form.rows else {
                let kind = document_kind(document);
                let row = document.as_object_mut().ok_or_else(|| not_an_object(kind))?;
                if documents.is_textual {
                    entry::reach_into(row, rule);
                }
                self.row(rule, &RowChange::Insert { new: row }, false)?;
                continue;
            };
            if documents.is_textual {
                entry::reach_into_rows(document, rows);
            }
            self.rows(rule, document, rows)?;
        }
        self.outcome.id.clone_from(&documents.id);
        self.outcome.traceparent.clone_from(&documents.traceparent);
        Ok(())
    }

    /// Maps the rows of a list in a document; each has the document around it as a column.
    fn rows(&mut self, rule: &Rule, document: &mut Value, pointer: &str) -> Result<(), MessageError> {
        let list = document.pointer_mut(pointer).map(Value::take);
        let Some(Value::Array(mut rows)) = list else {
            let what = list.as_ref().map_or("is missing", |_| "is no list");
            if let (Some(place), Some(list)) = (document.pointer_mut(pointer), list) {
                *place = list;
            }
            return Err(MessageError::Form(format!("{pointer:?}, the place of the rows, {what}")));
        };
        let mut outcome = Ok(());
        for (number, row) in rows.iter_mut().enumerate() {
            let Value::Object(row) = row else {
                outcome =
                    Err(MessageError::Form(format!("{pointer}/{number} is no object, so it is no row")));
                break;
            };
            let own = row.insert(AROUND.to_owned(), document.take());
            outcome = self.row(rule, &RowChange::Insert { new: row }, false);
            *document = row.remove(AROUND).unwrap_or_default();
            own.into_iter().for_each(|own| drop(row.insert(AROUND.to_owned(), own)));
            if outcome.is_err() {
                break;
            }
        }
        if let Some(place) = document.pointer_mut(pointer) {
            *place = Value::Array(rows);
        }
        outcome
    }

    /// Maps a row, unless the rule leaves it out. A change becomes a delete if the rule says that its row is gone.
    /// Where `is_partial`, a column that is not there is one that the sender did not know.
    fn row(&mut self, rule: &Rule, change: &RowChange<'_>, is_partial: bool) -> Result<(), MessageError> {
        let fit = |row| match rule.form.fit(row) {
            Fit::Unknown(_) if is_partial => Ok(Fit::Changed),
            Fit::Unknown(why) => Err(MessageError::Form(why)),
            known @ (Fit::Changed | Fit::Removed | Fit::LeftOut) => Ok(known),
        };
        match *change {
            RowChange::Truncate => self.apply_row(rule, change, is_partial),
            RowChange::Insert { new } => match fit(new)? {
                Fit::Removed => self.apply_row(rule, &RowChange::Delete { old: new }, is_partial),
                Fit::LeftOut => self.leave_out(),
                Fit::Changed | Fit::Unknown(_) => self.apply_row(rule, change, is_partial),
            },
            RowChange::Delete { old } => match fit(old)? {
                Fit::LeftOut => self.leave_out(),
                Fit::Removed | Fit::Changed | Fit::Unknown(_) => self.apply_row(rule, change, is_partial),
            },
            RowChange::Update { old, new } => match (fit(old)?, fit(new)?) {
                (Fit::LeftOut, Fit::LeftOut) => self.leave_out(),
                (Fit::LeftOut, Fit::Changed | Fit::Unknown(_)) => {
                    self.apply_row(rule, &RowChange::Insert { new }, is_partial)
                }
                (_, Fit::LeftOut) => self.apply_row(rule, &RowChange::Delete { old }, is_partial),
                (_, Fit::Removed) => {
                    self.apply_row(rule, &RowChange::Delete { old }, is_partial)?;
                    self.apply_row(rule, &RowChange::Delete { old: new }, is_partial)
                }
                (_, Fit::Changed | Fit::Unknown(_)) => self.apply_row(rule, change, is_partial),
            },
        }
    }

    fn apply_row(
        &mut self,
        rule: &Rule,
        change: &RowChange<'_>,
        is_partial: bool,
    ) -> Result<(), MessageError> {
        let Self { changes, skips, outcome, .. } = self;
        rule.apply_named(change, is_partial, skips, &mut |change| changes.push(change))
            .map_err(MessageError::Unnamed)?;
        outcome.rows += 1;
        Ok(())
    }

    fn leave_out(&mut self) -> Result<(), MessageError> {
        self.outcome.left_out += 1;
        Ok(())
    }
}

fn not_an_object(kind: &str) -> MessageError {
    MessageError::Form(format!("a row is a JSON object; this is {kind}"))
}

#[cfg(test)]
mod tests;

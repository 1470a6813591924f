//! What rows did not name, counted by reason, so that each reason is told once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use newsreel_core::wire::NameError;

use crate::template::Unfilled;

/// The most reasons that are counted apart: names come out of rows.
const MAX_REASONS: usize = 1_000;

/// Why a template named nothing for a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{from}: {template:?} names nothing, because {why}")]
pub struct Skip {
    /// The table of the row.
    pub from: String,
    /// The template.
    pub template: String,
    /// The reason, which names columns and no values.
    pub why: String,
}

/// How often each reason occurred.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skips {
    counts: BTreeMap<Skip, u64>,
    untold: Vec<Skip>,
}

impl Skips {
    /// Returns the reasons that occurred for the first time since the last call.
    pub fn take_new(&mut self) -> Vec<Skip> {
        std::mem::take(&mut self.untold)
    }

    /// Returns every reason with its count.
    pub fn counts(&self) -> impl Iterator<Item = (&Skip, u64)> {
        self.counts.iter().map(|(skip, count)| (skip, *count))
    }

    /// Returns how often anything was skipped.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Adds the reasons of another count.
    pub(crate) fn append(&mut self, other: Self) {
        for (skip, count) in other.counts {
            self.count_times(skip, count);
        }
    }

    pub(crate) fn unfilled(&mut self, from: &str, template: &str, why: &Unfilled) {
        self.count(Skip { from: from.to_owned(), template: template.to_owned(), why: why.to_string() });
    }

    pub(crate) fn invalid(&mut self, from: &str, template: &str, why: &NameError) {
        // The length is that of one row; the reason is the same for all.
        let why = match why {
            NameError::TooLong(_) => "a key or prefix has at most 400 bytes".to_owned(),
            NameError::Catalog
            | NameError::KeyShape
            | NameError::Control
            | NameError::EmptyPrefix
            | NameError::Tag => why.to_string(),
        };
        self.count(Skip { from: from.to_owned(), template: template.to_owned(), why });
    }

    pub(crate) fn too_many_tags(&mut self, from: &str, template: &str) {
        let why = "the row has more tags than a change may name".to_owned();
        self.count(Skip { from: from.to_owned(), template: template.to_owned(), why });
    }

    fn count(&mut self, skip: Skip) {
        self.count_times(skip, 1);
    }

    fn count_times(&mut self, skip: Skip, times: u64) {
        let is_full = self.counts.len() >= MAX_REASONS;
        match self.counts.entry(skip) {
            Entry::Occupied(mut count) => *count.get_mut() += times,
            Entry::Vacant(_) if is_full => {}
            Entry::Vacant(count) => {
                self.untold.push(count.key().clone());
                count.insert(times);
            }
        }
    }
}

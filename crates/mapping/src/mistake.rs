//! The mistakes of a mapping file: all of them, each with its place and what to write.

use std::fmt;
use std::ops::Range;

/// One thing that is wrong in a mapping file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// The line of the mistake, from 1.
    pub line: usize,
    /// The column of the mistake in characters, from 1.
    pub column: usize,
    /// The text for people: the mistake, and what to write.
    pub text: String,
}

/// Every mistake of one mapping file, in the order of the file. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, Mistake { line, column, text }) in self.0.iter().enumerate() {
            let newline = if number == 0 { "" } else { "\n" };
            write!(f, "{newline}{line}:{column}: {text}")?;
        }
        Ok(())
    }
}

/// The mistakes found so far in one text.
#[derive(Debug)]
pub(crate) struct Findings<'a> {
    text: &'a str,
    found: Vec<Mistake>,
}

impl<'a> Findings<'a> {
    /// Returns no findings about a text.
    pub(crate) fn about(text: &'a str) -> Self {
        Self { text, found: Vec::new() }
    }

    /// Notes a mistake at a byte of the text.
    pub(crate) fn note(&mut self, at: usize, text: impl Into<String>) {
        let mut end = at.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = self.text.get(..end).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        self.found.push(Mistake { line, column, text: text.into() });
    }

    /// Notes a mistake where a value begins.
    pub(crate) fn note_at(&mut self, span: &Range<usize>, text: impl Into<String>) {
        self.note(span.start, text);
    }

    /// Returns every mistake, in the order of the text.
    pub(crate) fn into_result<T>(mut self, value: Option<T>) -> Result<T, Mistakes> {
        self.found.sort();
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            Some(_) | None => Err(Mistakes(self.found)),
        }
    }
}

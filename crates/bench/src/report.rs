//! The report of a run: tables, plots, and the document that has both.

pub(crate) mod document;
mod plot;
pub(crate) mod table;

//! What a changed row means to a catalogue: the keys, tags and prefixes that its change publishes.
//!
//! A [`Mapping`] is read from a TOML file. A source hands it a [`RowChange`] of a table, with rows as JSON
//! objects, and gets [`newsreel_core::wire::Change`]s. A [`Batch`] gathers the changes of one transaction in
//! bounded memory and makes publishes of them. No I/O, no clock: the same rows give the same publishes.
//!
//! In reading order:
//! - [`template`]: texts with places, such as `title:{id}` and `genre:{genres[] | slug}`;
//! - [`mod@file`]: the TOML file, and every mistake in it at once, each with its place;
//! - [`rule`]: one `[[map]]` of the file, and the changes of one changed row;
//! - [`message`]: messages of streams, channels and webhooks, by the format that a rule says;
//! - [`pattern`]: globs of channels and streams;
//! - [`feed`]: one `[[feed]]` of the file, an address that is asked for changes;
//! - [`read`]: one `[[read]]` of the file, the SQL that gives the value of a key;
//! - [`skip`]: what a row did not name, such as a tag of a null, counted by reason;
//! - [`batch`]: the changes of one transaction, each target once, as publishes.

pub mod batch;
pub mod feed;
mod fields;
pub mod file;
pub mod message;
pub mod mistake;
pub mod pattern;
pub mod read;
pub mod rule;
pub mod skip;
pub mod template;

pub use batch::{Batch, Limits};
pub use feed::Feed;
pub use file::Mapping;
pub use message::{Message, MessageError, Outcome};
pub use mistake::{Mistake, Mistakes};
pub use read::Read;
pub use rule::{Row, RowChange, Rule};
pub use skip::{Skip, Skips};

//! One `[[feed]]` of a mapping: an address that is asked again and again, and how its answers are read.
//!
//! A feed names what it gives rows to by its name: `[[map]] from = "NAME"` says what the rows are called.

use std::time::Duration;

pub use address::{Address, Place, Places};
pub use pointer::Pointer;

mod address;
mod duration;
mod pointer;
pub(crate) mod table;

/// An address that is asked for changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// The name that `from` of a `[[map]]` has.
    pub name: String,
    /// How changes are found.
    pub kind: FeedKind,
    /// The address, with places for what was reached.
    pub url: Address,
    /// The headers of each request.
    pub headers: Vec<(String, Address)>,
    /// How often the address is asked.
    pub every: Duration,
    /// By how much of `every` the pause differs at random, in percent.
    pub jitter: u32,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How many bytes an answer may have, unpacked.
    pub max_bytes: usize,
    /// The form of a body.
    pub format: BodyFormat,
    /// The rows in an answer.
    pub items: Pointer,
    /// A value that makes an answer a failure, whatever its status.
    pub error: Option<Pointer>,
    /// The statuses that say that the API forgot what is asked for.
    pub expired: Vec<u16>,
    /// How an answer of several pages is read.
    pub paging: Paging,
    /// The windows of `updated-since`.
    pub window: Window,
    /// The cursor of `cursor`.
    pub cursor: CursorPlace,
    /// How two reports of one change are told from two changes.
    pub identity: Identity,
}

/// How a feed tells what changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedKind {
    /// One address whose body changes.
    Etag,
    /// What changed in a window of time.
    UpdatedSince,
    /// What follows a cursor.
    Cursor,
    /// A whole file, whose rows are compared with those of the file before.
    WholeFile,
}

/// The form of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFormat {
    /// One JSON document.
    Json,
    /// A JSON object on each line.
    Ndjson,
    /// Comma-separated values with a header.
    Csv,
    /// An XML document.
    Xml,
}

/// How a time is written into an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeForm {
    /// Unix seconds.
    Seconds,
    /// Unix milliseconds.
    Millis,
    /// RFC 3339 in UTC.
    Rfc3339,
    /// The day, in UTC.
    Date,
}

/// How an answer of several pages is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paging {
    /// The next page: its address or its number.
    pub next: Option<Next>,
    /// The number of pages.
    pub pages: Option<Pointer>,
    /// The number of the first page.
    pub first_page: u64,
    /// Whether items never move between pages while they are read.
    pub still: bool,
}

/// The place of the next page's address or number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The header `Link`, with `rel="next"`.
    Link,
    /// A value of the body.
    Body(Pointer),
}

/// The windows of a feed `updated-since`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// How far each window reaches back before what was reached.
    pub overlap: Duration,
    /// The longest window that the API answers.
    pub longest: Option<Duration>,
    /// How long the API remembers changes.
    pub reach: Option<Duration>,
    /// How times are written.
    pub time: TimeForm,
}

/// The cursor of a feed `cursor`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CursorPlace {
    /// The cursor that follows an answer.
    pub next: Option<Pointer>,
    /// The number that ends the stream: the cursor at its end is one above.
    pub last: Option<Pointer>,
    /// Whether more follows at once.
    pub more: Option<Pointer>,
    /// The cursor of everything that the API has.
    pub start: String,
}

/// How two reports of one change are told from two changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The values that name a row; none stands for the whole row.
    pub id: Vec<Pointer>,
    /// The value that differs with each change of a row.
    pub stamp: Option<Pointer>,
    /// After how long a row that is still listed is published again.
    pub repeat: Option<Duration>,
}

impl FeedKind {
    /// Returns the kind as the file has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Etag => "etag",
            Self::UpdatedSince => "updated-since",
            Self::Cursor => "cursor",
            Self::WholeFile => "whole-file",
        }
    }
}

impl TimeForm {
    /// Returns the time in this form.
    #[must_use]
    pub fn write(self, millis: i64) -> String {
        duration::written(self, millis)
    }
}

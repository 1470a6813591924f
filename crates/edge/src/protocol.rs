//! Everything that a reader and a replica say to each other: names, paths, headers, and the messages with their text.
//!
//! The question and the reply themselves are [`SyncRequest`] and [`SyncResponse`] of `newsreel_core::read::sync`. While a deployment is
//! rolled out, a reader and its replica may be of two releases, so each side takes what the release before it writes.

use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use newsreel_core::metrics::counts::{Counts, CountsError};
use newsreel_core::metrics::hot::{self, HotKey};
use newsreel_core::read::floors::FloorRow;
use newsreel_core::read::sync::{SyncRequest, SyncResponse};
use newsreel_core::wire::{Catalog, Key, UnixMillis};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The header with which a replica says that it gave the proof that was asked for.
pub(crate) const PROVED: &str = "Newsreel-Proved";
/// The header with which a replica says that its reply is packed with gzip.
pub(crate) const PACKED: &str = "Newsreel-Packed";
/// The header that carries the question with which a follow window opens.
pub(crate) const WINDOW_ASK: &str = "Newsreel-Ask";
/// The address at which a follow window opens.
pub(crate) const WINDOW_URL: &str = "https://replica/window";

/// Stands between catalog and edge in a replica's name.
const AT: char = '@';
/// Stands between the two parts of a [`UsageReport`].
const BETWEEN: char = '\u{1e}';

/// Returns the name of a catalog's replica at an edge.
pub(crate) fn replica_name(catalog: &Catalog, edge: &str) -> String {
    format!("{catalog}{AT}{edge}")
}

/// Reads a name of [`replica_name`]: the catalog, and the edge.
pub(crate) fn catalog_and_edge(name: &str) -> Option<(Catalog, &str)> {
    let (catalog, edge) = name.split_once(AT)?;
    Some((Catalog::new(catalog).ok()?, edge))
}

/// A request to a replica, with a body of its own kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// The body is a [`SyncRequest`], the answer a [`SyncResponse`].
    Sync,
    /// The body is a [`UsageReport`]; the answer is empty.
    Report,
    /// The body is empty; the answer is the counts of all readers, as Prometheus reads them.
    Metrics,
    /// The body is a query for series, the answer a page of them.
    Series,
    /// The body is a key; the answer says how a read of it at this edge comes to its answer.
    Explain,
    /// The body is a publish; the answer is a [`DryRunAtEdge`].
    DryRun,
    /// The body is a JSON array of `[key, reads]`, to be prefetched; the answer is empty.
    HotList,
    /// The body is a number, the answer a JSON array of at most so many keys that are worth a check.
    Checkable,
    /// The body is a wrong answer that the check by schedule found, a JSON object; the answer is empty.
    NoteFinding,
    /// The body is empty; the answer is a JSON array of the wrong answers that were found last.
    Findings,
    /// The body is a [`FillTurn`], the answer a [`TurnAnswer`]. A replica of an older release has no such call, and its
    /// readers fill without turns.
    Turn,
}

impl Call {
    const ALL: [Self; 11] = [
        Self::Sync,
        Self::Report,
        Self::Metrics,
        Self::Series,
        Self::Explain,
        Self::DryRun,
        Self::HotList,
        Self::Checkable,
        Self::NoteFinding,
        Self::Findings,
        Self::Turn,
    ];

    const fn path(self) -> &'static str {
        match self {
            Self::Sync => "/sync",
            Self::Report => "/report",
            Self::Metrics => "/metrics",
            Self::Series => "/series",
            Self::Explain => "/explain",
            Self::DryRun => "/dry-run",
            Self::HotList => "/ahead",
            Self::Checkable => "/checkable",
            Self::NoteFinding => "/note-finding",
            Self::Findings => "/findings",
            Self::Turn => "/turn",
        }
    }

    /// Returns the address of this call, within the replica.
    pub(crate) fn url(self) -> String {
        format!("https://replica{}", self.path())
    }

    /// Returns the call that has this path.
    pub(crate) fn at(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|call| call.path() == path)
    }
}

/// A request's wish to fill a key, or, when it has done so, to let others.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FillTurn {
    pub(crate) key: Key,
    /// The request, by a name that no other has.
    pub(crate) holder: String,
    /// Whether the turn is given back.
    pub(crate) done: bool,
}

/// What a publish would hit at one edge, by the keys that were read there lately.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DryRunAtEdge {
    pub(crate) edge: String,
    /// The keys that are covered and read most, the hottest first.
    pub(crate) keys: Vec<ReadKey>,
    /// How many of the keys that are listed are covered.
    pub(crate) covered: u64,
    /// How many keys are listed as read lately.
    pub(crate) listed: u64,
    /// How often the covered keys were read in the period.
    pub(crate) reads: u64,
    pub(crate) period_ms: u64,
    /// How many of the covered keys the origin is asked for at their next read: all but those that are removed.
    pub(crate) fetches: u64,
}

/// A key, and how often it was read lately.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReadKey {
    pub(crate) key: Key,
    pub(crate) reads: u64,
}

/// Whether the request may fill the key now.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TurnAnswer {
    pub(crate) free: bool,
}

/// Floors as SQLite writes them: a JSON array of [`FloorRow`]s, of which none crosses into wasm one by one.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(crate) struct FloorsJson(Box<RawValue>);

impl FloorsJson {
    /// Wraps a JSON text, without reading its floors.
    pub(crate) fn new(json: String) -> serde_json::Result<Self> {
        RawValue::from_string(json).map(Self)
    }

    /// Parses the JSON text into its floors.
    pub(crate) fn rows(&self) -> serde_json::Result<Vec<FloorRow>> {
        serde_json::from_str(self.0.get())
    }
}

impl Default for FloorsJson {
    fn default() -> Self {
        Self::new("[]".to_owned()).expect("an empty array is JSON")
    }
}

/// Returns a reply as its reader takes it.
pub(crate) fn parsed(reply: &SyncResponse<FloorsJson>) -> serde_json::Result<SyncResponse> {
    let SyncResponse { position, from, to, proof_age_ms, left_out, looked, traces, floors } = reply;
    let (position, from, to, proof_age_ms, left_out) = (*position, *from, *to, *proof_age_ms, *left_out);
    Ok(SyncResponse {
        traces: traces.clone(),
        position,
        from,
        to,
        proof_age_ms,
        left_out,
        looked: looked.rows()?,
        floors: floors.rows()?,
    })
}

/// The replica in whose object a read happens: the read asks it without a request.
pub(crate) trait LocalReplica {
    /// Answers a question; says whether the proof that was asked for was given.
    fn answer(
        self: Rc<Self>,
        ask: SyncRequest,
    ) -> LocalBoxFuture<'static, worker::Result<(SyncResponse, bool)>>;
}

/// A message of a follow window: a reply, and when the replica sent it by its own clock.
pub(crate) struct WindowMessage {
    pub(crate) said_at: UnixMillis,
    pub(crate) reply: SyncResponse,
}

impl WindowMessage {
    /// Writes a message: the replica's time, a line break, the reply.
    pub(crate) fn to_text(said_at: UnixMillis, reply_json: &str) -> String {
        format!("{}\n{reply_json}", said_at.0)
    }

    /// Reads a message that [`Self::to_text`] wrote.
    pub(crate) fn parse(text: &str) -> Result<Self, MessageError> {
        let (said_at, reply) = text.split_once('\n').ok_or(MessageError::Parts)?;
        let said_at = UnixMillis(said_at.parse().map_err(|_| MessageError::Time)?);
        Ok(Self { said_at, reply: serde_json::from_str(reply)? })
    }
}

/// A reader's counts since its last report, and the keys that it read most.
#[derive(Debug)]
pub(crate) struct UsageReport {
    pub(crate) counts: Counts,
    pub(crate) hot: Vec<HotKey>,
}

impl UsageReport {
    /// Writes a report: the counts, a separator, the hot keys.
    pub(crate) fn to_text(&self) -> String {
        format!("{}{BETWEEN}{}", self.counts.to_text(), hot::to_text(&self.hot))
    }

    /// Reads a report that [`Self::to_text`] wrote.
    pub(crate) fn parse(text: &str) -> Result<Self, MessageError> {
        let (counts, hot) = text.split_once(BETWEEN).ok_or(MessageError::Parts)?;
        Ok(Self { counts: Counts::parse(counts)?, hot: hot::parse(hot)? })
    }
}

/// The reason that a text is no message of this protocol.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MessageError {
    /// A separator is missing.
    #[error("the message does not have two parts")]
    Parts,
    /// A message of a window begins with something else than a time.
    #[error("the message does not begin with a time")]
    Time,
    /// The reply cannot be read.
    #[error("the reply cannot be read: {0}")]
    SyncResponse(#[from] serde_json::Error),
    /// The counts of a report cannot be read.
    #[error("the counts cannot be read: {0}")]
    Counts(#[from] CountsError),
    /// The keys of a report cannot be read.
    #[error("the keys cannot be read: {0}")]
    Keys(#[from] hot::ReportError),
}

impl From<MessageError> for worker::Error {
    fn from(error: MessageError) -> Self {
        Self::RustError(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use newsreel_core::metrics::counts::Count;
    use newsreel_core::read::sync::LeftOut;
    use newsreel_core::wire::{Key, Position, Version};

    use super::*;

    fn reply() -> SyncResponse<FloorsJson> {
        let epoch = "01ARYZ6S410000000000000000".parse().unwrap();
        let version = |number| Version::new(number).unwrap();
        SyncResponse {
            traces: Vec::new(),
            position: Position { version: version(9), ..Position::genesis(epoch) },
            from: version(3),
            to: version(9),
            proof_age_ms: Some(40),
            left_out: Some(LeftOut { to: version(2), tags_hard: version(1), tags_soft: Version::ZERO }),
            looked: FloorsJson::default(),
            floors: FloorsJson::new(r#"[[0,"title:1",5,0,0]]"#.to_owned()).unwrap(),
        }
    }

    #[test]
    fn a_reply_is_read_as_it_was_written() {
        let json = serde_json::to_string(&reply()).unwrap();
        assert!(json.ends_with(r#""floors":[[0,"title:1",5,0,0]]}"#), "{json}");
        let read: SyncResponse = serde_json::from_str(&json).unwrap();
        assert_eq!(read, parsed(&reply()).unwrap());
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
    }

    #[test]
    fn a_reply_of_the_release_before_is_read() {
        let epoch = reply().position;
        let json = format!(r#"{{"position":"{epoch}","from":3,"to":9,"floors":[]}}"#);
        let read: SyncResponse = serde_json::from_str(&json).unwrap();
        assert_eq!((read.proof_age_ms, read.left_out, read.looked), (None, None, Vec::new()));
    }

    #[test]
    fn a_window_message_is_a_time_and_a_reply() {
        let json = serde_json::to_string(&reply()).unwrap();
        let message = WindowMessage::parse(&WindowMessage::to_text(UnixMillis(7), &json)).unwrap();
        assert_eq!((message.said_at, message.reply), (UnixMillis(7), parsed(&reply()).unwrap()));
        for wrong in ["", "7", "now\n{}", "7\n{}"] {
            assert!(WindowMessage::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let mut counts = Counts::default();
        counts.add("title", Count::Reads, 3);
        let key = Key::new("title:1").unwrap();
        let hot = vec![HotKey { key, reads: 3, tags: Vec::new() }];
        let report = UsageReport { counts, hot };
        let read = UsageReport::parse(&report.to_text()).unwrap();
        assert_eq!((read.counts.get("title", Count::Reads), read.hot), (3, report.hot));
        assert!(UsageReport::parse("").is_err());
    }

    #[test]
    fn every_call_has_a_path_of_its_own() {
        for call in Call::ALL {
            assert_eq!(Call::at(call.path()), Some(call));
        }
        assert_eq!(Call::at("/other"), None);
    }

    #[test]
    fn a_replica_is_named_by_catalog_and_edge() {
        let catalog = Catalog::new("tv").unwrap();
        assert_eq!(catalog_and_edge(&replica_name(&catalog, "a@b")), Some((catalog, "a@b")));
        assert_eq!(catalog_and_edge("tv"), None);
    }
}

//! Where a publish of Redis comes from, and the line that is printed for it.

use std::sync::Arc;

use newsreel_core::wire::SourceEvent;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::source::outgoing::{self, Durable, source_event};

/// Where a publish comes from.
#[derive(Debug)]
pub(super) struct Origin {
    /// When the change happened, in Unix milliseconds by Redis's clock.
    pub(super) at: i64,
    pub(super) place: Place,
    /// The number of the publish within its message, from 0.
    pub(super) part: usize,
    /// What happens when the publish is durable, and all before it.
    pub(super) then: Then,
}

/// The stream or channel of a publish.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// An entry of a stream.
    Entry { stream: Arc<str>, id: String },
    /// A message of a channel.
    Message { channel: String },
    /// A wide change of the source's own, for a stream or for all that is subscribed to.
    Wide { stream: Option<Arc<str>>, why: &'static str },
}

/// What happens when a publish is durable.
#[derive(Debug)]
pub(super) enum Then {
    /// Nothing: another part follows, or the message is of a channel.
    Nothing,
    /// The entry is acknowledged.
    Acknowledge { stream: usize, id: String },
    /// The reader of a stream goes on.
    GoOn(oneshot::Sender<()>),
}

impl Place {
    /// Returns the event that a publish from here tells.
    pub(super) fn event(&self, at: i64) -> SourceEvent {
        let (name, id) = match self {
            Self::Entry { stream, id } => (Some(&**stream), Some(id.as_str())),
            Self::Message { channel } => (Some(channel.as_str()), None),
            Self::Wide { stream, .. } => (stream.as_deref(), None),
        };
        source_event("redis", name, id, at)
    }
}

impl outgoing::Origin for Origin {
    fn at(&self) -> i64 {
        self.at
    }
}

/// Returns the line that is printed for a version.
pub(super) fn line(durable: &Durable<Origin>) -> String {
    let Durable { of, receipt, .. } = durable;
    let mut line = match &of.place {
        Place::Entry { stream, id } => json!({ "stream": &**stream, "id": id, "part": of.part }),
        Place::Message { channel } => json!({ "channel": channel, "part": of.part }),
        Place::Wide { stream, why } => json!({ "stream": stream.as_deref(), "wide": why, "part": of.part }),
    };
    let receipt = json!({
        "sent_at": of.at, "version": receipt.version, "position": receipt.position, "at": receipt.at,
        "changes": receipt.changes,
    });
    if let (Value::Object(line), Value::Object(receipt)) = (&mut line, receipt) {
        line.extend(receipt);
    }
    format!("{line}\n")
}

//! What the readers of streams and channels tell the loop.

use tokio::sync::oneshot;

use super::scripts::StreamEntry;

/// Something that Redis said.
#[derive(Debug)]
pub(super) enum Event {
    /// Entries of a stream, in their order.
    Entries {
        /// The number of the stream among the inputs.
        stream: usize,
        /// What stands before the ids in idempotency keys.
        scope: String,
        entries: Vec<StreamEntry>,
    },
    /// Something of a stream may have been missed. The reader goes on when the wide change is durable.
    Gap { stream: usize, why: &'static str, durable: oneshot::Sender<()> },
    /// Messages of channels may have been missed.
    Missed { why: &'static str },
    /// Messages of channels, in their order.
    Messages(Vec<ChannelMessage>),
}

/// A message of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChannelMessage {
    pub(super) channel: String,
    pub(super) payload: Vec<u8>,
    /// When it arrived, in Unix milliseconds.
    pub(super) at: i64,
}

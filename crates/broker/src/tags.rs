//! The tags of the object's sockets: a follower's first tag is the number of its session, a publisher's is a word, and
//! its second a number.

use newsreel_core::follow::hub::SessionId;
use worker::{State, WebSocket};

/// The first tag of every publishing socket.
pub(crate) const PUBLISHER: &str = "publisher";

/// The use of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SocketTag {
    /// A socket that follows, in this session.
    Follower(SessionId),
    /// A socket that publishes, under this number.
    Publisher(u32),
}

/// Accepts a socket under its tags, so that it outlives the object's time in memory.
pub(crate) fn accept(state: &State, socket: &WebSocket, tag: SocketTag) {
    match tag {
        SocketTag::Follower(SessionId(id)) => state.accept_websocket_with_tags(socket, &[&id.to_string()]),
        SocketTag::Publisher(id) => state.accept_websocket_with_tags(socket, &[PUBLISHER, &id.to_string()]),
    }
}

/// Returns the use of an accepted socket, by its tags.
pub(crate) fn tag_of(state: &State, socket: &WebSocket) -> Option<SocketTag> {
    match state.get_tags(socket).as_slice() {
        [tag, id] if tag == PUBLISHER => id.parse().ok().map(SocketTag::Publisher),
        [id] => id.parse().ok().map(|id| SocketTag::Follower(SessionId(id))),
        _ => None,
    }
}

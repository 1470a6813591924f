//! The tags of the object's sockets: a follower's first tag is the number of its session, a publisher's is a word, and
//! its second a number.

use newsreel_core::follow::hub::SessionId;
use wasm_bindgen::prelude::*;
use worker::{State, WebSocket, web_sys};

#[wasm_bindgen(module = "/src/tags.js")]
extern "C" {
    #[wasm_bindgen(js_name = numberOf)]
    fn number_of(socket: &web_sys::WebSocket) -> Option<f64>;

    #[wasm_bindgen(js_name = setNumber)]
    fn set_number(socket: &web_sys::WebSocket, number: f64);
}

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

/// Returns the use of an accepted socket, by its tags. Each socket's tags are read once: they never change.
pub(crate) fn tag_of(state: &State, socket: &WebSocket) -> Option<SocketTag> {
    if let Some(number) = number_of(socket.as_ref()) {
        return Some(SocketTag::from_number(number));
    }
    let tag = match state.get_tags(socket).as_slice() {
        [tag, id] if tag == PUBLISHER => id.parse().ok().map(SocketTag::Publisher),
        [id] => id.parse().ok().map(|id| SocketTag::Follower(SessionId(id))),
        _ => None,
    }?;
    set_number(socket.as_ref(), tag.number());
    Some(tag)
}

impl SocketTag {
    /// Returns the tag as one number, for JavaScript to keep: a follower's is positive or zero, a publisher's negative.
    fn number(self) -> f64 {
        match self {
            Self::Follower(SessionId(id)) => f64::from(id),
            Self::Publisher(id) => -1.0 - f64::from(id),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the numbers are those of `number`"
    )]
    fn from_number(number: f64) -> Self {
        if number < 0.0 {
            Self::Publisher((-1.0 - number) as u32)
        } else {
            Self::Follower(SessionId(number as u32))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_tag_is_what_its_number_says() {
        for id in [0, 1, u32::MAX] {
            for tag in [SocketTag::Follower(SessionId(id)), SocketTag::Publisher(id)] {
                assert_eq!(SocketTag::from_number(tag.number()), tag);
            }
        }
    }
}

//! The log as server-sent events: each carries a frame of the follow WebSocket, and its id is the position
//! after it, which a browser shows again as `Last-Event-ID`.

use std::time::Duration;

use super::accept::wish;
use super::position::Position;

/// The media type of a stream of events.
pub const MEDIA_TYPE: &str = "text/event-stream";
/// A comment that keeps proxies from taking the silence for a dead connection.
pub const KEEP_ALIVE: &str = ":\n\n";

/// Says whether an `Accept` header asks for events: the header names events, and wants a page no more than
/// events.
#[must_use]
pub fn is_wanted(accept: &str) -> bool {
    let (events, page) = (wish(accept, MEDIA_TYPE), wish(accept, "application/json"));
    events.by_name && events.weight > 0 && events.weight >= page.weight
}

/// Writes how long a client that lost its connection waits before it comes back.
#[must_use]
pub fn retry(after: Duration) -> String {
    format!("retry: {}\n\n", after.as_millis())
}

/// Writes an event around a frame of type `kind`, which is one line as every frame is. `after` is the
/// position to resume from; none while the frame is only a part of what leads there.
#[must_use]
pub fn event(kind: &str, after: Option<&Position>, frame: &str) -> String {
    let id = after.map_or(String::new(), |position| format!("id: {position}\n"));
    format!("event: {kind}\n{id}data: {frame}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn an_event_is_a_frame_with_its_position() {
        let at: Position = "01ARYZ6S410000000000000000:1:68af3c045ca45573".parse().unwrap();
        assert_eq!(
            event("head", Some(&at), &frame::head(at.version, &at)),
            "event: head\nid: 01ARYZ6S410000000000000000:1:68af3c045ca45573\n\
             data: {\"type\":\"head\",\"from\":1,\"version\":1,\"hash\":\"68af3c045ca45573\"}\n\n"
        );
        assert_eq!(event("fold", None, "{}"), "event: fold\ndata: {}\n\n");
        assert_eq!(retry(Duration::from_secs(2)), "retry: 2000\n\n");
    }

    #[test]
    fn a_frame_never_breaks_its_line() {
        let at: Position = "01ARYZ6S410000000000000000:1:68af3c045ca45573".parse().unwrap();
        assert!(!frame::reset(&at, "a\nb\rc").contains(['\n', '\r']));
    }

    #[test]
    fn events_are_asked_for_by_their_media_type() {
        assert!(is_wanted("text/event-stream"));
        assert!(is_wanted("application/json;q=0.1, Text/Event-Stream;q=0.9"));
        assert!(is_wanted("application/json, text/event-stream"));
        assert!(!is_wanted("*/*") && !is_wanted("application/json") && !is_wanted(""));
        assert!(
            !is_wanted("text/event-stream;q=0") && !is_wanted("application/json, text/event-stream;q=0.0")
        );
        assert!(!is_wanted("text/event-stream;q=0.5, */*"), "a page is wanted more");
        assert!(!is_wanted("application/json;profile=\"a;text/event-stream\""));
    }
}

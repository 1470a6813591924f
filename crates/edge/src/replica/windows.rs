//! The replica's ends of its readers' follow windows.

use newsreel_core::read::sync::SyncRequest;
use worker::{Request, Response, Result, State, WebSocket, WebSocketPair};

use crate::clock::now;
use crate::protocol::{WINDOW_ASK, WindowMessage};

/// The tag of the sockets that are the replica's ends of windows.
const TAG: &str = "window";

/// The replica's ends of all windows open on it.
pub(crate) struct Windows<'a>(pub(crate) &'a State);

impl Windows<'_> {
    /// Returns the question a request opens a window with; `None` when it opens none.
    pub(crate) fn asked(request: &Request) -> Result<Option<SyncRequest>> {
        let Some(ask) = request.headers().get(WINDOW_ASK)? else { return Ok(None) };
        Ok(Some(serde_json::from_str(&ask)?))
    }

    /// Opens a window that begins with this reply.
    pub(crate) fn open(&self, reply: &str) -> Result<Response> {
        let pair = WebSocketPair::new()?;
        self.0.accept_websocket_with_tags(&pair.server, &[TAG]);
        pair.server.send_with_str(WindowMessage::to_text(now(), reply))?;
        Response::from_websocket(pair.client)
    }

    /// Says whether no window is open.
    pub(crate) fn none_open(&self) -> bool {
        self.all().is_empty()
    }

    /// Tells every window a reply.
    pub(crate) fn tell(&self, reply: &str) {
        let text = WindowMessage::to_text(now(), reply);
        for socket in self.all() {
            // A window that is closing needs no more messages; its reader opens another.
            let _ = socket.send_with_str(&text);
        }
    }

    fn all(&self) -> Vec<WebSocket> {
        self.0.get_websockets_with_tag(TAG)
    }
}

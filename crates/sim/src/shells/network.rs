//! Messages on their way between followers and the broker, and all that may go wrong with them.

use newsreel_core::follow::hub::SessionId;
use newsreel_core::wire::frame;

use crate::faults::Fault;
use crate::network::{Down, Socket, Up};
use crate::world::{Event, Who, World};

impl World {
    /// Opens a socket; the follower is told first of all.
    pub(crate) fn open_socket(&mut self, who: Who, link: u64, object: u64, session: SessionId) -> u64 {
        self.next_socket += 1;
        let id = self.next_socket;
        let (last_up, last_down) = (self.now, self.now);
        let half_open = false;
        self.sockets.insert(id, Socket { who, link, object, session, half_open, last_up, last_down });
        id
    }

    /// Sends a follower something.
    pub(crate) fn send_down(&mut self, id: u64, down: &Down) {
        let is_pong = matches!(down, Down::Text(text) if text.starts_with(frame::PONG_PREFIX));
        let Some(due) = self.travel(id, false, is_pong) else { return };
        for at in due {
            self.schedule_at(at, Event::Hears { socket: id, down: down.clone() });
        }
    }

    /// Sends the broker something.
    pub(crate) fn send_up(&mut self, id: u64, up: &Up) {
        let is_ping = matches!(up, Up::Text(text) if &**text == frame::PING);
        let Some(due) = self.travel(id, true, is_ping) else { return };
        for at in due {
            self.schedule_at(at, Event::Arrives { socket: id, up: up.clone() });
        }
    }

    /// Returns when a message arrives, once or twice; nothing if it never does. Pings and pongs have no
    /// number, so they are never doubled and never overtake each other: the platform answers each ping with
    /// one pong.
    fn travel(&mut self, id: u64, up: bool, unnumbered: bool) -> Option<Vec<u64>> {
        let way = self.net.between(1, 12);
        if !self.sockets.contains_key(&id) {
            return None;
        }
        if self.faults.strikes(Fault::SocketCut) {
            self.cut(id);
            return None;
        }
        let half_open = self.faults.strikes(Fault::HalfOpen);
        let delayed = self.faults.strikes(Fault::FrameDelayed);
        let late = if delayed { self.net.between(500, 4_000) } else { 0 };
        let lost = self.faults.strikes(Fault::FrameLost);
        let reordered = !unnumbered && self.faults.strikes(Fault::FrameReordered);
        let doubled = !unnumbered && self.faults.strikes(Fault::FrameDoubled);
        let behind = self.net.between(5, 200);
        let now = self.now;
        let socket = self.sockets.get_mut(&id)?;
        socket.half_open |= half_open;
        if socket.half_open || lost {
            return None;
        }
        let last = if up { &mut socket.last_up } else { &mut socket.last_down };
        let due = (now + way + late).max(*last);
        if reordered {
            // Later messages do not wait for this one.
            return Some(vec![due + behind]);
        }
        *last = due;
        Some(if doubled { vec![due, due + behind] } else { vec![due] })
    }

    /// Cuts a socket: each end hears of it, in its own time.
    pub(crate) fn cut(&mut self, id: u64) {
        let Some(socket) = self.sockets.get(&id) else { return };
        let (last_up, last_down) = (socket.last_up, socket.last_down);
        let (up, down) = (self.net.between(1, 500), self.net.between(1, 500));
        let up = (self.now + up).max(last_up);
        let down = (self.now + down).max(last_down);
        self.schedule_at(up, Event::Arrives { socket: id, up: Up::Closed });
        self.schedule_at(down, Event::Hears { socket: id, down: Down::Closed(1006) });
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.half_open = true;
        }
    }
}

// A text for many sockets in one call.

/** Sends a text to every socket. One that cannot take it is closing: its own close event follows. */
export function sendToAll(sockets, text) {
  for (const socket of sockets) {
    try {
      socket.send(text);
    } catch {
      // The rest are sent it all the same.
    }
  }
}

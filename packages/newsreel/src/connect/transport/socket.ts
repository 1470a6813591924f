/** A WebSocket to the broker, with the one constructor that every runtime has. */

import type { Dialing, Link } from './link.js';

const PROTOCOL = 'newsreel.v1';

/** How long the close event of a closing socket may take before the connection counts as lost. */
const CLOSING_MS = 3_000;

/** Opens a WebSocket. The token goes as a subprotocol, which works where headers cannot be set. */
export function openSocket({ address, query, token, listener }: Dialing): Link {
  const bearer = token === undefined ? [] : [`newsreel.bearer.${base64url(token)}`];
  let socket: WebSocket;
  try {
    socket = new WebSocket(`${address.socket}/follow${query}`, [PROTOCOL, ...bearer]);
  } catch (cause) {
    // A page's policy may forbid sockets.
    queueMicrotask(() => link.end(1006, `no WebSocket: ${String(cause)}`));
    const link = new SocketLink(undefined, listener);
    return link;
  }
  return new SocketLink(socket, listener);
}

class SocketLink implements Link {
  #socket: WebSocket | undefined;
  #listener: Dialing['listener'] | undefined;

  constructor(socket: WebSocket | undefined, listener: Dialing['listener']) {
    this.#socket = socket;
    this.#listener = listener;
    socket?.addEventListener('open', () => this.#opened());
    // The protocol has no binary frames: the follower refuses the empty text.
    socket?.addEventListener('message', ({ data }) => this.#listener?.text(typeof data === 'string' ? data : ''));
    socket?.addEventListener('close', ({ code, reason }) => this.end(code, reason));
    socket?.addEventListener('error', (event) => this.end(1006, (event as { message?: string }).message ?? ''));
  }

  #opened(): void {
    if (this.#socket && this.#socket.protocol !== PROTOCOL) {
      // Most runtimes refuse such a socket themselves. A proxy on the way may speak WebSocket only by half.
      this.end(1006, `whoever answers does not speak ${PROTOCOL}`);
      this.#socket.close(1000);
      return;
    }
    this.#listener?.opened();
  }

  send(text: string): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(text);
    else this.expectClose();
  }

  /** Ends the link soon: a close has begun whose event may take long to arrive. */
  expectClose(): void {
    setTimeout(() => this.end(1006, 'the broker closed'), CLOSING_MS);
  }

  hangUp(code: number, reason: string): void {
    this.#take();
    this.#socket?.close(code, reason);
  }

  end(code: number, reason: string): void {
    this.#take()?.closed(code, reason || `closed with ${code}`);
  }

  /** Takes the listener out, so that no event reaches it any more. */
  #take(): Dialing['listener'] | undefined {
    const listener = this.#listener;
    this.#listener = undefined;
    return listener;
  }
}

function base64url(text: string): string {
  const bytes = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(bytes).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

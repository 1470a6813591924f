// The conformance kit's follower, which checks PROTOCOL.md on every frame, as the tests here use it.
//
// Tests wait for what it heard; nothing sleeps.

import { Follower as StrictFollower } from './conformance/follower.mjs';
import { CatalogLog } from './system.mjs';

export class Follower extends StrictFollower {
  /** A `mute` follower hears everything and acknowledges nothing. */
  constructor(broker, { catalog = 'tv', name = 'e2e', ...options } = {}) {
    super(new CatalogLog(broker, catalog), { name, ...options });
  }

  /** Says that the deployment is at another address. */
  set broker(broker) {
    this.log.broker = broker;
  }

  /** Whether the broker has closed. Its Close frame comes at once; workerd ends the connection, which is told by the
   * event, only when the object sleeps. */
  get isLeft() {
    return this.socket.readyState >= WebSocket.CLOSING;
  }

  /** The newest version heard of each target, in folds and versions alike. */
  newest() {
    const newest = new Map();
    const hear = (version, { key, tag, prefix, all }) => newest.set(key ?? tag ?? prefix ?? `all ${all}`, version);
    for (const change of this.folded) hear(change.version, change);
    for (const { version, changes } of this.versions) for (const change of changes) hear(version, change);
    return newest;
  }
}

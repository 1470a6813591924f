// The conformance kit's reader of server-sent events, which checks their grammar, ids and rows, as the tests here use it.

import { Events as StrictEvents } from './conformance/stream.mjs';
import { CatalogLog } from './system.mjs';

export class Events extends StrictEvents {
  constructor(broker, { catalog = 'tv', ...options } = {}) {
    super(new CatalogLog(broker, catalog), options);
  }

  /** Says that the deployment is at another address. */
  set broker(broker) {
    this.log.broker = broker;
  }

  /** Waits until the position is at least that of a receipt. */
  reached({ version }) {
    return super.reached(version);
  }
}

// The conformance kit's publisher over the publishing socket, as the tests here use it: an answer may come over a later
// connection.

import { Publisher as StrictPublisher } from './conformance/publisher.mjs';
import { CatalogLog } from './system.mjs';

export class Publisher extends StrictPublisher {
  constructor(broker, { catalog = 'tv', ...options } = {}) {
    super(new CatalogLog(broker, catalog), options);
  }

  /** Says that the deployment is at another address. */
  set broker(broker) {
    this.log.broker = broker;
  }

  /** Publishes a value, or a text as it is; resolves to its answer, over whichever connection it comes. */
  publish(publish) {
    return new Promise((answered) => void this.offer(publish, answered));
  }
}

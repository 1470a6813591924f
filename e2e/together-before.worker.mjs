// The production Worker whose broker knows requests alone, as that of a version before calls: for tests only.

import { Broker as Production } from 'WORKER';

export * from 'WORKER';
export { default } from 'WORKER';

export class Broker {
  constructor(state, env) {
    this.production = new Production(state, env);
  }

  fetch(request) {
    return this.production.fetch(request);
  }
}

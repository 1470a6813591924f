// The production Worker on a clock that a test moves, and objects whose alarm it rings, for tests only.
//
// `POST /clock` with a number of milliseconds moves the clock of the readers and of every object. The platform's own clock stays:
// an alarm that an object sets comes as long after as the object says. `POST /ring?of=BINDING` with the name of an object rings
// its alarm.

import production, { AlertBoard as ProductionBoard, Broker, Replica as ProductionReplica } from 'WORKER';

const platform = Date.now.bind(Date);
let ahead = 0;
Date.now = () => platform() + ahead;

/** A class of objects with `/ring`. */
const rung = (Production) =>
  class extends Production {
    async fetch(request) {
      if (new URL(request.url).pathname !== '/ring') return super.fetch(request);
      await this.alarm();
      return new Response();
    }
  };

export { Broker };
export class AlertBoard extends rung(ProductionBoard) {}
export class Replica extends rung(ProductionReplica) {}

export default {
  async fetch(request, env, context) {
    const { pathname, searchParams } = new URL(request.url);
    switch (pathname) {
      case '/clock':
        ahead += Number(await request.text());
        return new Response();
      case '/ring':
        return env[searchParams.get('of')].getByName(await request.text()).fetch('https://object/ring');
      default:
        return production.fetch(request, env, context);
    }
  },
};

// The production Worker on a clock that a test moves, and objects whose alarm it rings, for tests only.
//
// `POST /clock` with a number of milliseconds moves the clock of the readers and of every object. The platform's own clock stays:
// an alarm that an object sets comes as long after as the object says. `POST /ring` with the name of a replica rings its alarm.

import production, { AlertBoard, Broker, Replica as Production } from 'WORKER';

export { AlertBoard, Broker };

const platform = Date.now.bind(Date);
let ahead = 0;
Date.now = () => platform() + ahead;

export class Replica extends Production {
  async fetch(request) {
    if (new URL(request.url).pathname !== '/ring') return super.fetch(request);
    await this.alarm();
    return new Response();
  }
}

export default {
  async fetch(request, env, context) {
    switch (new URL(request.url).pathname) {
      case '/clock':
        ahead += Number(await request.text());
        return new Response();
      case '/ring':
        return env.REPLICA.getByName(await request.text()).fetch('https://replica/ring');
      default:
        return production.fetch(request, env, context);
    }
  },
};

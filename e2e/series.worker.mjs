// The production Worker whose objects a test kills, and asks when their alarm is set and how many rows they have, for tests only.

import production, { Broker as ProductionBroker, Replica as ProductionReplica } from 'WORKER';

/** An object of a class with `/abort`, `/alarm`, `/armed` and `/rows`. */
function withCommands(Production) {
  return class extends Production {
    constructor(state, env) {
      super(state, env);
      this.ctx = state;
    }

    async fetch(request) {
      switch (new URL(request.url).pathname) {
        case '/abort':
          setTimeout(() => this.ctx.abort('a test'), 0);
          return new Response('gone');
        case '/alarm':
          await this.alarm();
          return new Response('rung');
        case '/armed':
          return Response.json(await this.ctx.storage.getAlarm());
        case '/rows':
          return Response.json(this.ctx.storage.sql.exec('SELECT count(*) AS rows FROM series_10').one().rows);
        default:
          return super.fetch(request);
      }
    }
  };
}

export class Broker extends withCommands(ProductionBroker) {}
export class Replica extends withCommands(ProductionReplica) {}

export default {
  async fetch(request, env, context) {
    const { pathname, searchParams } = new URL(request.url);
    const space = { '/broker': env.BROKER, '/replica': env.REPLICA }[pathname];
    if (space === undefined) return production.fetch(request, env, context);
    return space.get(space.idFromName(searchParams.get('name'))).fetch(`https://object/${searchParams.get('do')}`);
  },
};

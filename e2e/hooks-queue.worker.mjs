// The production Worker, with a consumer that fails as `POST /plan` says: the broker is away for the consumer's next calls
// (`away`), or the consumer dies once it has published and before it has settled its batch (`die`).

import worker, { AlertBoard, Broker, Newsreel, Replica } from 'WORKER';

export { AlertBoard, Broker, Newsreel, Replica };

const plan = { away: 0, die: 0, batches: 0, deaths: 0 };

/** A namespace whose objects are away while the plan says so. The Worker looks at the name of its class. */
class DurableObjectNamespace {
  #from;

  constructor(from) {
    this.#from = from;
  }

  getByName(...words) {
    const stub = this.#from.getByName(...words);
    return {
      fetch: (...call) => {
        if (plan.away <= 0) return stub.fetch(...call);
        plan.away -= 1;
        return Promise.reject(new Error('the broker is away'));
      },
    };
  }
}

/** The environment whose broker is away while the plan says so. */
const around = (env) =>
  new Proxy(env, { get: (from, name) => (name === 'BROKER' ? new DurableObjectNamespace(from.BROKER) : from[name]) });

export default {
  ...worker,
  fetch: async (request, env, context) => {
    if (new URL(request.url).pathname !== '/plan') return worker.fetch(request, env, context);
    Object.assign(plan, await request.json());
    return Response.json(plan);
  },
  queue: async (batch, env, context) => {
    plan.batches += 1;
    if (plan.die <= 0) return worker.queue(batch, around(env), context);
    const mute = batch.messages.map(({ id, timestamp, attempts, body }) => ({ id, timestamp, attempts, body, ack() {}, retry() {} }));
    await worker.queue({ queue: batch.queue, messages: mute }, around(env), context);
    plan.die -= 1;
    plan.deaths += 1;
    throw new Error('the consumer dies');
  },
};

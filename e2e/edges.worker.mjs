// The production Worker as two edges of one deployment, for tests only: `x-edge: far` is answered by the reader of another isolate,
// whose EDGE is that, and anything else by the reader of the edge `near`, as the deployment's EDGE has it.

import near, { Broker, Replica } from 'WORKER';
import far from 'SECOND';

export { Broker, Replica };

const READERS = { near, far };

export default {
  fetch(request, env, context) {
    const EDGE = request.headers.get('x-edge') ?? env.EDGE;
    return READERS[EDGE].fetch(request, { ...env, EDGE }, context);
  },
};

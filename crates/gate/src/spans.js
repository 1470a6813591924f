// The platform's own tracing, where the runtime has it.

import * as workers from 'cloudflare:workers';

/** Sets an attribute of the span that is open, if the platform records one. */
export function setAttribute(name, value) {
  workers.tracing?.getActiveSpan?.()?.setAttribute(name, value);
}

//! The middleware. A page that is not kept is made by the app itself, which is asked once more for the whole of it: `next`
//! may be called once, and a change that comes meanwhile makes the page be made again.

/** Requests of this middleware for whole pages. */
const filling = new WeakSet();

/** Returns the middleware's factory on `withNewsreel` of `newsreel/worker`. */
export function middlewareOn(withNewsreel) {
  return (app, options = {}) => async (c, next) => {
    const { raw } = c.req;
    if (filling.has(raw) || !['GET', 'HEAD'].includes(raw.method)) return next();
    const handler = withNewsreel(async (request, env, context) => {
      if (request === raw) {
        await next();
        return c.res;
      }
      filling.add(request);
      return app.fetch(request, env, context);
    }, optionsOf(c, options));
    const response = await handler(raw, c.env, contextOf(c));
    // What stands there already would lend the answer its headers.
    c.res = undefined;
    c.res = response;
  };
}

/** Returns the options of `withNewsreel`, whose functions know the request alone. */
function optionsOf(c, { binding, key, tags, policy, ...options }) {
  const bound = (given) => (typeof given === 'function' ? () => given(c) : given);
  return { ...options, binding: binding && (() => binding(c)), key: bound(key), tags: bound(tags), policy: bound(policy) };
}

/** Returns the context of the Worker; where Hono has none, work behind the answer goes on by itself. */
function contextOf(c) {
  try {
    return c.executionCtx;
  } catch {
    return { waitUntil: (promise) => void promise.catch(() => {}), passThroughOnException() {} };
  }
}

// A Worker of a test, bound to Newsreel's entrypoint: makes the calls that the test tells it, and says what came of them.
// `{"fill": URL}` among the arguments becomes a function that fetches the address; `{"fill": {…}}` one that does as told.

export default {
  async fetch(request, env) {
    const { call, args } = await request.json();
    try {
      const result = await env.NEWSREEL[call](...args.map(revived));
      return Response.json({ result: shown(result) });
    } catch ({ name, message }) {
      return Response.json({ error: { name, message } });
    }
  },
};

function revived(arg) {
  if (typeof arg?.fill === 'string') return async () => fetch(arg.fill);
  if (arg?.fill?.throws) return async () => { throw new RangeError(arg.fill.throws); };
  if (arg && 'returns' in Object(arg.fill)) return async () => arg.fill.returns;
  if (arg?.bytes) return Uint8Array.from(arg.bytes);
  return arg;
}

/** Shows bytes, which JSON has not, as a list. */
function shown(result) {
  if (result instanceof ArrayBuffer) return { bytes: [...new Uint8Array(result)] };
  if (Array.isArray(result)) return result.map(shown);
  if (result?.value instanceof ArrayBuffer) return { ...result, value: shown(result.value) };
  return result;
}

// A Worker that does nothing: the least that an answer costs on workerd.

export default {
  fetch: () => new Response('here\n'),
};

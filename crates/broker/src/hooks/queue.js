// A Cloudflare Queue: what crate `worker` does not wrap, in one call for a batch.

/** Returns the promise of a message being in the queue. */
export function send(env, text) {
  return env.HOOK_QUEUE.send(text, { contentType: 'text' });
}

/** Returns a list with the id of each message of a batch, how often it was handed out, and its text; as JSON. */
export function messagesOf({ messages }) {
  const text = (body) => (typeof body === 'string' ? body : (JSON.stringify(body) ?? ''));
  return JSON.stringify(messages.map(({ id, attempts, body }) => [id, attempts, text(body)]));
}

/** Settles each message of a batch: after so many seconds it is handed out again, or never where these are negative. */
export function settle({ messages }, delays) {
  messages.forEach((message, at) => {
    if (delays[at] < 0) message.ack();
    else message.retry({ delaySeconds: delays[at] });
  });
}

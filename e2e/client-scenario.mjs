// One scenario for every runtime: uses nothing but the package, which it is given, `fetch` and timers of the language.
//
// The result must be the same everywhere, so nothing in it tells of time, of epochs or of how frames were cut.

/** Times in which a test passes; but no machine is so slow that a connection counts as dead. */
const PATIENCE_MS = 30_000;
const TIMING = {
  pingEveryMs: 50, ackEveryMs: 20, backoffBaseMs: 1, backoffCapMs: 20,
  connectTimeoutMs: PATIENCE_MS, pongTimeoutMs: PATIENCE_MS, behindGraceMs: PATIENCE_MS,
};

/** A position store that notes the version of each write. */
class NotingStore {
  versions = [];

  read() {
    return this.position;
  }

  write(position) {
    this.position = position;
    this.versions.push(Number(position.split(':')[1]));
  }
}

/** The broker's HTTP, as a stranger calls it. */
class Publisher {
  constructor({ url, catalog, tokens }) {
    this.base = `${url}/v1/catalogs/${catalog}`;
    this.tokens = tokens;
  }

  async call(method, path, token, body) {
    const response = await fetch(`${this.base}${path}`, { method, headers: { authorization: `Bearer ${token}` }, body });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }

  publish(change) {
    return this.call('POST', '/changes', this.tokens.publish, JSON.stringify(change));
  }

  newEpoch() {
    return this.call('POST', '/epochs', this.tokens.admin);
  }

  status() {
    return this.call('GET', '', this.tokens.follow);
  }
}

/** Returns the fields of an event that are the same in every run. */
function noted({ type, version, changes }) {
  return { type, version, changes };
}

/** Returns the fields of a promise's error that are the same in every run. */
async function errorOf(promise) {
  try {
    await promise;
  } catch ({ name, code, terminal }) {
    return { name, code, terminal };
  }
  return undefined;
}

/** Runs it, in a catalog of its own. `transport` is `auto` or `polling`. */
export async function scenario(newsreel, { transport, ...at }) {
  const broker = new Publisher(at);
  const options = { catalog: at.catalog, token: at.tokens.follow, transport, timing: TIMING };
  const store = new NotingStore();
  const follow = { newsreel, broker, at, store, options };
  const first = await followFromStart(follow);
  const second = await resume(follow);
  return { first, second, errors: await misuse(follow), stored: store.versions };
}

/** Follows everything there is, with a handler that is slow once: more is published meanwhile. */
async function followFromStart({ newsreel, broker, at, store, options }) {
  for (const change of [{ key: 'title:1', tags: ['a', 'b'] }, { tag: 'a', soft: true }, { key: 'title:映画', op: 'remove' }]) {
    await broker.publish(change);
  }
  const events = [];
  const states = [];
  let slow;
  const onChanges = async (batch) => {
    slow ??= broker.publish({ changes: [{ prefix: 'title:' }, { key: 'live:1' }] });
    await slow;
    events.push(...batch.map(noted));
  };
  const onState = ({ name, transport, reason = "" }) => states.push(`${name} ${transport ?? reason}`.trim());
  const feed = await newsreel.connect(at.url, { ...options, from: 'start', store, onChanges, onState });
  await feed.live();
  const receipt = await slow;
  await feed.waitFor(`${receipt.epoch}:${receipt.version}`);
  while (feed.lag() === Infinity) await broker.status();
  const lag = feed.lag() >= 0 && feed.lag() < 60_000;
  const { version, position } = feed;
  await feed.close();
  return { events, states, version, lag, isReceipt: position === receipt.position, error: await feed.closed };
}

/** A second feed begins where the first one's store is; then the log is another. */
async function resume({ newsreel, broker, at, store, options }) {
  for (const key of ['title:5', 'title:6']) await broker.publish({ key });
  const events = [];
  const feed = await newsreel.connect(new URL(at.url), { ...options, store });
  const looping = (async () => {
    for await (const event of feed) events.push(noted(event));
  })();
  const seventh = await broker.publish({ key: 'title:7' });
  await feed.waitFor(seventh.position);
  const { position } = await broker.newEpoch();
  await feed.waitFor(position);
  const receipt = await broker.publish({ all: true });
  await feed.waitFor(receipt.position);
  const late = await errorOf(feed.waitFor(2, { timeoutMs: 20 }));
  await feed[Symbol.asyncDispose]();
  await looping;
  return { events, late, state: feed.state.name, isReceipt: feed.position === receipt.position, after: await errorOf(feed.live()) };
}

/** Returns the errors of wrong calls, which must be the same in every runtime. */
async function misuse({ newsreel, at, options }) {
  const connect = (more, url = at.url) => newsreel.connect(url, { ...options, ...more });
  const refused = await connect({ token: 'guess' });
  const { name, code, terminal, status } = (await refused.closed) ?? {};
  const broken = { read: () => Promise.reject(new Error('no')), write() {} };
  const aborted = await connect({ signal: AbortSignal.abort(new RangeError('enough')) }).catch((error) => error.message);
  return {
    refused: { name, code, terminal, status },
    url: await errorOf(connect({}, 'ftp://newsreel.example')),
    catalog: await errorOf(connect({ catalog: 'Not A Name' })),
    timing: await errorOf(connect({ timing: { pingEveryMs: -1 } })),
    store: await errorOf(connect({ store: broken })),
    garbage: await errorOf(connect({ store: newsreel.memoryPosition('garbage') })),
    aborted,
  };
}

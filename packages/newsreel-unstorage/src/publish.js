//! A publish over HTTP: tried again where that may help, without a second effect.

const MOST_CHANGES = 1_000;
const TRIES = 4;
const FIRST_PAUSE_MS = 100;
const LONGEST_MS = 30_000;

/**
 * Publishes changes, and returns the position of the last of them once every follower that is connected has applied them,
 * or `timeoutMs` is over; throws when the broker refuses or cannot be reached.
 */
export async function publish(options, changes) {
  let position;
  for (let from = 0; from < changes.length; from += MOST_CHANGES) {
    ({ position } = await publishOne(options, changes.slice(from, from + MOST_CHANGES)));
  }
  return position;
}

async function publishOne({ url, catalog, publishToken, timeoutMs, fetch = globalThis.fetch }, changes) {
  const address = new URL(`v1/catalogs/${encodeURIComponent(catalog)}/changes`, url.endsWith('/') ? url : `${url}/`);
  address.search = `wait=applied&timeout_ms=${Math.ceil(timeoutMs)}`;
  const headers = { 'content-type': 'application/json', 'idempotency-key': crypto.randomUUID() };
  if (publishToken) headers.authorization = `Bearer ${publishToken}`;
  const body = JSON.stringify({ changes });
  for (let tried = 1; ; tried += 1) {
    const { answer, error } = await asked(fetch, address, { method: 'POST', headers, body });
    if (answer?.ok) return answer.json();
    const isWorthATry = answer === undefined || answer.status === 429 || answer.status >= 500;
    if (!isWorthATry || tried === TRIES) throw await refusal(address, answer, error);
    const pause = Number(answer?.headers.get('retry-after')) * 1_000 || FIRST_PAUSE_MS * 2 ** tried;
    await new Promise((resolve) => setTimeout(resolve, Math.min(pause, 2_000)));
  }
}

/** Asks the broker. */
async function asked(fetch, address, init) {
  try {
    return { answer: await fetch(address, { ...init, signal: AbortSignal.timeout(LONGEST_MS) }) };
  } catch (error) {
    return { error };
  }
}

async function refusal(address, answer, cause) {
  const said = answer ? `${answer.status} ${(await answer.text()).slice(0, 300)}` : String(cause);
  return new Error(`newsreel-unstorage: the change was not published at ${address}: ${said}`, { cause });
}

// What the entrypoint makes of the API's answers, and of the values that a caller gives.

/** Returns the error that a caller of the binding gets: the name and the message survive the way to another Worker. */
export function problemOf(code, detail) {
  const error = new Error(`${code}: ${detail}`);
  error.name = 'NewsreelError';
  return error;
}

/** Returns the JSON of a response with this status; throws the problem that any other response holds. */
export async function throwUnless(response, status) {
  if (response.status === status) return response.json();
  throw await thrown(response);
}

/** Returns the entry that a response to a read is. */
export async function entryOf(key, response, options) {
  const { status, headers } = response;
  const found = status === 200;
  if (!found) {
    const problem = await thrown(response);
    if (status !== 404 || !problem.message.startsWith('not-found:')) throw problem;
  }
  const value = found ? await valueOf(response, headers.get('Content-Type') ?? '', options.type) : null;
  const from = servedFrom(headers.get('Cache-Status') ?? '');
  return described((name) => headers.get(name), { key, value, found, tags: headers.get('Cache-Tag'), from });
}

/** Returns an entry with what its headers say of it; `tags` are as `Cache-Tag` has them. */
function described(header, { key, value, found, tags, from }) {
  const freshness = header('Newsreel-Freshness') ?? 'fresh';
  const ageMs = ageOf(freshness);
  return {
    key,
    value,
    found,
    contentType: (found && header('Content-Type')) || '',
    etag: found ? header('ETag') : null,
    tags: (tags ?? '').split(',').filter(Boolean),
    version: header('Newsreel-Entry-Version'),
    known: header('Newsreel-Version'),
    freshness: freshness.split(';')[0],
    ageMs,
    fetchedAt: Date.now() - ageMs,
    cacheControl: header('Cache-Control') ?? 'no-store',
    from,
  };
}

/** Returns the value of an entry that memory has ready. */
export function readyValue([ready], type) {
  switch (type ?? typeOf(ready.lasting('Content-Type') ?? '')) {
    case 'json':
      return ready.json;
    case 'text':
      return ready.text ?? new TextDecoder().decode(ready.bytes);
    case 'bytes':
      return ready.bytes.slice().buffer;
    case 'stream':
      return new Response(ready.bytes).body;
    default:
      throw unknownType(type);
  }
}

/** Returns the entry that memory has ready. */
export function readyEntry(key, found, type) {
  const [ready, lines, tags] = found;
  const told = new Map();
  for (const line of lines.split('\n')) {
    const colon = line.indexOf(':');
    told.set(line.slice(0, colon), line.slice(colon + 1));
  }
  const header = (name) => told.get(name) ?? ready.lasting(name);
  return described(header, { key, value: readyValue(found, type), found: true, tags, from: 'memory' });
}

/** Returns the entries of a bulk read, in its order; undefined for a value that has to be read alone. */
export function bulkEntries({ position, entries }, options) {
  return entries.map((read) => {
    if (read.status !== 200 && read.code !== 'not-found') throw problemOf(read.code, `${read.key}: ${read.detail}`);
    const found = read.status === 200;
    if (found && read.encoding === 'none') return undefined;
    const freshness = read.freshness ?? { stale: false, confidence: 1, fetched_at: Date.now() };
    return {
      key: read.key,
      value: found ? bulkValue(read, options.type) : null,
      found,
      contentType: read.content_type ?? '',
      etag: read.etag ?? null,
      tags: read.tags ?? [],
      version: freshness.position ?? null,
      known: position,
      freshness: wordOf(freshness),
      ageMs: Math.max(0, Date.now() - freshness.fetched_at),
      fetchedAt: freshness.fetched_at,
      cacheControl: 'no-store',
      from: servedFrom(read.cache_status),
    };
  });
}

/** Says what became of a value that was handed in. */
export async function landedOf(response) {
  if (response.status === 204) return { stored: true };
  const problem = await thrown(response);
  const why = { overtaken: 'overtaken', 'lease-expired': 'expired', 'not-storable': 'not-storable' };
  const code = problem.message.split(':')[0];
  if (why[code] === undefined) throw problem;
  return { stored: false, why: why[code] };
}

/** Says how something fares of which the strictest floor is told. */
export const judgementOf = ({ floor }) => ({ none: 'fresh', soft: 'soft', hard: 'hard' })[floor];

/** Returns the response that a caller's value is: a response as it is, nothing as a 404, and everything else with its type. */
export function responseOf(value, options) {
  const response = value instanceof Response ? value : wrapped(value);
  if (!options.tags?.length) return response;
  const headers = new Headers(response.headers);
  const said = headers.get('Cache-Tag');
  headers.set('Cache-Tag', [...(said ? [said] : []), ...options.tags].join(','));
  return new Response(response.body, { status: response.status, headers });
}

function wrapped(value) {
  if (value === null || value === undefined) return new Response(null, { status: 404 });
  const typed = (body, type) => new Response(body, { headers: { 'Content-Type': type } });
  if (typeof value === 'string') return typed(value, 'text/plain; charset=utf-8');
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value) || value instanceof ReadableStream) {
    return typed(value, 'application/octet-stream');
  }
  return typed(JSON.stringify(value), 'application/json');
}

async function thrown(response) {
  const text = await response.text();
  try {
    const { code, detail } = JSON.parse(text);
    return problemOf(code, detail);
  } catch {
    return problemOf('internal', `the answer has the status ${response.status} and is no problem: ${text.slice(0, 200)}`);
  }
}

/** Returns the age that `Newsreel-Freshness` tells, in milliseconds. */
const ageOf = (freshness) => Math.round(Number(/age=([\d.]+)/.exec(freshness)?.[1] ?? 0) * 1_000);

const isJson = (contentType) => /[/+]json\s*(;|$)/i.test(contentType);
const isText = (contentType) => /^text\//i.test(contentType);

/** Returns how a value of a media type is given. */
const typeOf = (contentType) => (isJson(contentType) ? 'json' : isText(contentType) ? 'text' : 'bytes');

const unknownType = (type) =>
  problemOf('bad-request', `type is json, text, bytes or stream, and not ${JSON.stringify(type)}`);

async function valueOf(response, contentType, type) {
  switch (type ?? typeOf(contentType)) {
    case 'json':
      return response.json();
    case 'text':
      return response.text();
    case 'bytes':
      return response.arrayBuffer();
    case 'stream':
      return response.body;
    default:
      throw unknownType(type);
  }
}

function bulkValue({ value, encoding, content_type: contentType }, type) {
  const wanted = type ?? typeOf(contentType);
  const bytes = () => {
    if (encoding === 'base64') return Uint8Array.from(atob(value), (one) => one.charCodeAt(0)).buffer;
    return new TextEncoder().encode(encoding === 'json' ? JSON.stringify(value) : value).buffer;
  };
  if (wanted === 'json') return encoding === 'json' ? value : JSON.parse(new TextDecoder().decode(bytes()));
  if (wanted === 'text') return encoding === 'text' ? value : new TextDecoder().decode(bytes());
  return wanted === 'stream' ? new Response(bytes()).body : bytes();
}

const wordOf = ({ stale, confidence }) => (stale ? (confidence > 0 ? 'revalidating' : 'stale') : 'fresh');

/** Returns the tier that an answer came from, by RFC 9211's list; the origin where no cache says that it hit. */
function servedFrom(status) {
  return /newsreel-(\w+); hit/.exec(status)?.[1] ?? 'origin';
}

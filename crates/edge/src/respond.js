// Headers and responses from texts that wasm wrote: one call each, which costs less than a call a header.

const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Returns `Headers` of lines, each a name, a colon and a value. */
export function headersOf(lines) {
  return new Headers(pairsOf(lines));
}

/** Returns the response with a copy of these bytes. The bytes themselves are wasm's memory, which changes. */
export function respond(status, lines, bytes) {
  return new Response(bytes.slice(), { status, headers: pairsOf(lines) });
}

/**
 * A value that is answered often. The platform sends a string with less work than bytes, and copies `Headers` with less work
 * than it reads a list.
 */
export class ReadyValue {
  #headers;
  #body;
  /** The lines that `respond` was called with last. */
  #lines = [];
  /** The value as JSON, once it was wanted so. */
  #json;

  constructor(lines, bytes) {
    this.#headers = headersOf(lines);
    this.#body = textOf(bytes) ?? bytes.slice();
  }

  /** Returns a header that is the same in every response. */
  lasting(name) {
    return this.#headers.get(name);
  }

  /** Returns the value as a text; undefined for bytes that are none. */
  get text() {
    return typeof this.#body === 'string' ? this.#body : undefined;
  }

  /** Returns the bytes of the value. */
  get bytes() {
    return typeof this.#body === 'string' ? new TextEncoder().encode(this.#body) : this.#body;
  }

  /** Returns the value as JSON. A caller gets a copy, because another Worker is on the other side. */
  get json() {
    return (this.#json ??= JSON.parse(this.text ?? new TextDecoder().decode(this.#body)));
  }

  /** Returns a response with the headers of the value and these, whose names and order are the same at every call. */
  respond(text) {
    const lines = text.split('\n');
    for (let at = 0; at < lines.length; at += 1) {
      if (lines[at] === this.#lines[at]) continue;
      const [name, value] = pairOf(lines[at]);
      this.#headers.set(name, value);
    }
    this.#lines = lines;
    return new Response(this.#body, { headers: this.#headers });
  }
}

/** Returns the text that these bytes are in UTF-8; undefined for bytes that are none. */
function textOf(bytes) {
  try {
    return text.decode(bytes);
  } catch {
    return undefined;
  }
}

function pairOf(line) {
  const colon = line.indexOf(':');
  return [line.slice(0, colon), line.slice(colon + 1)];
}

const pairsOf = (lines) => lines.split('\n').map(pairOf);

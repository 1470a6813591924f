/** A response as it is kept in an entry: its status and headers as JSON before its body, in one run of bytes. */

/** The media type of such an entry. */
export const KEPT_TYPE = 'application/vnd.newsreel.response';

/** A response that was kept. */
export interface Kept {
  /** Its status. */
  status: number;
  /** Its headers, without those of one answer alone. */
  headers: [string, string][];
  /** Its body. */
  body: Uint8Array<ArrayBuffer>;
}

/** Headers that belong to one answer and not to what is kept of it. */
const PASSING = new Set(['age', 'cache-status', 'connection', 'content-length', 'date', 'set-cookie', 'transfer-encoding']);

/** Returns the bytes to keep of a response. */
export async function pack(response: Response, keepCookies: boolean): Promise<Uint8Array<ArrayBuffer>> {
  const headers = [...response.headers].filter(([name]) => (name === 'set-cookie' ? keepCookies : !PASSING.has(name)));
  const head = new TextEncoder().encode(JSON.stringify({ status: response.status, headers }));
  const body = new Uint8Array(await response.arrayBuffer());
  const bytes = new Uint8Array(4 + head.length + body.length);
  new DataView(bytes.buffer).setUint32(0, head.length);
  bytes.set(head, 4);
  bytes.set(body, 4 + head.length);
  return bytes;
}

/** Returns the response that was kept; undefined for bytes that are none. */
export function unpack(bytes: ArrayBuffer): Kept | undefined {
  if (bytes.byteLength < 4) return undefined;
  const length = new DataView(bytes).getUint32(0);
  if (4 + length > bytes.byteLength) return undefined;
  try {
    const { status, headers } = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
    return { status, headers, body: new Uint8Array(bytes, 4 + length) };
  } catch {
    return undefined;
  }
}

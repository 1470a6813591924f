/** What the package throws, and what a feed ends with. */

/** What is known of a {@link NewsreelError} beside its code and its text. */
export interface ErrorDetails {
  /** Whether trying again cannot help. */
  terminal?: boolean;
  /** The HTTP status it came with. */
  status?: number;
  /** How long the broker asked to stay away, in milliseconds. */
  retryAfterMs?: number;
  /** What caused it. */
  cause?: unknown;
}

/**
 * An error with a stable code.
 *
 * The broker's codes are those of the protocol (`unauthorized`, `forbidden`, `bad-catalog`, `busy` …). The package's
 * own are `bad-options`, `not-a-broker`, `unreachable`, `closed`, `handler-failed`, `store-failed`, `token-failed`,
 * `timeout`, `no-wasm`, `internal`, and of the cache `bound-not-kept`, `min-version`, `bad-key` and `bad-entry`.
 */
export class NewsreelError extends Error {
  /** The same for all of them. */
  override readonly name = 'NewsreelError';
  /** The stable code. */
  readonly code: string;
  /** Whether trying again cannot help: a feed that met it is closed. */
  readonly terminal: boolean;
  /** The HTTP status it came with. */
  readonly status: number | undefined;
  /** How long the broker asked to stay away, in milliseconds. */
  readonly retryAfterMs: number | undefined;

  /** What is not said of it is not known; it is not terminal. */
  constructor(code: string, message: string, { terminal = false, status, retryAfterMs, cause }: ErrorDetails = {}) {
    super(`${code}: ${message}`, { cause });
    this.code = code;
    this.terminal = terminal;
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Returns the text of whatever was thrown. */
export function textOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** Calls what is the caller's, whose failure is not ours: it is shown as an event listener's would be. */
export function quietly(call: () => void): void {
  try {
    call();
  } catch (thrown) {
    (globalThis.reportError ?? console.error)(thrown);
  }
}

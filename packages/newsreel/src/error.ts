/** The errors that the package throws, and that end a feed. */

/** The details of a {@link NewsreelError}, beside its code and its text. */
export interface ErrorDetails {
  /** Whether trying again cannot help. */
  terminal?: boolean;
  /** The HTTP status of the answer, if the error is one. */
  status?: number;
  /** How long the broker asked to stay away, in milliseconds. */
  retryAfterMs?: number;
  /** The error that caused this one. */
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
  /** The name of the class. */
  override readonly name = 'NewsreelError';
  /** The stable code, of the broker or of the package. */
  readonly code: string;
  /** Whether trying again cannot help: such an error closes a feed. */
  readonly terminal: boolean;
  /** The HTTP status of the answer, if the error is one. */
  readonly status: number | undefined;
  /** How long the broker asked to stay away, in milliseconds. */
  readonly retryAfterMs: number | undefined;

  /** Details that are absent are unknown; the error is then not terminal. */
  constructor(code: string, message: string, { terminal = false, status, retryAfterMs, cause }: ErrorDetails = {}) {
    super(`${code}: ${message}`, { cause });
    this.code = code;
    this.terminal = terminal;
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Returns the text of a thrown value. */
export function textOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** Calls a function of the caller. Its failure is reported as that of an event listener would be. */
export function quietly(call: () => void): void {
  try {
    call();
  } catch (thrown) {
    (globalThis.reportError ?? console.error)(thrown);
  }
}

/** Returns the error of a caller whose options cannot be. */
export function badOptions(message: string): NewsreelError {
  return new NewsreelError('bad-options', message, { terminal: true });
}

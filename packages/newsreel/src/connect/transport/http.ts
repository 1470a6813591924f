/** Calls to the broker over HTTP, and what their failures mean. */

import { NewsreelError, textOf } from '../../error.js';
import type { Address } from '../address.js';

/** The problem `reset`, as an answer: the position shown is not on the log. */
export interface ResetAnswer {
  /** The place from which the follower goes on. */
  readonly reset: { epoch: string; version: number; hash: string; reason: string };
}

/** How long an answer may take, beyond the wait that was asked for. */
const ANSWER_MS = 10_000;

interface Call {
  address: Address;
  token: string | undefined;
  signal: AbortSignal;
  /** How long the broker was asked to wait before it answers. */
  waitMs?: number;
}

/**
 * Gets an address below the catalog's; returns the text of its JSON, or the reset it was answered with.
 *
 * @throws {@link NewsreelError}, terminal where the broker refuses the request for good.
 */
export async function get(path: string, { address, token, signal, waitMs = 0 }: Call): Promise<string | ResetAnswer> {
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const within = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS + waitMs)]);
  let response: Response;
  let text: string;
  try {
    response = await fetch(`${address.http}${path}`, { headers, signal: within });
    text = await response.text();
  } catch (cause) {
    throw new NewsreelError('unreachable', `${address.http}: ${textOf(cause)}`, { cause });
  }
  const type = response.headers.get('content-type') ?? '';
  if (response.ok && /[/+]json/.test(type)) return text;
  return refusal(response, text);
}

interface Problem {
  type?: unknown;
  code?: unknown;
  detail?: unknown;
  reason?: unknown;
  epoch?: unknown;
  version?: unknown;
  hash?: unknown;
}

function refusal(response: Response, text: string): ResetAnswer {
  const { status } = response;
  const problem = problemOf(text);
  if (!problem) {
    const passing = status >= 500 || status === 408 || status === 429;
    const message = `${response.url || 'the address'} answered ${status}, and not as a broker does`;
    throw new NewsreelError('not-a-broker', message, { status, terminal: !passing, ...retryAfter(response) });
  }
  const { code, detail, epoch, version, hash, reason } = problem;
  if (code === 'reset' && typeof epoch === 'string' && typeof version === 'number' && typeof hash === 'string') {
    return { reset: { epoch, version, hash, reason: String(reason ?? '') } };
  }
  const terminal = status < 500 && status !== 408 && status !== 429;
  throw new NewsreelError(String(code), String(detail ?? ''), { status, terminal, ...retryAfter(response) });
}

/** Returns the problem in a body, if it is one of a broker. */
function problemOf(text: string): Problem | undefined {
  try {
    const problem = JSON.parse(text) as Problem | null;
    return String(problem?.type).startsWith('urn:newsreel:problem:') ? (problem ?? undefined) : undefined;
  } catch {
    return undefined;
  }
}

function retryAfter(response: Response): { retryAfterMs?: number } {
  const said = response.headers.get('retry-after') ?? '';
  // The broker sends seconds; a proxy may send a date.
  const ms = /^\d+$/.test(said) ? 1_000 * Number(said) : Date.parse(said) - Date.now();
  return ms >= 0 ? { retryAfterMs: ms } : {};
}

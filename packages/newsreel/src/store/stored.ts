/** Reads of a caller's store, and the errors of one. */

import { NewsreelError, textOf } from '../error.js';
import type { PositionStore } from './position.js';

/** Returns the position in a store; nothing where there is none, or no store. */
export async function readPosition(store: PositionStore | undefined): Promise<string | undefined> {
  try {
    return (await store?.read()) || undefined;
  } catch (cause) {
    throw storeFailed('read', cause);
  }
}

/** Returns the error of a store that failed. A feed must not begin without its position; a running feed tries again. */
export function storeFailed(what: 'read' | 'write', cause: unknown): NewsreelError {
  return new NewsreelError('store-failed', `cannot ${what} the position: ${textOf(cause)}`, {
    terminal: what === 'read',
    cause,
  });
}

/** Returns the error of a store whose content is no position. */
export function notAPosition(cause: unknown): NewsreelError {
  return storeFailed('read', new Error(`${textOf(cause)}; remove it from the store to begin anew`, { cause }));
}

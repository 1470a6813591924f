/** The position in a caller's store. */

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

/** Returns the error of a store that failed. A feed without its position must not begin; one that runs tries again. */
export function storeFailed(what: 'read' | 'write', cause: unknown): NewsreelError {
  return new NewsreelError('store-failed', `cannot ${what} the position: ${textOf(cause)}`, {
    terminal: what === 'read',
    cause,
  });
}

/** Returns the error of a store that holds something else. */
export function notAPosition(cause: unknown): NewsreelError {
  return storeFailed('read', new Error(`${textOf(cause)}; remove it from the store to begin anew`, { cause }));
}

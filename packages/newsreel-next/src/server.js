//! For route handlers: to revalidate and know that it is done.

import { follower } from './follower.js';

/**
 * Ends every entry that carries one of the tags, in every process, and resolves when that is published. Next's
 * `revalidateTag` in a route handler publishes as well, behind the answer.
 */
export async function expireTags(...tags) {
  await follower()?.update(tags);
}

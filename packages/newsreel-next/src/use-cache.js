//! The handler of `'use cache'`, for `cacheHandlers` of next.config.

import { follower } from './follower.js';
import { createHandler } from './handler.js';
import { revalidate } from './revalidate.js';

export default createHandler(follower, revalidate);

import type { IncrementalCache } from '@opennextjs/aws/types/overrides.js';

/** The incremental cache, for `incrementalCache` of open-next.config. */
declare const cache: IncrementalCache;
export default cache;

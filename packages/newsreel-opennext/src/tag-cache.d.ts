import type { NextModeTagCache } from '@opennextjs/aws/types/overrides.js';

/** The tag cache, for `tagCache` of open-next.config. */
declare const cache: NextModeTagCache;
export default cache;

import { withNewsreel } from 'newsreel-next';

export default withNewsreel({ cacheComponents: true, partialPrefetching: true, turbopack: { root: import.meta.dirname } });

import { withNewsreel } from 'newsreel-next';

export default withNewsreel({ cacheComponents: true, turbopack: { root: import.meta.dirname } });

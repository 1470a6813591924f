//! What next.config needs.

import { fileURLToPath } from 'node:url';

const pathOf = (file) => fileURLToPath(new URL(file, import.meta.url));

/** Returns the configuration with Newsreel's handlers in it. */
export function withNewsreel(config = {}) {
  const handler = pathOf('./use-cache.js');
  return {
    ...config,
    cacheHandler: pathOf('./incremental.js'),
    // One follower a process: in a bundle each module would have its own.
    serverExternalPackages: [...(config.serverExternalPackages ?? []), 'newsreel-next', 'newsreel'],
    cacheHandlers: { default: handler, remote: handler, ...config.cacheHandlers },
  };
}

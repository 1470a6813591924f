// The contenders that are packages of others.

export { astro } from './contenders/astro.mjs';
export { DOShardedTagCache, opennextKv, opennextR2 } from './contenders/opennext.mjs';
export { vinext } from './contenders/vinext.mjs';

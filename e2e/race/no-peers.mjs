// In place of the peers, where their packages are not downloaded: the short form of the race.

import { DurableObject } from 'cloudflare:workers';

export const astro = undefined;
export const opennextKv = undefined;
export const opennextR2 = undefined;
export const vinext = undefined;
export class DOShardedTagCache extends DurableObject {}

import type { ClassPolicy, ConnectOptions, Feed } from 'newsreel';
import type { Driver } from 'unstorage';

/** The options of the driver. */
export interface NewsreelOptions {
  /** The driver that has the items. */
  driver: Driver;
  /** The address of the broker. */
  url: string;
  /** The catalog in which changes are published and followed. */
  catalog: string;
  /** A token with the scope `follow`, or a function that returns one. */
  followToken?: ConnectOptions['token'];
  /** A token with the scope `publish`. */
  publishToken?: string;
  /** The class of the items in the catalog: the item `a:b` is the key `CLASS:a:b`. `storage` by default. */
  class?: string;
  /** How old items may be; see `EdgeCache` of `newsreel`. Bound 2 s by default, beyond it the driver below is asked. */
  policy?: ClassPolicy;
  /** The most items that are kept in memory (10,000). */
  maxEntries?: number;
  /** The most bytes that they may take (64 MiB). */
  maxBytes?: number;
  /** How long a write waits until this process has heard of it, in milliseconds (5,000). */
  timeoutMs?: number;
}

/**
 * Returns a driver that keeps another driver's items in memory, and drops an item when any process has set or removed it.
 * A write resolves when it is published. `watch` tells of the changes of every process.
 */
declare function newsreelDriver(options: NewsreelOptions): Driver<NewsreelOptions, Promise<Feed>>;
export default newsreelDriver;

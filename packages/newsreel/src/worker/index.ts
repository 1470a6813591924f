/** `newsreel/worker`: reads through Newsreel in a Worker of your own. */

export type {
  CallOptions, Change, Entry, Fill, FillValue, Freshness, GetOptions, Lease, NewsreelBinding, PublishOptions, ReadOptions,
  ReadPolicy, Receipt,
} from './binding.js';
export { withNewsreel } from './handler.js';
export type { FetchHandler, NewsreelOptions, Of, ShadowOptions, ShadowReport, WaitUntil } from './options.js';
export { read } from './read.js';

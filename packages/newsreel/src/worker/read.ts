/** `read`: a read by the binding that also fetches anew what it serves marked. */

import type { Entry, Fill, NewsreelBinding, ReadOptions } from './binding.js';
import type { WaitUntil } from './options.js';

/**
 * Reads a key whose value `fill` brings, as `binding.read` does. Behind an answer that is `revalidating` it runs `fill` again,
 * and keeps the Worker alive until that is stored.
 */
export async function read<Value = unknown>(
  binding: NewsreelBinding,
  context: WaitUntil,
  key: string,
  fill: Fill,
  options: ReadOptions = {},
): Promise<Entry<Value>> {
  const entry = await binding.read<Value>(key, fill, options);
  if (entry.freshness === 'revalidating') {
    context.waitUntil(binding.refresh(key, fill, options).catch(() => undefined));
  }
  return entry;
}

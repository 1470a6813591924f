//! The setting of vite.config: names the adapter that vinext loads in the Worker.

import { fileURLToPath } from 'node:url';

export function newsreelDataAdapter(options = {}) {
  const { binding, catalog } = options;
  for (const [name, value] of Object.entries({ binding, catalog })) {
    if (value !== undefined && typeof value !== 'string') {
      throw new TypeError(`newsreelDataAdapter({ ${name} }): it is a text, and not ${typeof value}`);
    }
  }
  return { adapter: fileURLToPath(import.meta.resolve('./adapter.js')), options };
}

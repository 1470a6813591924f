/**
 * A position in a file, for Node, Deno and Bun.
 *
 * @packageDocumentation
 */

import { open, readFile, rename } from 'node:fs/promises';

import type { PositionStore } from './store/position.js';

/**
 * Keeps the position in a file. It is written beside and renamed over the old one, so a crash leaves the old position or
 * the new one. Only one process may write to it.
 */
export function filePosition(path: string): PositionStore {
  const beside = `${path}.new`;
  return {
    async read() {
      try {
        return (await readFile(path, 'utf8')).trim();
      } catch (thrown) {
        if ((thrown as { code?: unknown }).code === 'ENOENT') return undefined;
        throw thrown;
      }
    },
    async write(position) {
      const file = await open(beside, 'w');
      try {
        await file.writeFile(`${position}\n`);
        // Else a power cut may leave the new name and none of what is in it.
        await file.datasync();
      } finally {
        await file.close();
      }
      await rename(beside, path);
    },
  };
}

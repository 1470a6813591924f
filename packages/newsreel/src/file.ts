/**
 * A position in a file, for Node, Deno and Bun.
 *
 * @packageDocumentation
 */

import { open, readFile, rename } from 'node:fs/promises';

import type { PositionStore } from './store/position.js';

/**
 * Keeps the position in a file. The new position is written to a file beside and renamed over the old one, so that a
 * crash leaves either. Only one process may write to the file.
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
        // Without this a power cut may leave the new name with an empty file.
        await file.datasync();
      } finally {
        await file.close();
      }
      await rename(beside, path);
    },
  };
}

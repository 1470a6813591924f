//! Next's tags as tags of the protocol: printable ASCII without space and comma, at most 256 bytes.

import { createHash } from 'node:crypto';

const MOST_BYTES = 256;

/** Returns the tag of the protocol: the same, or percent-encoded where it cannot be, or its SHA-256 where it is too long. */
export function tagOf(tag) {
  const encoded = tag.replace(/[^\x21-\x2b\x2d-\x7e]/gu, encodeCharacter);
  return encoded.length <= MOST_BYTES ? encoded : `sha256:${createHash('sha256').update(tag).digest('hex')}`;
}

function encodeCharacter(character) {
  const bytes = [...new TextEncoder().encode(character)];
  return bytes.map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('');
}

//! Values of vinext as JSON: their bytes in base64.

import { Buffer } from 'node:buffer';

/** The member of each kind of value that holds bytes. */
const BYTES = { APP_PAGE: 'rscData', APP_ROUTE: 'body', IMAGE: 'buffer' };

export function packed(value) {
  const name = BYTES[value?.kind];
  return name === undefined || value[name] === undefined ? value : { ...value, [name]: Buffer.from(value[name]).toString('base64') };
}

export function unpacked(value) {
  const name = BYTES[value?.kind];
  if (name === undefined || value[name] === undefined) return value;
  const bytes = Buffer.from(value[name], 'base64');
  return { ...value, [name]: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) };
}

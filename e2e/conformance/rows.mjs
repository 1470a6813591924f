// Positions, rows and hashes from the document alone: nothing here asks a deployment anything.

import { createHash } from 'node:crypto';

import { holds, matches, same } from './expect.mjs';

export const EPOCH = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;
export const POSITION = /^[0-7][0-9A-HJKMNP-TV-Z]{25}:(0|[1-9][0-9]*):[0-9a-f]{16}$/;
export const HASH = /^[0-9a-f]{16}$/;
/** An epoch that no deployment has: it began in 2016. */
export const OTHER_EPOCH = '01ARYZ6S410000000000000000';

/** The hash of version 0. */
export function genesis(epoch) {
  return createHash('sha256').update(epoch, 'ascii').digest('hex').slice(0, 16);
}

/** The hash after rows, each as its raw text. */
export function chain(hash, rows) {
  return rows.reduce(
    (held, row) => createHash('sha256').update(Buffer.from(held, 'hex')).update(row).digest('hex').slice(0, 16),
    hash,
  );
}

/** Reads `epoch:version:hash`. */
export function position(text) {
  matches('a position', text, POSITION);
  const [epoch, version, hash] = text.split(':');
  return { epoch, version: Number(version), hash };
}

export function positionText({ epoch, version, hash }) {
  return `${epoch}:${version}:${hash}`;
}

/** A hash that is not this one. */
export function otherHash(hash) {
  return (hash.startsWith('0') ? '1' : '0') + hash.slice(1);
}

/** The raw texts of the rows of a frame or page, as they were sent. */
export function rawRows(text) {
  const name = '"versions":[';
  const start = text.indexOf(name);
  if (start < 0) return [];
  const rows = [];
  let depth = 0;
  let inText = false;
  let from = start + name.length;
  for (let at = from; at < text.length; at += 1) {
    const sign = text[at];
    if (inText) {
      if (sign === '\\') at += 1;
      else if (sign === '"') inText = false;
    } else if (sign === '"') inText = true;
    else if (sign === '{' || sign === '[') depth += 1;
    else if (depth === 0 && (sign === ',' || sign === ']')) {
      if (at > from) rows.push(text.slice(from, at));
      if (sign === ']') return rows;
      from = at + 1;
    } else if (sign === '}' || sign === ']') depth -= 1;
  }
  return rows;
}

/** The only text that a row may have, from its meaning. */
export function canonical({ version, at, changes, traceparent, source }) {
  const trace = traceparent === undefined ? '' : `,"traceparent":${ascii(traceparent)}`;
  const event = source === undefined ? '' : `,"source":${canonicalEvent(source)}`;
  return `{"version":${version},"at":${at},"changes":[${changes.map(canonicalChange).join(',')}]${trace}${event}}`;
}

function canonicalEvent({ name, id, at }) {
  const parts = [`"name":${ascii(name)}`];
  if (id !== undefined) parts.push(`"id":${ascii(id)}`);
  if (at !== undefined) parts.push(`"at":${at}`);
  return `{${parts.join(',')}}`;
}

function canonicalChange({ key, tag, prefix, all, soft, op, tags }) {
  const parts = [];
  if (key !== undefined) parts.push(`"key":${ascii(key)}`);
  else if (tag !== undefined) parts.push(`"tag":${ascii(tag)}`);
  else if (prefix !== undefined) parts.push(`"prefix":${ascii(prefix)}`);
  else if (all) parts.push('"all":true');
  if (soft) parts.push('"soft":true');
  else if (op === 'remove') parts.push('"op":"remove"');
  if (tags?.length > 0) parts.push(`"tags":[${tags.map(ascii).join(',')}]`);
  return `{${parts.join(',')}}`;
}

/** JSON of a text in ASCII. */
function ascii(text) {
  const escape = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(text).replace(/[^\x00-\x7f]/g, escape);
}

/** Every row must be canonical; returns the raw texts. */
export function canonicalRows(text) {
  const rows = rawRows(text);
  for (const row of rows) {
    const parsed = JSON.parse(row);
    same('the bytes of a row', row, canonical(parsed));
    holds('the numbers of a row', [parsed.version, parsed.at].every(Number.isSafeInteger), 'whole numbers', row);
  }
  return rows;
}

/** Says whether a change passes the topics of a follower. */
export function passes(change, topics) {
  if (topics.length === 0 || change.tag !== undefined || change.all) return true;
  if (change.key !== undefined) return topics.some((topic) => change.key.startsWith(topic));
  return topics.some((topic) => change.prefix.startsWith(topic) || topic.startsWith(change.prefix));
}

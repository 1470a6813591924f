// Signed tokens, made from docs/security.md and RFC 7519 with Node's own cryptography, not with ours.

import { createHmac, generateKeyPairSync, randomBytes, sign } from 'node:crypto';

const base64url = (text) => Buffer.from(text).toString('base64url');

/** A key: `item` is what TOKEN_KEYS has of it, `secrets` is what must never be seen. */
export function makeKey(kid, alg) {
  if (alg === 'HS256') {
    const secret = randomBytes(32);
    const key = secret.toString('base64url');
    return { item: { kid, alg, key }, secrets: [key], sign: (text) => createHmac('sha256', secret).update(text).digest() };
  }
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const key = publicKey.export({ format: 'jwk' }).x;
  return { item: { kid, alg, key }, secrets: [], sign: (text) => sign(null, Buffer.from(text), privateKey) };
}

/** A token of that key; `claims` and `header` change what a good one has. */
export function makeToken(key, claims = {}, header = {}) {
  const { kid, alg } = key.item;
  const all = { exp: inSeconds(600), sub: 'app', catalog: 'tv', scopes: ['follow'], ...claims };
  const signed = [{ alg, kid, ...header }, all].map((part) => base64url(JSON.stringify(part))).join('.');
  return `${signed}.${key.sign(signed).toString('base64url')}`;
}

export const inSeconds = (seconds) => Math.floor(Date.now() / 1000) + seconds;

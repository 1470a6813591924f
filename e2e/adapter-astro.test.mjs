//! What newsreel-astro makes of what Astro says of a page. In Astro itself: e2e/frameworks/astro.test.mjs.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { isKept, marked, tagOf } from '../packages/newsreel-astro/src/pages.js';

const page = (headers, cookies) => {
  const response = new Response('', { headers });
  if (cookies) Reflect.set(response, Symbol.for('astro.cookies'), { headers: () => cookies.values() });
  return response;
};

test('a page is kept that asks for a time or has tags, and sets no cookie', () => {
  const times = { 'CDN-Cache-Control': 'max-age=60' };
  for (const [expected, headers, cookies] of [
    [true, times],
    [true, times, []],
    [true, { 'Cache-Tag': 'a' }],
    [true, { 'CDN-Cache-Control': 'max-age=0, stale-while-revalidate=5' }],
    [false, {}],
    [false, { 'CDN-Cache-Control': 'max-age=0', 'Cache-Tag': 'a' }],
    [false, { ...times, 'Set-Cookie': 'a=b' }],
    [false, times, ['a=b']],
  ]) {
    assert.equal(isKept(page(headers, cookies)), expected, JSON.stringify([headers, cookies]));
  }
});

test('a kept page has its times and its tags where Newsreel reads them', async () => {
  const { headers } = await marked(page({ 'CDN-Cache-Control': 'max-age=60, stale-while-revalidate=5', 'Cache-Tag': 'a, ü,c d', 'Cache-Control': 'no-cache' }));
  assert.deepEqual([headers.get('cache-control'), headers.get('cache-tag')], ['public, max-age=60, stale-while-revalidate=5', 'a,%C3%BC,c%20d']);
  const tagged = await marked(page({ 'Cache-Tag': 'a', 'Cache-Control': 'no-cache', Expires: 'Thu, 01 Jan 1970 00:00:00 GMT' }));
  assert.deepEqual([tagged.headers.get('cache-control'), tagged.headers.get('expires')], [null, null]);
});

test('a tag that the protocol has no room for is a hash', async () => {
  assert.equal(await tagOf('astro-path:/titles/603'), 'astro-path:/titles/603');
  assert.match(await tagOf('x'.repeat(300)), /^sha256:[0-9a-f]{64}$/);
});

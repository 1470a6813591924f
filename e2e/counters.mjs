// The counters of an edge, as Prometheus would read them.

import assert from 'node:assert/strict';

import { TOKENS } from './system.mjs';

/** Returns every sample by its name and the labels that are not the same for all (catalog and edge). */
export async function counters(broker, options = {}) {
  const answer = await broker.call('GET', '/metrics', { token: TOKENS.admin, ...options });
  assert.equal(answer.status, 200, answer.text);
  assert.match(answer.headers.get('content-type'), /^text\/plain; version=0\.0\.4/);
  const samples = new Map();
  for (const line of answer.text.split('\n').filter((line) => line && !line.startsWith('#'))) {
    const [, name, labels, value] = /^([a-z_]+)\{(.*)\} (\d+(?:\.\d+)?)$/.exec(line) ?? assert.fail(`not a sample: ${line}`);
    assert.match(labels, /^catalog="[a-z0-9-]+",edge="e2e"(,|$)/);
    samples.set(`${name}{${labels.split(',').slice(2).join(',')}}`, Number(value));
  }
  return samples;
}

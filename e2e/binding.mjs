// A site bound to Newsreel's entrypoint, as wrangler binds it: two Workers, and an origin that the site's own code asks.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { createTestHarness } from 'wrangler';

import { startValues } from './origin.mjs';
import { Broker, ROOT, SECRETS, temporaryFolder } from './system.mjs';

const SITE = (worker, props, origin) => `
name = "site"
main = ${JSON.stringify(join(ROOT, 'e2e', worker))}
compatibility_date = "2026-07-30"
[[services]]
binding = "NEWSREEL"
service = "newsreel"
entrypoint = "Newsreel"
props = ${props}
[vars]
ORIGIN = ${JSON.stringify(origin)}
`;

/**
 * Starts both; they end with the test. `worker` is the site's module of these tests, `vars` those of Newsreel, which has no
 * origin unless they name one.
 */
export async function startSite(
  t,
  { worker = 'binding.worker.mjs', vars = {}, props = '{ catalog = "tv", publisher = "site" }' } = {},
) {
  const origin = await startValues(t);
  const config = join(temporaryFolder(t), 'wrangler.toml');
  writeFileSync(config, SITE(worker, props, origin.url));
  const newsreel = { configPath: 'wrangler.toml', vars: { ORIGIN_URL: '', EDGE: 'e2e', ...vars }, secrets: SECRETS };
  const harness = createTestHarness({ root: ROOT, workers: [newsreel, { configPath: config }] });
  t.after(() => harness.close());
  const { url } = await harness.listen();
  return new Site(harness.getWorker('site'), new Broker(url.origin), origin);
}

export class Site {
  constructor(worker, broker, origin) {
    Object.assign(this, { worker, broker, origin });
  }

  /** Calls a method of the binding; returns its result, or throws the error that the site's Worker caught. */
  async call(call, ...args) {
    const response = await this.worker.fetch('http://site/', { method: 'POST', body: JSON.stringify({ call, args }) });
    const { result, error } = await response.json();
    if (error) throw Object.assign(new Error(error.message), { name: error.name });
    return result;
  }

  /** Reads a key whose value the site fetches from the origin. */
  read(key, options = {}) {
    return this.call('read', key, this.fill(key), options);
  }

  fill(key) {
    return { fill: `${this.origin.url}/tv/${encodeURIComponent(key)}` };
  }

  /** Returns a receipt as a read asks for it. */
  static after({ epoch, version }) {
    return { minVersion: `${epoch}:${version}` };
  }
}

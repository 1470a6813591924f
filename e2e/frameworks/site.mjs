//! A site of a framework, bound to Newsreel's Worker: both in workerd, as wrangler builds and binds them.

import assert from 'node:assert/strict';

import { createTestHarness } from 'wrangler';

import { Broker, ROOT, SECRETS } from '../system.mjs';

/** Starts both; they end with the test. `configPath` is the site's own configuration. */
export async function startSite(t, configPath, { vars = {}, newsreel = {} } = {}) {
  const harness = createTestHarness({
    root: ROOT,
    workers: [
      { configPath: 'wrangler.toml', vars: { ORIGIN_URL: '', EDGE: 'e2e', ...newsreel }, secrets: SECRETS },
      { configPath, vars },
    ],
  });
  t.after(() => harness.close());
  const { url } = await harness.listen();
  return new Site(harness.getWorker('site'), new Broker(url.origin));
}

class Site {
  constructor(worker, broker) {
    Object.assign(this, { worker, broker });
  }

  fetch(path, init) {
    return this.worker.fetch(`http://site${path}`, { redirect: 'manual', ...init });
  }

  /** The number that a page shows as `value=…;`. */
  async value(path) {
    const response = await this.fetch(path);
    const text = await response.text();
    const [, value] = /value=(?:<!-- -->)?(\d+)/.exec(text) ?? [];
    assert.ok(value !== undefined, `${path} is ${response.status} and shows no value: ${text}`);
    return Number(value);
  }
}

/**
 * Lets readers read pages while their values are changed and revalidated; counts the answers that are older than a revalidation
 * that had returned before the read began.
 */
export async function race({ values, rounds, names, read, update }) {
  let [older, readings, at, over] = [0, 0, 1_000, false];
  const returned = {};
  const checked = async (name) => {
    const least = returned[name];
    const value = await read(name);
    readings += 1;
    if (value < least) older += 1;
  };
  const set = async (name) => {
    values.set(name, (at += 1));
    const value = at;
    await update(name);
    returned[name] = value;
  };
  for (const name of names) await set(name);
  const readers = [...names, ...names].map(async (name) => {
    while (!over) await checked(name);
  });
  try {
    for (let round = 0; round < rounds; round += 1) {
      const name = names[round % names.length];
      await set(name);
      await checked(name);
    }
  } finally {
    over = true;
    await Promise.all(readers);
  }
  return { older, readings };
}

export async function until(isMet) {
  for (const end = Date.now() + 10_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 5))) {
    if (await isMet()) return;
  }
  assert.fail('did not come in 10 s');
}

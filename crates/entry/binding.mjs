// The entrypoint that a service binding reaches: the HTTP API as methods, and reads whose values the calling Worker has.
// What each method takes and returns is typed in packages/newsreel/src/worker/binding.ts.

import { WorkerEntrypoint } from 'cloudflare:workers';

import {
  bulkEntries, entryOf, judgementOf, landedOf, problemOf, readyEntry, readyValue, responseOf, throwUnless,
} from './answers.mjs';

/** The host in the addresses of these calls. No request leaves the isolate by it. */
const HOST = 'https://newsreel.binding';
/** How many keys one bulk read takes, and how many changes one publish. */
const KEYS_AT_ONCE = 100;
const CHANGES_AT_ONCE = 1_000;

/** Returns the class of the entrypoint, around the exports of the wasm. */
export const entrypointOf = (wasm) =>
  class Newsreel extends WorkerEntrypoint {
    /** The HTTP API as it is: such a request shows its own token. */
    fetch(request) {
      return wasm.fetch(request, this.env, this.ctx);
    }

    async get(key, options = {}) {
      const ready = this.#ready(key, options, Boolean(options.envelope));
      if (ready) return options.envelope ? readyEntry(key, ready, options.type) : readyValue(ready, options.type);
      const entry = await this.#entry(key, options);
      if (options.envelope) return entry;
      return entry.found ? entry.value : null;
    }

    async getMany(keys, options = {}) {
      const entries = this.#hasOrigin() ? await this.#bulk(keys, options) : await this.#each(keys, options);
      return options.envelope ? entries : entries.map((entry) => (entry.found ? entry.value : null));
    }

    async read(key, fill, options = {}) {
      mustBeFunction(fill);
      const ready = this.#ready(key, options, true);
      if (ready) return readyEntry(key, ready, options.type);
      const request = this.#request('GET', entryPath(key), { options });
      const atHand = isUsual(options) ? wasm.atHand(request, this.env, this.ctx) : undefined;
      if (atHand) return entryOf(key, atHand, options);
      return this.#fill(key, fill, options, false);
    }

    async refresh(key, fill, options = {}) {
      mustBeFunction(fill);
      return this.#fill(key, fill, options, true);
    }

    async begin(key, options = {}) {
      const response = await this.#send('POST', `${entryPath(key)}?tags=1`, { options });
      if (response.status === 202) return { lease: (await response.json()).lease };
      return { entry: await entryOf(key, response, options) };
    }

    async put(key, lease, value, options = {}) {
      const { status, headers, body } = responseOf(value, options);
      const told = new Headers(headers);
      told.set('Newsreel-Lease', lease);
      told.set('Newsreel-Status', String(status));
      return landedOf(await this.#send('PUT', entryPath(key), { options, headers: told, body }));
    }

    async stamp(options = {}) {
      const response = await this.#send('POST', '/leases', { options });
      return (await throwUnless(response, 200)).lease;
    }

    async judge(lease, tags, options = {}) {
      const keys = options.key === undefined ? [] : [options.key];
      const response = await this.#send('POST', '/floors', { options, body: JSON.stringify({ lease, tags, keys }) });
      return judgementOf(await throwUnless(response, 200));
    }

    async publish(changes, options = {}) {
      const list = (Array.isArray(changes) ? changes : [changes]).map(changeOf);
      const headers = new Headers({ 'Content-Type': 'application/json' });
      if (options.idempotencyKey !== undefined) headers.set('Idempotency-Key', options.idempotencyKey);
      const query = options.waitMs === undefined ? '' : `?wait=applied&timeout_ms=${options.waitMs}`;
      const body = JSON.stringify({ changes: list, expect: options.expect });
      return throwUnless(await this.#send('POST', `/changes${query}`, { options, headers, body }), 200);
    }

    /** Publishes a change of each tag, as few versions as they need; returns the receipt of the last. */
    async purgeTags(tags, options = {}) {
      const { soft, ...rest } = options;
      const changes = [...new Set(tags)].map((tag) => (soft ? { tag, soft } : { tag }));
      let receipt;
      for (let at = 0; at < Math.max(changes.length, 1); at += CHANGES_AT_ONCE) {
        receipt = await this.publish(changes.slice(at, at + CHANGES_AT_ONCE), rest);
      }
      return receipt;
    }

    async status(options = {}) {
      return throwUnless(await this.#send('GET', '', { options }), 200);
    }

    /** Reads an entry. In a deployment without an origin, a key that no tier has is not found. */
    async #entry(key, options) {
      if (!this.#hasOrigin()) {
        const begun = await this.begin(key, options);
        return begun.entry ?? absent(key);
      }
      const query = options.envelope ? '?tags=1' : '';
      return entryOf(key, await this.#send('GET', `${entryPath(key)}${query}`, { options }), options);
    }

    /** Returns an entry that memory has ready, in the form of `recall` of the wasm. */
    #ready(key, options, describe) {
      if (!isUsual(options)) return undefined;
      return wasm.recall(this.#catalog(options), String(key), options.colo, describe, this.env, this.ctx);
    }

    async #each(keys, options) {
      return Promise.all(keys.map((key) => this.#entry(key, options)));
    }

    async #bulk(keys, options) {
      const [different, entries] = [[...new Set(keys)], new Map()];
      for (let at = 0; at < different.length; at += KEYS_AT_ONCE) {
        const some = different.slice(at, at + KEYS_AT_ONCE);
        const response = await this.#send('POST', '/entries', { options, body: JSON.stringify({ keys: some }) });
        const read = bulkEntries(await throwUnless(response, 200), options);
        // A value that is too large for an answer of many is read alone.
        const whole = await Promise.all(read.map((entry, i) => entry ?? this.#entry(some[i], { ...options, envelope: true })));
        whole.forEach((entry) => entries.set(entry.key, entry));
      }
      return keys.map((key) => entries.get(key));
    }

    async #fill(key, fill, options, anew) {
      const failure = {};
      const source = async (position) => {
        try {
          return responseOf(await fill(position), options);
        } catch (error) {
          failure.thrown = error;
          throw error;
        }
      };
      const request = this.#request('GET', `${entryPath(key)}?tags=1`, { options });
      const response = await wasm.fill(request, this.env, this.ctx, source, anew);
      // The caller knows its own error better than a problem that quotes it.
      if (response.status === 502 && failure.thrown !== undefined) throw failure.thrown;
      return entryOf(key, response, options);
    }

    #hasOrigin() {
      return Boolean(this.env.ORIGIN_URL);
    }

    #send(method, path, given) {
      return wasm.fetch(this.#request(method, path, given), this.env, this.ctx);
    }

    #request(method, path, { options = {}, headers = new Headers(), body }) {
      headers.set('Authorization', wasm.bindingAuthorization(this.ctx.props?.publisher ?? 'binding'));
      if (options.minVersion !== undefined) headers.set('Newsreel-Min-Version', options.minVersion);
      if (options.policy !== undefined) headers.set('Newsreel-Policy', JSON.stringify(options.policy));
      const cf = options.colo === undefined ? undefined : { colo: options.colo };
      const catalog = encodeURIComponent(this.#catalog(options));
      return new Request(`${HOST}/v1/catalogs/${catalog}${path}`, { method, headers, body, cf });
    }

    #catalog(options) {
      const named = options.catalog ?? this.ctx.props?.catalog;
      if (named !== undefined) return named;
      const listed = String(this.env.CATALOGS ?? '').split(',').map((name) => name.trim()).filter(Boolean);
      if (listed.length === 1) return listed[0];
      throw problemOf(
        'bad-request',
        'no catalog is named: write props = { catalog = "tv" } at the service binding, or pass { catalog }',
      );
    }
  };

/** Says whether a read goes by its class's policy and needs no version: an entry in memory may answer it. */
const isUsual = ({ policy, minVersion }) => policy === undefined && minVersion === undefined;

const entryPath = (key) => `/entries/${encodeURIComponent(key)}`;

const changeOf = (change) => (typeof change === 'string' ? { key: change } : change);

function absent(key) {
  return { key, value: null, found: false, contentType: '', etag: null, tags: [], version: null, known: null,
    freshness: 'fresh', ageMs: 0, fetchedAt: null, cacheControl: 'no-store', from: 'origin' };
}

function mustBeFunction(fill) {
  if (typeof fill !== 'function') {
    throw problemOf('bad-request', 'the second argument is the function that has the value: read(key, async () => …)');
  }
}

// One workerd for the tests of a binary, with real bindings, whose names are set here.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from 'miniflare';

const WRANGLER = fileURLToPath(new URL('../../wrangler.toml', import.meta.url));
/** How long a test may take, in milliseconds. */
const TIMEOUT_MS = 1000 * secondsOf(process.env.WASM_BINDGEN_TEST_TIMEOUT ?? '20');

/** The bindings of `workerd.env`, beside one for each Durable Object class of the binary, by its name. */
const BINDINGS = { kvNamespaces: ['ENTRIES'], r2Buckets: ['COPIES'] };

/** Starts workerd on what `bind` wrote; started anew after a test that kept it busy. */
export class Runtime {
  #start;
  #workerd;

  constructor(folder, { modules, classes }) {
    const [, compatibilityDate] = /^compatibility_date = "(.*)"$/m.exec(readFileSync(WRANGLER, 'utf8'));
    const objects = ['TestObject', ...classes].map((className) => [className, { className, useSQLite: true }]);
    const options = {
      name: 'tests', modules, modulesRoot: folder, compatibilityDate, cf: false, log: new Log(LogLevel.ERROR),
      ...BINDINGS,
      durableObjects: Object.fromEntries(objects),
      serviceBindings: { RUNNER: (request) => this.#serve(request) },
    };
    this.#start = () => (this.#workerd = new Miniflare(convertV4MiniflareOptions(options)));
    this.#start();
  }

  /** Evicts an object for a test, which cannot do so from inside. */
  async #serve(request) {
    const { className, name, webSockets } = await request.json();
    try {
      await this.#workerd.unsafeEvictDurableObject('tests', className, { name, webSockets });
      return new Response();
    } catch (error) {
      return new Response(String(error), { status: 500 });
    }
  }

  /** Runs one test; says whether it passed, and what it said if not. With `skip` it only says why it is ignored. */
  async run({ symbol, name }, { nocapture, skip }) {
    const deadline = AbortSignal.timeout(TIMEOUT_MS);
    try {
      const body = JSON.stringify({ symbol, name, nocapture, skip });
      const response = await this.#workerd.dispatchFetch('http://tests/', { method: 'POST', body, signal: deadline });
      if (response.ok) return await response.json();
      const text = await response.text();
      return { ok: false, said: text.includes('code had hung') ? 'it waits for what nothing will do' : text };
    } catch (error) {
      if (!deadline.aborted) return { ok: false, said: String(error.stack) };
      await this.end();
      this.#start();
      return { ok: false, said: `did not end within ${TIMEOUT_MS / 1000} s (WASM_BINDGEN_TEST_TIMEOUT); --nocapture shows what it said` };
    }
  }

  end() {
    return this.#workerd.dispose();
  }
}

function secondsOf(text) {
  const seconds = Number(text);
  if (seconds > 0 && seconds < 1e6) return seconds;
  throw new Error(`WASM_BINDGEN_TEST_TIMEOUT is ${text}: write how many seconds a test may take`);
}

// The worker that scripts/workerd-runner.mjs puts around a test binary: runs one test a request.
//
// What a Rust test finds in the global `workerd`:
//   env                     the bindings: ENTRIES (KV), BUCKET (R2), OBJECTS (Durable Objects with SQLite)
//   inObject(name, f)       runs f(state, env) inside the Durable Object of that name; resolves as f's promise does

import { DurableObject } from 'cloudflare:workers';

import * as glue from './tests.js';
import module from './tests_bg.wasm';

let tests; // The wasm's exports.
let context; // The running test's output and whether the console is shown.
let started = 0; // Counts tests, so that none meets another's objects.

const waiting = new Map(); // What objects are to run, by a number sent to them.
let sent = 0;

/** A Durable Object that does whatever a test hands it. */
export class TestObject extends DurableObject {
  async fetch(request) {
    const call = waiting.get(request.headers.get('call'));
    try {
      call.value = await call.f(this.ctx, this.env);
    } catch (error) {
      call.error = error;
    }
    return new Response(null, { status: 'error' in call ? 500 : 200 });
  }
}

async function inObject(env, name, f) {
  const id = String(sent++);
  const call = { f };
  waiting.set(id, call);
  try {
    const object = env.OBJECTS.get(env.OBJECTS.idFromName(`${started}/${name}`));
    await object.fetch('http://object/', { headers: { call: id } });
  } finally {
    waiting.delete(id);
  }
  if ('error' in call) throw call.error;
  return call.value;
}

/** What wasm-bindgen-test expects of its surroundings. */
function setUp(env) {
  Error.stackTraceLimit = 50; // Of the usual 10, a panic uses all before it comes to the test.
  globalThis.__wbg_test_invoke = (f) => f();
  globalThis.__wbg_test_output_writeln = (line) => context.said.push(line);
  globalThis.__wbgtest_og_console_log = console.log;
  globalThis.__wbgtest_og_console_error = console.error;
  for (const method of ['debug', 'log', 'info', 'warn', 'error']) {
    const shown = console[method].bind(console);
    console[method] = (...words) => {
      if (context.nocapture) shown(...words);
      // A panic inside an object wakes nobody: what awaits the object would wait for ever.
      if (String(words[0]).startsWith('panicked at')) setTimeout(context.panicked, 500, words[0]);
      tests && glue[`__wbgtest_console_${method}`](words);
    };
  }
  globalThis.workerd = { env, inObject: (name, f) => inObject(env, name, f) };
  tests = glue.initSync({ module });
}

/** Leaves nothing of the test before. (Its objects have other names.) */
async function empty({ ENTRIES, BUCKET }) {
  for (let keys; (keys = (await ENTRIES.list()).keys).length > 0; ) {
    for (const { name } of keys) await ENTRIES.delete(name);
  }
  for (let objects; (objects = (await BUCKET.list()).objects).length > 0; ) {
    await BUCKET.delete(objects.map(({ key }) => key));
  }
}

/** Of wasm-bindgen-test's report of one test, what it says of the failure. */
function report(said, name) {
  const head = `---- ${name} output ----\n`;
  const found = said.find((line) => line.startsWith(head));
  return found ? found.slice(head.length) : said.join('\n');
}

export default {
  async fetch(request, env) {
    const { symbol, name, nocapture } = await request.json();
    context = { said: [], nocapture };
    const panicked = new Promise((resolve) => (context.panicked = resolve));
    started += 1;
    if (!tests) setUp(env);
    await empty(env);
    const run = new glue.WasmBindgenTestContext(false);
    run.include_ignored(true); // The runner asks only for what is to be run.
    const end = await Promise.race([run.run([tests[symbol]]), panicked]);
    if (typeof end === 'string') return Response.json({ ok: false, said: end });
    return Response.json({ ok: end, said: end ? '' : report(context.said, name) });
  },
};

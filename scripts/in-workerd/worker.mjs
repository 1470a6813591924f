// The worker around a test binary: runs one test a request.
//
// The global `workerd`, for tests in Rust:
//   env                             the bindings that runtime.mjs names, and one for each Durable Object class
//   inObject(name, f)               runs f(state, env) inside a Durable Object of that name; resolves as f's promise does
//   nextAlarm(name)                 resolves when that object's alarm has rung once more than it was waited for
//   object(className, name)         the stub of a Durable Object that the crate under test exports
//   evict(className, name, sockets) ends it in memory; `hibernate` keeps its sockets, `close` does not
//   watch(target, method)           the array to which the first argument of every call of it is pushed from now on
//   expectPanic(ends)               a panic in an object does not fail this test; with `ends` it fails its event
// Names are this test's own: another test's object of the same name is another object.

import { DurableObject } from 'cloudflare:workers';

import * as glue from './tests.js';
import module from './tests_bg.wasm';

let tests; // The wasm's exports.
let context; // The running test's output, whether the console is shown, and what a panic does.
let started = 0; // Counts tests, so that none meets another's objects.

const waiting = new Map(); // The functions that objects are to run, by the number that is sent to the object.
let sent = 0;

/** A Durable Object that runs the functions that a test hands it. */
export class TestObject extends DurableObject {
  #rung = 0;
  #heard = () => {};

  async fetch(request) {
    const call = waiting.get(request.headers.get('call'));
    if (!call) return this.#nextAlarm();
    // A panic in a future settles no promise.
    const panic = new Promise((_, reject) => (context.caught = (said) => reject(new Error(said))));
    try {
      call.value = await Promise.race([call.f(this.ctx, this.env), panic]);
    } catch (error) {
      call.error = error;
    }
    return new Response(null, { status: 'error' in call ? 500 : 200 });
  }

  // The wait happens in here: a promise of one request cannot be settled by another.
  async #nextAlarm() {
    if (this.#rung === 0) await new Promise((resolve) => (this.#heard = resolve));
    this.#rung -= 1;
    return new Response();
  }

  alarm() {
    this.#rung += 1;
    this.#heard();
  }

  // Messages through a test's own sockets are none of the runner's business.
  webSocketMessage() {}
  webSocketClose() {}
}

/** The class of the crate under test, as the platform wants it: what worker-build writes around it for a deployment. */
export function hosted(className) {
  return class extends DurableObject {
    constructor(ctx, env) {
      super(ctx, env);
      this.rust = new glue[className](ctx, env);
    }

    fetch(request) {
      return this.rust.fetch(request);
    }

    alarm() {
      return this.rust.alarm();
    }

    webSocketMessage(socket, message) {
      return this.rust.webSocketMessage(socket, message);
    }

    webSocketClose(socket, code, reason, wasClean) {
      return this.rust.webSocketClose(socket, code, reason, wasClean);
    }

    webSocketError(socket, error) {
      return this.rust.webSocketError(socket, error);
    }
  };
}

/** A name of this test's own, made of what names of most kinds may have. */
const own = (name) => `${name}-${started}`;

/** The stub of an object. Asked for anew each time: one that failed once stays broken. */
const stub = (namespace, name) => namespace.get(namespace.idFromName(own(name)));

async function inObject(env, name, f) {
  const id = String(sent++);
  const call = { f };
  waiting.set(id, call);
  try {
    await stub(env.TestObject, name).fetch('http://object/', { headers: { call: id } });
  } finally {
    waiting.delete(id);
  }
  if ('error' in call) throw call.error;
  return call.value;
}

async function evict({ RUNNER }, className, name, webSockets) {
  const body = JSON.stringify({ className, name: own(name), webSockets });
  const response = await RUNNER.fetch('http://runner/', { method: 'POST', body });
  if (!response.ok) throw new Error(await response.text());
}

function watch(target, method) {
  const seen = [];
  const call = target[method].bind(target);
  target[method] = (...words) => {
    seen.push(words[0]);
    return call(...words);
  };
  return seen;
}

/** Sets the globals that wasm-bindgen-test expects. */
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
      // A panic inside an object rejects no promise: a test that awaits the object would wait for ever.
      if (String(words[0]).startsWith('panicked at')) context.panic(words[0]);
      tests && glue[`__wbgtest_console_${method}`](words);
    };
  }
  globalThis.workerd = {
    env,
    inObject: (name, f) => inObject(env, name, f),
    nextAlarm: (name) => stub(env.TestObject, name).fetch('http://object/'),
    object: (className, name) => stub(env[className], name),
    evict: (className, name, webSockets) => evict(env, className, name, webSockets),
    watch,
    expectPanic: (ends) => (context.panic = (said) => ends && context.caught(said)),
  };
  tests = glue.initSync({ module });
}

/** Leaves nothing of the test before. (Its objects have other names.) */
async function empty(env) {
  for (const binding of Object.values(env)) {
    const kind = binding.constructor.name;
    if (kind === 'KvNamespace') {
      for (let keys; (keys = (await binding.list()).keys).length > 0; ) {
        for (const { name } of keys) await binding.delete(name);
      }
    } else if (kind === 'R2Bucket') {
      for (let objects; (objects = (await binding.list()).objects).length > 0; ) {
        await binding.delete(objects.map(({ key }) => key));
      }
    }
  }
}

/** Of wasm-bindgen-test's report of one test, what it says of the failure. */
function report(said, name) {
  const head = `---- ${name} output ----\n`;
  const found = said.find((line) => line.startsWith(head));
  return found ? found.slice(head.length) : said.join('\n');
}

/** Of wasm-bindgen-test's report of an ignored test, that it is, and why. */
function reason(said) {
  return said.map((line) => / \.\.\. (ignored.*)/.exec(line)?.[1]).find(Boolean) ?? 'ignored';
}

export default {
  async fetch(request, env) {
    const { symbol, name, nocapture, skip } = await request.json();
    context = { said: [], nocapture };
    let late;
    const panicked = new Promise((resolve) => (context.panic = (said) => (late = setTimeout(resolve, 500, said))));
    started += 1;
    if (!tests) setUp(env);
    await empty(env);
    const run = new glue.WasmBindgenTestContext(false);
    run.include_ignored(!skip);
    const end = await Promise.race([run.run([tests[symbol]]), panicked]);
    clearTimeout(late);
    if (skip) return Response.json({ ok: true, said: reason(context.said) });
    if (typeof end === 'string') return Response.json({ ok: false, said: end });
    return Response.json({ ok: end, said: end ? '' : report(context.said, name) });
  },
};

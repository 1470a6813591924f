// The main module of the Worker: hands what the runtime calls to the wasm. `scripts/build` bundles it with wasm-bindgen's
// output, `index.js`. It does what the shim of worker-build 0.8.7 does (cloudflare/workers-rs, Apache-2.0).
//
// A panic unwinds, and fails one call. After an abort (memory is exhausted, the stack overflows) wasm-bindgen instantiates
// the wasm anew, and `state.instanceId` counts up. An object made before lies in memory that is gone, so each call first
// makes it anew. The Worker's own handlers have no state: they always call the wasm that runs.

import { DurableObject } from 'cloudflare:workers';

import { entrypointOf } from './binding.mjs';
import * as wasm from './index.js';

Error.stackTraceLimit = 100;

// Rust's futures are polled in microtasks. workerd's own `queueMicrotask` costs several times what a promise does.
const settled = Promise.resolve();
globalThis.queueMicrotask = (task) => void settled.then(task);

const state = wasm.__worker_init_state();

/** A class whose instances outlive the instance of the wasm that they were made in; `calls` are methods for other objects and Workers. */
const renewable = (Class, ...calls) =>
  class extends DurableObject {
    #made;
    #instanceId;
    #instance;

    static {
      for (const name of calls) {
        this.prototype[name] = function (...words) {
          return this.#renewed()[name](...words);
        };
      }
    }

    constructor(...words) {
      super(...words);
      this.#made = words;
      this.#renewed();
    }

    #renewed() {
      if (this.#instanceId !== state.instanceId) {
        this.#instance = new Class(...this.#made);
        this.#instanceId = state.instanceId;
      }
      return this.#instance;
    }

    fetch(request) {
      return this.#renewed().fetch(request);
    }

    alarm() {
      return this.#renewed().alarm();
    }

    webSocketMessage(socket, message) {
      return this.#renewed().webSocketMessage(socket, message);
    }

    webSocketClose(socket, code, reason, wasClean) {
      return this.#renewed().webSocketClose(socket, code, reason, wasClean);
    }

    webSocketError(socket, error) {
      return this.#renewed().webSocketError(socket, error);
    }
  };

export const AlertBoard = renewable(wasm.AlertBoard);
export const Broker = renewable(wasm.Broker, 'publish');
export const Replica = renewable(wasm.Replica);
export const Newsreel = entrypointOf(wasm);
export default {
  fetch: (request, env, context) => wasm.fetch(request, env, context),
  scheduled: (event, env, context) => wasm.scheduled(event, env, context),
  queue: (batch, env) => wasm.queue(batch, env),
};

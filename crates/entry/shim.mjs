// The main module of the Worker: hands what the runtime calls to the wasm. `scripts/build` bundles it with wasm-bindgen's
// output, `index.js`. It does what the shim of worker-build 0.8.7 does (cloudflare/workers-rs, Apache-2.0).
//
// A panic unwinds, and fails one call. After an abort (memory is exhausted, the stack overflows) wasm-bindgen instantiates
// the wasm anew, and `state.instanceId` counts up. An object made before lies in memory that is gone, so each access first
// makes it anew. The Worker's own handlers have no state: they always call the wasm that runs.

import * as wasm from './index.js';

Error.stackTraceLimit = 100;

// Rust's futures are polled in microtasks. workerd's own `queueMicrotask` costs several times what a promise does.
const settled = Promise.resolve();
globalThis.queueMicrotask = (task) => void settled.then(task);

const state = wasm.__worker_init_state();

/** What a class's instances do: everything on the instance of the wasm that runs. */
const onInstance = {
  get(target, property, receiver) {
    if (target.instanceId !== state.instanceId) {
      target.instance = target.make();
      target.instanceId = state.instanceId;
    }
    return Reflect.get(target.instance, property, receiver);
  },
  set: (target, property, value, receiver) => Reflect.set(target.instance, property, value, receiver),
  has: (target, property) => Reflect.has(target.instance, property),
  deleteProperty: (target, property) => Reflect.deleteProperty(target.instance, property),
  getPrototypeOf: (target) => Reflect.getPrototypeOf(target.instance),
  setPrototypeOf: (target, prototype) => Reflect.setPrototypeOf(target.instance, prototype),
  isExtensible: (target) => Reflect.isExtensible(target.instance),
  preventExtensions: (target) => Reflect.preventExtensions(target.instance),
  getOwnPropertyDescriptor: (target, property) => Reflect.getOwnPropertyDescriptor(target.instance, property),
  defineProperty: (target, property, descriptor) => Reflect.defineProperty(target.instance, property, descriptor),
  ownKeys: (target) => Reflect.ownKeys(target.instance),
};

/** A class whose instances outlive the instance of the wasm that they were made in. */
const renewable = (Class) =>
  new Proxy(Class, {
    construct(constructor, words, newTarget) {
      const make = () => Reflect.construct(constructor, words, newTarget);
      return new Proxy({ instance: make(), instanceId: state.instanceId, make }, onInstance);
    },
  });

export const Broker = renewable(wasm.Broker);
export const Replica = renewable(wasm.Replica);
export default {
  fetch: (request, env, context) => wasm.fetch(request, env, context),
  scheduled: (event, env, context) => wasm.scheduled(event, env, context),
};

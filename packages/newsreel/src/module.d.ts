/** In workerd, and to its bundlers, a `.wasm` file is its compiled module. */
declare module '*.wasm' {
  const module: WebAssembly.Module;
  export default module;
}

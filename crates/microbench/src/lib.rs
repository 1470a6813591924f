//! Microbenchmarks of the core, in `benches`. `scripts/bench --core` runs them on this machine and as wasm.

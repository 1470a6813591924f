//! What the benchmark starts: processes, workerd on a Worker, and the servers that workerd's bindings speak to.

pub(crate) mod process;
pub(crate) mod stubs;
pub(crate) mod workerd;

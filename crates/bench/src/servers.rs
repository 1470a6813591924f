//! The servers of a run: processes, among them workerd on a Worker, and stubs that workerd's bindings speak to.

pub(crate) mod process;
pub(crate) mod stubs;
pub(crate) mod workerd;

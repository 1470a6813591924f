//! The gate: what both front doors check before any Durable Object is touched.
//!
//! A shell around `newsreel_core::access`. In reading order:
//! - [`cors`]: which web pages may call;
//! - [`binding`]: calls by the Worker's own entrypoint, which a service binding reaches;
//! - [`caller`]: which catalogs there are, which caller a token names, and how often it may call;
//! - `signatures`: signed tokens and webhooks, which the platform's cryptography verifies;
//! - [`Deployment`]: the variables and secrets of the deployment;
//! - [`spans`]: the platform's own tracing;
//! - [`now`]: this machine's clock;
//! - [`Failure`]: the reason that a request has no answer of its own.
//!
//! Each isolate keeps its own imported keys and token buckets here; none of them outlives the isolate.
//!
//! *Architecture invariant:* no Durable Object is known here, and no secret leaves in a text.

pub mod binding;
pub mod caller;
mod clock;
pub mod cors;
mod deployment;
mod failure;
mod signatures;
pub mod spans;

pub use caller::{FailingAddress, admit, check_catalog, check_rate, listed};
pub use clock::now;
pub use deployment::{Deployment, once};
pub use failure::{Answer, Failure};
pub use signatures::is_signed_by;

//! Webhooks and events, on the Worker's side: whether a request is its provider's, and the way of its message to the log.
//!
//! `newsreel_hooks` verifies and maps; nothing here does. In reading order:
//! - [`declared`]: the hooks of the deployment, their mappings and their secrets;
//! - [`mod@receive`]: a request of a provider; [`body`]: its body, in bounded memory;
//! - [`queue`]: the way through a Cloudflare Queue, where one is bound, and its consumer;
//! - [`publish`]: mapped messages on their way to a catalog's object, many in one request;
//! - [`dead`]: messages that could not be published: kept by the catalog's object, listed, replayed.

mod body;
mod dead;
mod declared;
mod publish;
pub(crate) mod queue;
mod receive;

pub(crate) use dead::{INTERNAL_CALL, settle};
pub(crate) use receive::{is_event, is_event_type, receive};

//! Webhooks: whether a request is its provider's, and what its message publishes.
//!
//! The declarations of hooks are in `newsreel_core::access::hooks`. No I/O, no clock, no secret in a text. In reading
//! order:
//! - [`request`]: the headers and the raw bytes of a request;
//! - [`verify()`]: whether one of a hook's secrets has signed a request, in constant time. HMAC is computed here; an Ed25519
//!   signature is handed to the platform's cryptography;
//! - [`mod@sign`]: signs as a provider would, to try a hook out;
//! - [`incoming`]: what a genuine request is: a message, a challenge, the end of a subscription;
//! - [`declared`]: the mapping of a hook, from its declaration; [`message`]: a message as it is kept, and as publishes;
//! - `forms`, `time`, `codes`: where each scheme has its signature; times; the text forms of bytes.

mod codes;
pub mod declared;
mod forms;
pub mod incoming;
pub mod message;
pub mod request;
pub mod sign;
mod time;
pub mod verify;

pub use declared::{DeclaredMappingError, mapping_of};
pub use incoming::Incoming;
pub use message::{Arrival, HookMessage, MappedMessage};
pub use request::{Headers, HookRequest};
pub use sign::sign;
pub use verify::{Genuine, Proof, Refusal, Unverified, verify};

//! The WASM half of the npm package `newsreel`: it decides; the TypeScript around it (`npm/src`) obeys.
//!
//! Sockets, timers, handlers and values stay JavaScript's. What crosses is text: a frame goes in, a short list of
//! effects comes out, and the rows of a frame never cross one by one.
//!
//! In reading order:
//! - [`session`]: following, around `newsreel_core::follow::follower`;
//! - [`timing`]: its times, as a caller may set them;
//! - [`cache`]: a cache that hears of a session, around `newsreel_core::read::cache`;
//! - [`mod@panic`]: what is left of a defect for whoever reports it.

pub mod cache;
pub mod panic;
pub mod session;
pub mod timing;
